//! `$SYS.REQ.ACCOUNT.<acc>.…`: one account as the operator sees it. Servers that
//! do not know the account are silent.

use super::conns;
use super::reply::Answer;
use super::request::{self, flag};
use crate::monitor::{account_detail, accountz, connz, jsz, subsz, topology};
use crate::server::Server;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What can be asked.
pub const NAMES: &[&str] = &["CONNZ", "SUBSZ", "LEAFZ", "JSZ", "INFO", "STATZ", "CONNS"];

/// Answers `name` about `account`.
pub async fn answer(server: &Arc<Server>, account: &str, name: &str, o: &Value) -> Option<Answer> {
    if name == "CONNZ" {
        return Some(connz::connz(server, &request::connz(o, account)).into());
    }
    let found = server.accounts.get(account)?;
    Some(match name {
        "SUBSZ" => {
            let options =
                subsz::Options { subs: true, account: account.to_owned(), ..request::subsz(o) };
            subsz::subsz(server, &options).into()
        }
        "LEAFZ" => Answer::Data(topology::leafz(server)),
        "JSZ" => {
            let options =
                jsz::Options { account: account.to_owned(), ..jsz::Options::from_json(o) };
            jsz::of_account(server, &found, &options).await.into()
        }
        "INFO" => Answer::Data(account_detail::detail(server, &found)),
        "STATZ" => {
            let names = [account.to_owned()];
            let unused = flag(o, "include_unused");
            if !unused && found.connections.load(Relaxed) <= 0 {
                return None;
            }
            Answer::Data(accountz::accstatz(server, unused, &names))
        }
        "CONNS" => {
            if found.connections.load(Relaxed) <= 0 {
                return None;
            }
            Answer::bare(&conns::document(server, &found, &accountz::live_traffic(server)))
        }
        _ => return None,
    })
}
