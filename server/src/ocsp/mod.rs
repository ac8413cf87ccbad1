//! Whether certificates are revoked: OCSP (RFC 6960).
//!
//! [`staple`] keeps the status of the server's own certificates, which is handed
//! to clients in the handshake; [`refresh`] renews it while the server runs.

pub mod certificate;
pub mod fetch;
pub mod refresh;
pub mod response;
pub mod staple;

pub use certificate::Certificate;
pub use response::{Answer, AnswerError, Status};
pub use staple::Staple;
