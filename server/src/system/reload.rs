//! `$SYS.REQ.SERVER.<id>.RELOAD` (contract/core.md §2.5), asked of one server
//! only: nobody means to reload all of them at once.

use super::reply::Answer;
use crate::reload;
use crate::server::Server;
use std::sync::Arc;

/// Reloads the configuration. With `dry_run`, which nats-server does not know,
/// the answer is what that would change, and nothing does.
pub async fn answer(server: &Arc<Server>, dry_run: bool) -> Answer {
    if dry_run {
        return reload::preview(server).await.into();
    }
    match reload::reload(server).await {
        Ok(()) => Answer::Done,
        Err(e) => Answer::failed(e),
    }
}
