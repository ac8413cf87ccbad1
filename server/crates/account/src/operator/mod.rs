//! Operator mode: logins decided by tokens (contract/core.md §4.4).
//!
//! An operator signs accounts, an account signs users. The server trusts the
//! operator's keys ([`Trust`]), gets account tokens from a resolver
//! (`AccountSet::with_account`) and decides each login by the user's token.

mod account;
#[cfg(test)]
mod accounts_test;
mod activation;
mod callout;
#[cfg(test)]
mod callout_test;
pub mod conditions;
mod holder;
mod login;
#[cfg(test)]
mod operator_test;
mod recheck;
mod refusal;
mod set;
mod template;
mod trust;

pub(crate) use account::permissions;
pub use account::{AccountToken, AccountTokenError};
pub use holder::{Holder, NoHolder};
pub use refusal::JwtRefusal;
pub use set::Built;
pub use template::{MAX_EXPANSIONS, TemplateError};
pub use trust::{Trust, TrustError, adopt};
