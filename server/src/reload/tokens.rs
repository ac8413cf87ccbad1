//! Account tokens after a reload: files may have changed under a directory
//! resolver without a request, or the directory is another one now.

use crate::clock;
use crate::resolver::in_force;
use crate::server::Server;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Looks at the directory again and puts what changed in force.
pub async fn look_again(server: &Arc<Server>) {
    let Some(resolver) = server.resolver.get() else { return };
    let Some(dir) = resolver.directory() else { return };
    let _changing = resolver.changing.lock().await;
    let changed = match resolver.on_disk(|dir| dir.reload(clock::now())).await {
        Ok(changed) => changed,
        Err(e) => return tracing::error!("account resolver: {e}"),
    };
    let rules = server.rules.load_full();
    let known = rules.accounts().filter(|a| a.token.is_some()).map(|a| a.nkey.clone());
    let ids: BTreeSet<String> = known.chain(changed).collect();
    for id in ids {
        resolver.forget(&id);
        let key = id.clone();
        let result = match resolver.on_disk(move |dir| dir.load(&key, clock::now())).await {
            Ok(Some(token)) => in_force::update(server, &id, &token).await,
            // A cache need not have everything.
            Ok(None) if dir.is_cache() => Ok(()),
            Ok(None) => {
                in_force::remove(server, std::slice::from_ref(&id));
                Ok(())
            }
            Err(e) => Err(e),
        };
        if let Err(e) = result {
            tracing::warn!("account {id} stays as it was: {e}");
        }
    }
}
