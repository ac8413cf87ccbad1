//! `$SYS.REQ.ACCOUNT.<acc>.…`: one account as the operator sees it. Of an account
//! that is not known the documents are empty, or say so.

use super::conns;
use super::reply::Answer;
use super::request::{self, flag, text};
use crate::account::AccountState;
use crate::monitor::{account_detail, accountz, connz, jsz, subsz, topology};
use crate::server::Server;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What can be asked.
pub const NAMES: &[&str] = &["CONNZ", "SUBSZ", "LEAFZ", "JSZ", "INFO", "STATZ", "CONNS"];

/// Answers `name` about `account`.
pub async fn answer(server: &Arc<Server>, account: &str, name: &str, o: &Value) -> Option<Answer> {
    let found = server.accounts.get(account);
    Some(match name {
        "CONNZ" => connz::connz(server, &request::connz(o, account)).into(),
        "SUBSZ" => {
            let options =
                subsz::Options { subs: true, account: account.to_owned(), ..request::subsz(o) };
            subsz::subsz(server, &options).into()
        }
        "LEAFZ" => Answer::Data(topology::leafz(server)),
        "JSZ" => {
            let options =
                jsz::Options { account: account.to_owned(), ..jsz::Options::from_json(o) };
            jsz::of_account(server, &options).await.into()
        }
        "INFO" => match found {
            Some(found) => Answer::Data(account_detail::detail(server, &found)),
            None => Answer::failed(format!("Account {account} does not exist")),
        },
        "STATZ" => return statz(server, flag(o, "include_unused"), &[account.to_owned()]),
        "CONNS" => return conns(server, account, found.as_deref()?, o),
        _ => return None,
    })
}

/// Traffic of the accounts named, or of all; silent if there is none to tell of
/// and those without connections are not asked for.
pub fn statz(server: &Server, unused: bool, names: &[String]) -> Option<Answer> {
    let document = accountz::accstatz(server, unused, names);
    let none = document["account_statz"].as_array().is_none_or(Vec::is_empty);
    (unused || !none).then_some(Answer::Data(document))
}

/// How many connections there are; silent without, and where the request names
/// another account than its subject.
fn conns(server: &Server, account: &str, found: &AccountState, o: &Value) -> Option<Answer> {
    let same = o["acc"].is_null() || text(o, "acc") == account;
    let some = same && found.connections.load(Relaxed) > 0;
    some.then(|| Answer::bare(&conns::document(server, found, &accountz::live_traffic(server))))
}
