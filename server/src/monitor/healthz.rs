//! `/healthz`: whether this server does its work (contract/monitoring.md §1.7).

use crate::server::Server;
use gust_admin::Reply;
use gust_admin::query::Query;
use serde_json::{Value, json};
use std::sync::Arc;

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only whether JetStream is on.
    pub js_enabled_only: bool,
    /// Not the streams.
    pub js_server_only: bool,
    /// Only this account's streams.
    pub account: String,
    /// Only this stream.
    pub stream: String,
    /// Only this consumer.
    pub consumer: String,
    /// List every failure.
    pub details: bool,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Health {
    /// HTTP status.
    pub code: u16,
    /// The document.
    pub body: Value,
}

impl Health {
    /// As an HTTP answer; the body is compact here.
    pub fn reply(&self) -> Reply {
        let mut r = Reply::json(self.body.to_string());
        r.status = self.code;
        if self.code != 200 {
            tracing::warn!("Healthcheck failed: {}", self.body);
        }
        r
    }

    fn ok() -> Self {
        Self { code: 200, body: json!({ "status": "ok" }) }
    }

    fn fail(code: u16, status: &str, kind: &str, text: &str, details: bool) -> Self {
        let body = if details {
            json!({ "status": "error", "errors": [{ "type": kind, "error": text }] })
        } else {
            json!({ "status": status, "error": text })
        };
        Self { code, body }
    }
}

impl Options {
    /// Reads the query string.
    pub fn from_query(q: &Query) -> Result<Self, String> {
        Ok(Self {
            js_enabled_only: q.bool("js-enabled-only")? || q.bool("js-enabled")?,
            js_server_only: q.bool("js-server-only")? || q.bool("js-meta-only")?,
            account: q.get("account").to_owned(),
            stream: q.get("stream").to_owned(),
            consumer: q.get("consumer").to_owned(),
            details: q.bool("details")?,
        })
    }
}

impl Options {
    /// Reads a request of the system account.
    pub fn from_json(o: &Value) -> Self {
        let flag = |key: &str| o[key].as_bool().unwrap_or(false);
        let text = |key: &str| o[key].as_str().unwrap_or_default().to_owned();
        Self {
            js_enabled_only: flag("js-enabled-only") || flag("js-enabled"),
            js_server_only: flag("js-server-only") || flag("js-meta-only"),
            account: text("account"),
            stream: text("stream"),
            consumer: text("consumer"),
            details: flag("details"),
        }
    }
}

/// Runs the checks in the contract's order; the first failure ends.
pub async fn healthz(server: &Arc<Server>, o: &Options) -> Health {
    if o.account.is_empty() && !o.stream.is_empty() {
        let text = "\"account\" must not be empty when checking stream health";
        return Health::fail(400, "error", "BAD_REQUEST", text, o.details);
    }
    if o.stream.is_empty() && !o.consumer.is_empty() {
        let text = "\"stream\" must not be empty when checking consumer health";
        return Health::fail(400, "error", "BAD_REQUEST", text, o.details);
    }
    if server.is_lame_duck() || server.listening.get().is_none_or(|l| l.client.is_none()) {
        let text = "failed to be ready for connections after 1ms: server";
        return Health::fail(500, "error", "CONNECTION", text, o.details);
    }
    if o.js_server_only || !server.options.load().jetstream.enabled {
        return Health::ok();
    }
    let Some(js) = server.jetstream.get() else {
        let text = "JetStream not enabled (10076)";
        return Health::fail(503, "unavailable", "JETSTREAM", text, o.details);
    };
    if js.lane.state.is_fenced() {
        let text = "JetStream: write error: the log could not be synced, restart the server";
        return Health::fail(503, "unavailable", "JETSTREAM", text, o.details);
    }
    if o.js_enabled_only {
        return Health::ok();
    }
    let failures = crate::jetstream::health::failures(server, &js, o).await;
    match failures.first() {
        None => Health::ok(),
        Some(first) if !o.details => Health {
            code: first.code,
            body: json!({ "status": "unavailable", "error": first.text }),
        },
        Some(first) => {
            let all: Vec<Value> = failures
                .iter()
                .map(|f| {
                    json!({
                        "type": f.kind, "account": f.account, "stream": f.stream, "error": f.text,
                    })
                })
                .collect();
            Health { code: first.code, body: json!({ "status": "error", "errors": all }) }
        }
    }
}
