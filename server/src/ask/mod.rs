//! Asking a running server one thing: one connection, one request. For commands,
//! not for the server.

mod address;
mod login;
mod peer;
mod secure;

use address::Address;
use gust_config::cli::access::Access;
use login::Login;
use peer::Peer;
use serde_json::Value;

/// The document that the server answers to one request of whom `access` says; what
/// is asked may depend on its INFO.
pub(crate) fn request(
    access: &Access,
    subject: impl FnOnce(&Value) -> Result<String, String>,
    payload: &str,
) -> Result<Value, String> {
    let address = Address::of(access.server.as_deref().unwrap_or_default())?;
    // Files are read before anything is sent.
    let login = Login::of(access, &address)?;
    let (mut peer, info) = Peer::connect(&address, access)?;
    peer.login(&login, &info)?;
    let subject = subject(&info)?;
    let inbox = access.inbox_prefix.as_deref().unwrap_or("_INBOX").trim_end_matches('.');
    peer.ask(&subject, &format!("{inbox}.explain"), payload)
}
