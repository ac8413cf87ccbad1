//! `$SYS.REQ.SERVER.<id>.KICK` and `.LDM`: an operator has one client closed, or
//! tells it to move to another server.

use super::reply::Answer;
use crate::client::signal;
use crate::connection::reason::CloseReason;
use crate::server::Server;
use serde_json::Value;

/// Closes the client of this `cid`.
pub fn kick(server: &Server, o: &Value) -> Answer {
    let cid = match cid(o) {
        Ok(cid) => cid,
        Err(answer) => return answer,
    };
    let Some(client) = server.clients.get(cid) else {
        return Answer::failed("no such client or leafnode id");
    };
    tracing::info!("{} - Kicked by a request of the system account", client.label());
    client.close(CloseReason::Kicked);
    Answer::Done
}

/// Tells the client of this `cid` that the server is in lame duck mode.
pub fn lame_duck(server: &Server, o: &Value) -> Answer {
    let cid = match cid(o) {
        Ok(cid) => cid,
        Err(answer) => return answer,
    };
    let Some(client) = server.clients.get(cid) else {
        return Answer::failed("no such client id");
    };
    tracing::debug!("{} - Sending Lame Duck Mode info to client", client.label());
    client.signal(signal::LAME_DUCK);
    Answer::Done
}

/// nats-server does not answer what is not a client id; who asks by hand then
/// waits in vain.
fn cid(o: &Value) -> Result<u64, Answer> {
    match &o["cid"] {
        Value::Null => Ok(0),
        cid => cid.as_u64().ok_or_else(|| Answer::Failed {
            code: 400,
            description: format!("cid has to be the number of a client, not {cid}"),
        }),
    }
}
