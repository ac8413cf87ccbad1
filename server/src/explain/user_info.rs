//! What a running server says of whoever asks: `$SYS.REQ.USER.INFO`.

use super::Shared;
use crate::ask;
use gust_account::Permissions;
use gust_config::cli::access::Access;
use gust_config::options::permissions as config;
use serde_json::Value;
use std::sync::Arc;

/// What the server says.
pub(super) struct Facts {
    /// Who, for people.
    pub(super) name: String,
    /// Account name.
    pub(super) account: String,
    /// Account, for people.
    pub(super) shown: String,
    /// What it may do; `None`: everything.
    pub(super) permissions: Option<Shared>,
}

/// Asks.
pub(super) fn user_info(access: &Access) -> Result<Facts, String> {
    facts(&ask::request(access, |_| Ok("$SYS.REQ.USER.INFO".to_owned()), "")?)
}

fn facts(answer: &Value) -> Result<Facts, String> {
    let data = &answer["data"];
    let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
    let account = text("account");
    if account.is_empty() {
        return Err(format!("the server does not say who this is: {answer}"));
    }
    let shown = match text("account_name") {
        name if name.is_empty() || name == account => format!("{account:?}"),
        name => format!("{name:?} ({account})"),
    };
    let name = match (text("user_name"), text("user")) {
        (name, user) if !name.is_empty() && name != user => format!("user {name:?} ({user})"),
        (_, user) if !user.is_empty() => format!("user {user:?}"),
        _ => "a client without a name".to_owned(),
    };
    let permissions = data.get("permissions").filter(|p| p.is_object()).map(permissions);
    let permissions = permissions.map(|p| Permissions::new(&p).map(Arc::new)).transpose();
    Ok(Facts { name, account, shown, permissions: permissions.map_err(|e| e.to_string())? })
}

/// The document of permissions. Who may answer requests may publish nothing else
/// unless that is written down; the document leaves that out.
fn permissions(doc: &Value) -> config::Permissions {
    let list = |value: &Value| -> Option<Vec<String>> {
        let items = value.as_array()?;
        Some(items.iter().filter_map(|i| i.as_str().map(ToOwned::to_owned)).collect())
    };
    let side = |side: &Value| {
        side.is_object().then(|| config::SubjectPermission {
            allow: list(&side["allow"]),
            deny: list(&side["deny"]).unwrap_or_default(),
        })
    };
    let responses = &doc["responses"];
    let responses = responses.is_object().then(|| config::ResponsePermission {
        max: responses["max"].as_i64().unwrap_or_default(),
        expires_ns: responses["ttl"].as_i64().unwrap_or_default(),
    });
    let mut permissions = config::Permissions {
        publish: side(&doc["publish"]),
        subscribe: side(&doc["subscribe"]),
        responses,
    };
    if permissions.responses.is_some() {
        permissions.publish.get_or_insert_default().allow.get_or_insert_default();
    }
    permissions
}
