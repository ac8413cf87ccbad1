//! Accounts: who may log in, where a login leads, and what it may then do.
//!
//! [`AccountSet`] is an immutable snapshot made from options; connections hold
//! what it decided. Slow work is not done here but handed back as data
//! ([`AuthDecision::CheckPassword`]).

pub mod account;
mod authenticate;
#[cfg(test)]
mod authenticate_test;
pub mod callout;
pub mod certificate;
pub mod decision;
pub mod dn;
pub mod exchange;
pub mod explain;
#[cfg(test)]
mod explain_test;
pub mod jwt;
pub mod login;
pub mod nkey;
pub mod operator;
mod patterns;
pub mod permissions;
#[cfg(test)]
mod permissions_test;
mod proxy;
pub mod recheck;
#[cfg(test)]
mod recheck_test;
pub mod responses;
pub mod secret;
pub mod set;
pub mod texts;

pub use account::{Account, User};
pub use decision::{AuthDecision, Identity, Proof, Refusal, RefusalReason, TokenFacts, UserLimits};
pub use exchange::Exchange;
pub use login::{ConnectionKind, Login};
pub use permissions::{DeliveryFilter, Permissions, PermissionsError};
pub use recheck::{CloseCause, CloseWith, Recheck};
pub use responses::ResponseGrants;
pub use set::{AccountError, AccountSet};
