//! Whether the streams of this server do their work.

use super::JetStream;
use super::store::shard_of;
use crate::monitor::healthz::Options;
use crate::server::Server;
use std::sync::Arc;

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// HTTP status.
    pub code: u16,
    /// `ACCOUNT`, `STREAM` or `CONSUMER`.
    pub kind: &'static str,
    /// Account.
    pub account: String,
    /// Stream.
    pub stream: String,
    /// What is wrong.
    pub text: String,
}

/// Checks every stream, or the ones asked for.
pub async fn failures(server: &Arc<Server>, js: &JetStream, o: &Options) -> Vec<Failure> {
    let mut out = Vec::new();
    for d in &js.damaged {
        if wanted(o, &d.account, &d.stream) {
            let text = format!(
                "JetStream stream '{} > {}' could not be recovered: {}",
                d.account, d.stream, d.why
            );
            out.push(failure(503, "STREAM", &d.account, &d.stream, text));
        }
    }
    // Without a stream an account is none of JetStream's, as in nats-server.
    if !o.account.is_empty() && js.assets.of_account(&o.account).is_empty() {
        let text = format!("JetStream account {:?} not found", o.account);
        out.push(failure(404, "ACCOUNT", &o.account, "", text));
        return out;
    }
    let mut found = false;
    for asset in js.assets.all() {
        let (account, name) = (asset.account.clone(), asset.config.name.clone());
        if !wanted(o, &account, &name) {
            continue;
        }
        found = true;
        let (group, consumer) = (asset.group, o.consumer.clone());
        let state = server
            .call(shard_of(server, group), move |s| {
                let engine = s.engine.borrow();
                engine.get(group).map(|a| {
                    let there = consumer.is_empty() || a.stream.consumer(&consumer).is_some();
                    (a.stream.poisoned().map(ToOwned::to_owned), there)
                })
            })
            .await
            .flatten();
        match state {
            // Deleted while we asked.
            None => {}
            Some((Some(why), _)) => {
                let text = format!("JetStream stream '{account} > {name}' write error: {why}");
                out.push(failure(503, "STREAM", &account, &name, text));
            }
            Some((None, false)) => {
                let text = format!(
                    "JetStream consumer {:?} not found for stream {name:?} on account {account:?}",
                    o.consumer
                );
                out.push(failure(404, "CONSUMER", &account, &name, text));
            }
            Some((None, true)) => {}
        }
    }
    if !o.stream.is_empty() && !found && out.is_empty() {
        let text = format!("JetStream stream {:?} not found on account {:?}", o.stream, o.account);
        out.push(failure(404, "STREAM", &o.account, &o.stream, text));
    }
    out
}

fn wanted(o: &Options, account: &str, stream: &str) -> bool {
    (o.account.is_empty() || o.account == account) && (o.stream.is_empty() || o.stream == stream)
}

fn failure(code: u16, kind: &'static str, account: &str, stream: &str, text: String) -> Failure {
    Failure { code, kind, account: account.to_owned(), stream: stream.to_owned(), text }
}
