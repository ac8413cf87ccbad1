//! Services of the system account that read and change account tokens
//! (contract/core.md §4.4). What they accept is stored durably before it is
//! answered, and in force when the answer leaves.

use super::server_info::ServerInfo;
use crate::account::AccountState;
use crate::clock;
use crate::resolver::{OperatorKeys, Resolver, in_force};
use crate::route::{Message, OwnedMessage};
use crate::server::Server;
use crate::shard::Shard;
use bytes::Bytes;
use gust_account::jwt::{self, AccountClaims};
use gust_config::nkey::{self, KeyKind};
use serde_json::{Value, json};
use std::rc::Rc;
use std::sync::Arc;

/// Subjects and queue groups to serve with this resolver.
pub fn subjects(resolver: &Resolver) -> &'static [(&'static str, &'static str)] {
    const OF_ONE: (&str, &str) = ("$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", "");
    const OLD: (&str, &str) = ("$SYS.ACCOUNT.*.CLAIMS.UPDATE", "");
    const UPDATE: (&str, &str) = ("$SYS.REQ.CLAIMS.UPDATE", "");
    const LIST: (&str, &str) = ("$SYS.REQ.CLAIMS.LIST", "");
    const DELETE: (&str, &str) = ("$SYS.REQ.CLAIMS.DELETE", "");
    const LOOKUP: (&str, &str) = ("$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", "");
    const PACK: (&str, &str) = ("$SYS.REQ.CLAIMS.PACK", "responder");
    match resolver.directory() {
        None => &[OF_ONE, OLD],
        Some(dir) if dir.is_cache() => &[OF_ONE, OLD, UPDATE, LIST, DELETE],
        Some(_) => &[OF_ONE, OLD, UPDATE, LIST, DELETE, LOOKUP, PACK],
    }
}

/// What a request wants.
#[derive(Debug, PartialEq, Eq)]
enum Request<'a> {
    /// Of the named account, or of any.
    Update(Option<&'a str>),
    Lookup(&'a str),
    List,
    Delete,
    Pack,
}

impl Request<'_> {
    fn parse(subject: &str) -> Option<Request<'_>> {
        let tokens: Vec<&str> = subject.split('.').collect();
        Some(match tokens[..] {
            ["$SYS", "REQ", "CLAIMS", "UPDATE"] => Request::Update(None),
            ["$SYS", "REQ", "CLAIMS", "LIST"] => Request::List,
            ["$SYS", "REQ", "CLAIMS", "DELETE"] => Request::Delete,
            ["$SYS", "REQ", "CLAIMS", "PACK"] => Request::Pack,
            ["$SYS", "REQ", "ACCOUNT", id, "CLAIMS", "UPDATE"]
            | ["$SYS", "ACCOUNT", id, "CLAIMS", "UPDATE"] => Request::Update(Some(id)),
            ["$SYS", "REQ", "ACCOUNT", id, "CLAIMS", "LOOKUP"] => Request::Lookup(id),
            _ => return None,
        })
    }
}

/// Answers a request, in a task of its own: disks take their time.
pub fn call(shard: Rc<Shard>, account: Arc<AccountState>, m: OwnedMessage) {
    tokio::task::spawn_local(async move {
        let server = shard.server.clone();
        let Some(resolver) = server.resolver.get().cloned() else { return };
        let reply = |body: &[u8]| {
            if !m.reply.is_empty() {
                let payload = Bytes::copy_from_slice(body);
                let message = Message::new(&m.reply, b"", b"", &payload);
                shard.publish(&account, &m.reply, &message, b"");
            }
        };
        let subject = String::from_utf8_lossy(&m.subject);
        match Request::parse(&subject) {
            Some(Request::Update(id)) => {
                let result = update(&server, &resolver, id, &m.payload).await;
                reply(result.body(&server).to_string().as_bytes());
            }
            Some(Request::Delete) => {
                let result = delete(&server, &resolver, &m.payload).await;
                reply(result.body(&server).to_string().as_bytes());
            }
            Some(Request::List) => {
                let ids = resolver.directory().map(|d| d.ids()).unwrap_or_default();
                let body = json!({ "server": ServerInfo::now(&server), "data": ids });
                reply(body.to_string().as_bytes());
            }
            Some(Request::Lookup(id)) => {
                if let Some(token) = lookup(&resolver, id).await {
                    reply(token.as_bytes());
                }
            }
            Some(Request::Pack) => pack(&resolver, &m.payload, reply).await,
            None => tracing::debug!("claims request on unknown subject {subject:?}"),
        }
    });
}

/// An answer to an update or a delete, and what is logged of it.
struct Outcome {
    account: String,
    message: String,
    error: Option<String>,
}

impl Outcome {
    fn ok(account: &str, message: &str) -> Outcome {
        Outcome { account: account.to_owned(), message: message.to_owned(), error: None }
    }

    fn failed(account: &str, message: &str, error: impl ToString) -> Outcome {
        Outcome { error: Some(error.to_string()), ..Outcome::ok(account, message) }
    }

    /// Logs it and makes the answer. Tools want `server` even in errors.
    fn body(&self, server: &Arc<Server>) -> Value {
        let Outcome { account, message, error } = self;
        let mut body = json!({ "server": ServerInfo::now(server) });
        let (key, code, text, said) = match error {
            None => {
                tracing::debug!("{message} - {account}");
                ("data", 200, "message", message.clone())
            }
            Some(error) => {
                tracing::error!("{message} - {account} - {error}");
                ("error", 500, "description", format!("{message} - {error}"))
            }
        };
        body[key] = json!({ "code": code, text: said });
        if !account.is_empty() {
            body[key]["account"] = account.as_str().into();
        }
        body
    }
}

/// The texts of a kind of resolver.
struct Words {
    updated: &'static str,
    skipped: &'static str,
    failed: &'static str,
    invalid: &'static str,
}

const PLAIN: Words = Words {
    updated: "jwt updated",
    skipped: "jwt update skipped",
    failed: "jwt update resulted in error",
    invalid: "jwt validation failed",
};
const CACHE: Words = Words {
    updated: "jwt updated cache",
    skipped: "jwt update cache skipped",
    failed: "jwt update cache resulted in error",
    invalid: "jwt update cache validation failed",
};

async fn update(
    server: &Arc<Server>,
    resolver: &Arc<Resolver>,
    asked: Option<&str>,
    body: &[u8],
) -> Outcome {
    let stored = resolver.directory().is_some();
    let cache = resolver.directory().is_some_and(|d| d.is_cache());
    let words = if cache { &CACHE } else { &PLAIN };
    // A full store does not believe a subject before it has read the token.
    let unread = asked.filter(|_| cache || !stored).unwrap_or("n/a");
    if body.is_empty() && !stored {
        return Outcome::failed(unread, "jwt update error", "request body is empty");
    }
    let text = String::from_utf8_lossy(body);
    let token = text.trim();
    let claims = match jwt::decode_account(token) {
        Ok(claims) => claims,
        Err(e) => return Outcome::failed(unread, words.failed, e),
    };
    let id = claims.subject.clone();
    let named = asked.unwrap_or(&id);
    if let Err(e) = acceptable(&claims, named, resolver.operator(), stored) {
        return Outcome::failed(named, words.failed, e);
    }
    if (cache || !stored) && !in_force::is_loaded(server, &id) {
        return Outcome::ok(&id, words.skipped);
    }
    if let Err(e) = claims.check() {
        return Outcome::failed(&id, words.invalid, e);
    }
    // From here on changes go one after the other: what was stored last is what
    // ends up in force.
    let _changing = resolver.changing.lock().await;
    if stored {
        let (key, text) = (id.clone(), token.to_owned());
        let saved = resolver.on_disk(move |dir| dir.save(&key, &text, clock::now())).await;
        if let Err(e) = saved {
            return Outcome::failed(&id, words.failed, e);
        }
    }
    resolver.forget(&id);
    match in_force::update(server, &id, token).await {
        Err(e) if !stored => return Outcome::failed(&id, words.failed, e),
        // It is stored: trust is judged when somebody wants to use it.
        Err(e) => tracing::error!("update of account {id} is stored but not in force: {e}"),
        Ok(()) => {}
    }
    Outcome::ok(&id, words.updated)
}

/// What is looked at before a token is stored, besides that it is one.
fn acceptable(
    claims: &AccountClaims,
    named: &str,
    operator: &OperatorKeys,
    stored: bool,
) -> Result<(), &'static str> {
    if claims.subject != named {
        return Err("subject does not match jwt content");
    }
    if stored && operator.strict && claims.issuer == operator.identity {
        return Err("operator requires issuer to be a signing key");
    }
    Ok(())
}

async fn lookup(resolver: &Arc<Resolver>, id: &str) -> Option<String> {
    let key = id.to_owned();
    match resolver.on_disk(move |dir| dir.load(&key, clock::now())).await {
        // Empty: others need not wait for this server.
        Ok(token) => Some(token.unwrap_or_default()),
        Err(e) => {
            tracing::error!("looking up account {id:?}: {e}");
            None
        }
    }
}

async fn pack(resolver: &Arc<Resolver>, theirs: &[u8], reply: impl Fn(&[u8])) {
    let Some(dir) = resolver.directory() else { return };
    if dir.sum()[..] != *theirs {
        for id in dir.ids() {
            let key = id.clone();
            match resolver.on_disk(move |dir| dir.load(&key, clock::now())).await {
                Ok(Some(token)) => reply(format!("{id}|{token}").as_bytes()),
                Ok(None) => {}
                // Without the last, empty answer the other side waits and asks again.
                Err(e) => return tracing::error!("packing account tokens: {e}"),
            }
        }
    }
    reply(b"");
}

async fn delete(server: &Arc<Server>, resolver: &Arc<Resolver>, body: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(body);
    let claims = match jwt::decode_generic(text.trim()) {
        Ok(claims) => claims,
        Err(e) => return Outcome::failed("", "delete accounts request by  failed", e),
    };
    let by = &claims.subject;
    let refused = format!("delete accounts request by {by} failed");
    let off = resolver.directory().is_none_or(|d| !d.deletes());
    let system = &server.system_account().name;
    let signed = (by.as_str(), claims.issuer.as_str());
    let listed = claims.nats.get("accounts");
    let ids = match deletable(off, signed, resolver.operator(), listed, system) {
        Ok(ids) => ids,
        Err(why) => return Outcome::failed("", &refused, why),
    };
    let _changing = resolver.changing.lock().await;
    let names = ids.clone();
    let deleted = resolver.on_disk(move |dir| {
        let mut errors = Vec::new();
        for id in &names {
            if let Err(e) = dir.delete(id) {
                errors.push((id.clone(), e.to_string()));
            }
        }
        Ok(errors)
    });
    let errors = match deleted.await {
        Ok(errors) => errors,
        Err(e) => return Outcome::failed("", &refused, e),
    };
    let failed = |id: &String| errors.iter().any(|(other, _)| other == id);
    let gone: Vec<String> = ids.iter().filter(|id| !failed(id)).cloned().collect();
    gone.iter().for_each(|id| resolver.forget(id));
    in_force::remove(server, &gone);
    let done = format!("deleted {} accounts", gone.len());
    if errors.is_empty() {
        return Outcome::ok("", &done);
    }
    let texts: Vec<&str> = errors.iter().map(|(_, e)| e.as_str()).collect();
    Outcome::failed("", &format!("{done}, failed for {}", errors.len()), texts.join("\n"))
}

/// The accounts a request may delete, or why it may not: only the operator may,
/// and never the system account.
fn deletable(
    off: bool,
    (by, issuer): (&str, &str),
    operator: &OperatorKeys,
    listed: Option<&Value>,
    system: &str,
) -> Result<Vec<String>, &'static str> {
    if off {
        return Err("delete must be enabled in server config");
    }
    if by != issuer {
        return Err("not self signed");
    }
    if !operator.keys.iter().any(|k| k == issuer) {
        return Err("not trusted");
    }
    let listed = listed.and_then(Value::as_array).ok_or("malformed request")?;
    let mut ids = Vec::with_capacity(listed.len());
    for entry in listed {
        let id = entry.as_str().filter(|id| nkey::is_public(id, KeyKind::Account));
        match id.ok_or("malformed request")? {
            id if id == system => return Err("not allowed to delete system account"),
            id => ids.push(id.to_owned()),
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_told_apart() {
        for (subject, want) in [
            ("$SYS.REQ.CLAIMS.UPDATE", Some(Request::Update(None))),
            ("$SYS.REQ.ACCOUNT.A1.CLAIMS.UPDATE", Some(Request::Update(Some("A1")))),
            ("$SYS.ACCOUNT.A1.CLAIMS.UPDATE", Some(Request::Update(Some("A1")))),
            ("$SYS.REQ.ACCOUNT.A1.CLAIMS.LOOKUP", Some(Request::Lookup("A1"))),
            ("$SYS.REQ.CLAIMS.LIST", Some(Request::List)),
            ("$SYS.REQ.CLAIMS.DELETE", Some(Request::Delete)),
            ("$SYS.REQ.CLAIMS.PACK", Some(Request::Pack)),
            ("$SYS.REQ.CLAIMS.OTHER", None),
            ("$SYS.ACCOUNT.A1.CLAIMS.LOOKUP", None),
            ("", None),
        ] {
            assert_eq!(Request::parse(subject), want, "{subject}");
        }
    }

    #[test]
    fn only_the_operator_deletes_and_never_the_system_account() {
        // Any well-formed keys will do.
        let key = |n| crate::resolver::test_key(n);
        let operator = OperatorKeys {
            identity: "O1".into(),
            keys: vec!["O1".into(), "O2".into()],
            strict: false,
        };
        let ask =
            |off, signed, listed: Value| deletable(off, signed, &operator, Some(&listed), &key(9));
        let good = json!([key(1), key(2)]);
        assert_eq!(ask(false, ("O2", "O2"), good.clone()).unwrap(), [key(1), key(2)]);
        assert_eq!(ask(false, ("O1", "O1"), json!([])).unwrap(), Vec::<String>::new());
        let err = |off, signed, listed| ask(off, signed, listed).unwrap_err();
        assert_eq!(
            err(true, ("O1", "O1"), good.clone()),
            "delete must be enabled in server config"
        );
        assert_eq!(err(false, ("O1", "O2"), good.clone()), "not self signed");
        assert_eq!(err(false, ("O3", "O3"), good), "not trusted");
        for bad in [json!("x"), json!(["x"]), json!([1]), json!([key(1), ""]), json!({})] {
            assert_eq!(err(false, ("O1", "O1"), bad), "malformed request");
        }
        assert_eq!(
            err(false, ("O1", "O1"), json!([key(1), key(9)])),
            "not allowed to delete system account"
        );
        let none = deletable(false, ("O1", "O1"), &operator, None, "");
        assert_eq!(none.unwrap_err(), "malformed request");
    }
}
