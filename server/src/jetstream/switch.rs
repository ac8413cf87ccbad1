//! Turning JetStream on and off while the server runs.
//!
//! Off: the streams are checkpointed, their clients told as at a shutdown, and all
//! of it leaves memory; what is on disk stays. On: the same recovery as at start.

use super::recovery::{self, Opened};
use crate::server::Server;
use crate::shard::mailbox::Mail;
use gust_account::AccountSet;
use gust_config::Options;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// How long the last work of a JetStream that was turned off may hold its store
/// directory: a backup that is being sent, for instance.
const RELEASE: Duration = Duration::from_secs(3);

/// Opens what `options` configure, for [`on`]; blocks. Nothing is served yet.
pub fn open(server: &Arc<Server>, options: &Options) -> Result<Opened, String> {
    let begun = Instant::now();
    loop {
        match recovery::open(server, options) {
            Err(recovery::OpenError::Locked(_)) if begun.elapsed() < RELEASE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result.map_err(|e| e.to_string()),
        }
    }
}

/// Serves what was opened, in the accounts of `rules`; blocks until every stream
/// can be used.
pub fn on(server: &Arc<Server>, opened: Opened, rules: &AccountSet) {
    // Indexes are large; see `crate::run`.
    let _ = rustix::thread::disable_transparent_huge_pages(false);
    let actors = recovery::put(server, opened, rules);
    recovery::hand_over(server, actors);
}

/// Stops serving; blocks until all that was acknowledged is on disk.
pub fn off(server: &Arc<Server>) {
    let Some(js) = server.jetstream.get() else { return };
    // Changes of streams under way finish, later ones are refused.
    let changing = js.assets.changing.blocking_lock();
    js.stopped.store(true, Relaxed);
    drop(changing);
    // First without anybody noticing: most of the work is checkpoints.
    each_shard(server, |engine, shard| engine.checkpoint_all(shard));
    let (tx, rx) = channel();
    js.checkpointer.run(Box::new(move || {
        let _ = tx.send(());
    }));
    let _ = rx.recv();
    each_shard(server, super::engine::Engine::leave);
    let _ = server.jetstream.take();
    recovery::close(&js);
}

/// Runs `f` with the engine of every shard and waits for all of them.
fn each_shard(
    server: &Arc<Server>,
    f: impl Fn(&mut super::engine::Engine, &crate::shard::Shard) + Clone + Send + 'static,
) {
    let (tx, rx) = channel::<()>();
    for shard in 0..server.shard_count() {
        let (f, tx) = (f.clone(), tx.clone());
        server.shard(shard).send_one(Mail::Call(Box::new(move |s| {
            f(&mut s.engine.borrow_mut(), s);
            drop(tx);
        })));
    }
    drop(tx);
    // Ends when the last of them has dropped its end, as a shard that stops does.
    let _ = rx.recv();
}
