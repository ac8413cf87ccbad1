//! `$SYS.REQ.USER.INFO`: who the asking connection is and what it may do.

use crate::client::Client;
use crate::clock;
use crate::server::Server;
use gust_config::options::permissions::{Permissions, SubjectPermission};
use serde_json::{Map, Value, json};

/// The document about `client` in the account of this name.
pub fn user_info(server: &Server, account: &str, client: Option<&Client>) -> Value {
    let f = client.map(|c| c.facts.lock().clone()).unwrap_or_default();
    let mut m = Map::new();
    m.insert("user".into(), f.user.into());
    m.insert("account".into(), account.into());
    m.insert("account_name".into(), server.account_tag(account).into());
    if let Some(token) = f.token.filter(|t| !t.name_tag.is_empty()) {
        m.insert("user_name".into(), token.name_tag.as_str().into());
    }
    if let Some(p) = f.permissions {
        m.insert("permissions".into(), permissions(p.source()));
    }
    if let Some(at) = f.expires {
        m.insert("expires".into(), (at - clock::now()).max(0).into());
    }
    Value::Object(m)
}

fn permissions(p: &Permissions) -> Value {
    let mut m = Map::new();
    for (name, side) in [("publish", &p.publish), ("subscribe", &p.subscribe)] {
        if let Some(side) = side {
            m.insert(name.into(), subjects(side));
        }
    }
    if let Some(r) = &p.responses {
        m.insert("responses".into(), json!({ "max": r.max, "ttl": r.expires_ns }));
    }
    Value::Object(m)
}

fn subjects(side: &SubjectPermission) -> Value {
    let mut m = Map::new();
    if let Some(allow) = side.allow.as_ref().filter(|a| !a.is_empty()) {
        m.insert("allow".into(), json!(allow));
    }
    if !side.deny.is_empty() {
        m.insert("deny".into(), json!(side.deny));
    }
    Value::Object(m)
}
