//! Whether certificates are revoked: OCSP (RFC 6960).
//!
//! [`staple`] keeps the status of the server's own certificates, which is handed
//! to clients in the handshake; [`refresh`] renews it while the server runs. [`peer`] checks the
//! certificates of clients, whose statuses [`cache`] keeps.

pub mod cache;
pub mod cache_file;
pub mod certificate;
pub mod fetch;
pub mod peer;
pub mod refresh;
pub mod response;
pub mod staple;

pub use cache::Cache;
pub use certificate::Certificate;
pub use peer::PeerCheck;
pub use response::{Answer, AnswerError, Status};
pub use staple::Staple;
