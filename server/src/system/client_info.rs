//! A client as events and advisories show it (contract/monitoring.md §2.5).

use crate::client::Client;
use crate::server::Server;
use gust_jetstream::api::advisory::ClientInfo;
use gust_jetstream::time::Time;
use std::sync::atomic::Ordering::Relaxed;

/// The client now. One that is in no account yet counts as in the global one.
pub fn client_info(server: &Server, client: &Client) -> ClientInfo {
    let f = client.facts.lock().clone();
    let rules = server.rules.load();
    let issuer_key = f.issuer_key().to_owned();
    let acc = if f.account.is_empty() { rules.global().name.to_string() } else { f.account };
    let mut info = ClientInfo {
        issuer_key,
        start: Some(Time::from_nanos(client.start)),
        host: client.addr.ip().to_string(),
        id: client.cid,
        user: f.user,
        name: f.name,
        lang: f.lang,
        ver: f.version,
        rtt: match client.rtt.load(Relaxed) {
            0 => f.connect_took,
            rtt => rtt,
        },
        name_tag: server.account_tag(&acc),
        acc,
        kind: "Client".to_owned(),
        client_type: client.client_type().to_owned(),
        ..ClientInfo::default()
    };
    if let Some(token) = &f.token {
        info.jwt.clone_from(&token.jwt);
        info.tags.clone_from(&token.tags);
    }
    info
}

/// The client as it is shown with a request: there the name tag is the user's, not
/// the account's.
pub fn requester(server: &Server, client: &Client) -> ClientInfo {
    let name_tag = client.facts.lock().token.as_ref().map(|t| t.name_tag.clone());
    ClientInfo { name_tag: name_tag.unwrap_or_default(), ..client_info(server, client) }
}
