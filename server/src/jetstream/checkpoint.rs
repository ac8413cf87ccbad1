//! Runs checkpoints away from the shards: syncing data files and writing the
//! index take as long as the disk likes, and nobody waits for them.

use std::sync::mpsc::{Sender, channel};

/// A piece of work for the checkpoint thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// Hands jobs to the checkpoint thread, which runs them one after the other.
#[derive(Clone)]
pub struct Checkpointer {
    tx: Sender<Option<Job>>,
}

impl Checkpointer {
    /// Starts the thread.
    pub fn start() -> (Self, std::thread::JoinHandle<()>) {
        let (tx, rx) = channel::<Option<Job>>();
        let thread = std::thread::Builder::new()
            .name("gust-checkpoint".into())
            .spawn(move || {
                while let Ok(Some(job)) = rx.recv() {
                    job();
                }
            })
            .expect("the checkpoint thread can start");
        (Self { tx }, thread)
    }

    /// Queues a job. The queue is bounded by the number of streams: a stream has
    /// at most one checkpoint under way.
    pub fn run(&self, job: Job) {
        let _ = self.tx.send(Some(job));
    }

    /// Ends the thread after the jobs already queued.
    pub fn stop(&self) {
        let _ = self.tx.send(None);
    }
}
