//! Tokens: claims of operators, accounts, users and activations, signed with
//! nkeys (contract/core.md §4.4). Everything that reads here takes text of any
//! origin; nothing is believed before its signature is checked.
//!
//! A decoded token is well formed and signed by its issuer. Whether that issuer
//! is trusted, and whether the token is still valid, is for [`crate::operator`].

mod account;
mod authorization;
mod check;
mod claims;
mod decode;
#[cfg(test)]
mod decode_test;
mod encode;
mod exchange;
mod operator;
mod text;
mod user;
mod v1;

pub use account::{
    AccountClaims, AccountData, ClusterTraffic, ExternalAuthorization, JetStreamLimits, Limits,
    Mapping, Scope, SigningKey, Trace,
};
pub use authorization::{AuthorizationResponseClaims, AuthorizationResponseData};
pub use check::ClaimsError;
pub use claims::{ClaimKind, Claims, GenericClaims, Revocations, is_revoked};
pub use decode::{
    MAX_TOKEN_BYTES, TokenError, decode, decode_account, decode_activation,
    decode_authorization_response, decode_generic, decode_operator, decode_user,
};
pub use encode::{SignError, sign};
pub use exchange::{
    ActivationClaims, ActivationData, Export, Import, Kind, ResponseType, Sampling, ServiceLatency,
};
pub use operator::{OperatorClaims, OperatorData};
pub use text::{seed_of, token_of};
pub use user::{
    Permission, Permissions, Responses, TimeRange, UserClaims, UserData, UserPermissionLimits,
};

/// A limit that is none.
pub const NO_LIMIT: i64 = -1;

/// For `skip_serializing_if`: like the Go encoder, zero and empty are left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
