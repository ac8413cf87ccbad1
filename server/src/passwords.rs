//! Comparing passwords with bcrypt hashes, which takes tens of milliseconds by
//! design: on few threads of their own, so that a storm of logins costs clients
//! that are in already next to nothing.
//!
//! Checks run in the order they came. Whoever does not wait any more, because
//! the client went away or its time was up, is skipped.

use gust_account::decision::Secret;
use gust_account::secret::bcrypt_matches;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::oneshot;

/// Checks that may wait, each a hash of 60 bytes and what one CONNECT can hold.
/// Full: further logins are refused.
pub const MAX_WAITING: usize = 4096;
/// Of a password bcrypt only sees this much; no more is kept.
const MAX_CANDIDATE: usize = 128;
/// How much nicer than the shards the workers are: on a busy core they get half
/// of what a shard gets.
const NICE: i32 = 3;

/// The queue and its workers.
#[derive(Debug)]
pub struct Passwords {
    shared: Arc<Shared>,
    most_workers: usize,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    checks: VecDeque<Check>,
    workers: usize,
    idle: usize,
}

#[derive(Debug)]
struct Check {
    hash: Secret,
    candidate: Secret,
    started: Arc<AtomicBool>,
    answer: oneshot::Sender<bool>,
}

/// A check that waits or runs. Dropping it takes the check back.
#[derive(Debug)]
pub struct Ticket {
    /// Whether they match.
    pub answer: oneshot::Receiver<bool>,
    started: Arc<AtomicBool>,
}

impl Ticket {
    /// Whether a worker has taken it up: then the answer is near.
    pub fn has_started(&self) -> bool {
        self.started.load(Relaxed)
    }
}

/// [`MAX_WAITING`] checks wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MAX_WAITING} logins wait for their bcrypt check already; use nkeys, a lower bcrypt cost, or \
     have fewer clients reconnect at once"
)]
pub struct Full;

impl Passwords {
    /// A queue served by at most so many threads, which start when needed.
    pub fn new(most_workers: usize) -> Self {
        Self { shared: Arc::default(), most_workers: most_workers.max(1) }
    }

    /// Queues a comparison.
    pub fn check(&self, hash: Secret, mut candidate: Secret) -> Result<Ticket, Full> {
        if candidate.0.len() > MAX_CANDIDATE {
            let cut = (0..=MAX_CANDIDATE).rev().find(|i| candidate.0.is_char_boundary(*i));
            candidate.0.truncate(cut.unwrap_or(0));
        }
        let (tx, answer) = oneshot::channel();
        let started = Arc::new(AtomicBool::new(false));
        let check = Check { hash, candidate, started: started.clone(), answer: tx };
        let mut queue = self.shared.queue.lock();
        if queue.checks.len() >= MAX_WAITING {
            queue.checks.retain(|check| !check.answer.is_closed());
            if queue.checks.len() >= MAX_WAITING {
                return Err(Full);
            }
        }
        queue.checks.push_back(check);
        if queue.idle < queue.checks.len() && queue.workers < self.most_workers {
            queue.workers += 1;
            let shared = self.shared.clone();
            let name = "passwords".to_owned();
            if let Err(e) = std::thread::Builder::new().name(name).spawn(move || shared.work()) {
                queue.workers -= 1;
                tracing::error!("no thread to check passwords: {e}");
            }
        }
        drop(queue);
        self.shared.more.notify_one();
        Ok(Ticket { answer, started })
    }

    /// Checks that wait.
    pub fn waiting(&self) -> usize {
        self.shared.queue.lock().checks.len()
    }
}

impl Shared {
    fn work(&self) {
        // On Linux this is the calling thread's own. Without it logins are only
        // less considerate.
        let _ = rustix::process::setpriority_process(None, NICE);
        loop {
            let check = self.next();
            if check.answer.is_closed() {
                continue;
            }
            check.started.store(true, Relaxed);
            let matches = bcrypt_matches(&check.hash.0, &check.candidate.0);
            let _ = check.answer.send(matches);
        }
    }

    fn next(&self) -> Check {
        let mut queue = self.queue.lock();
        loop {
            if let Some(check) = queue.checks.pop_front() {
                return check;
            }
            queue.idle += 1;
            self.more.wait(&mut queue);
            queue.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> String {
        bcrypt::hash("secret", 4).unwrap()
    }

    fn ask(passwords: &Passwords, candidate: &str) -> Result<Ticket, Full> {
        passwords.check(Secret(hash()), Secret(candidate.to_owned()))
    }

    #[test]
    fn checks_are_answered_in_order_by_few_threads() {
        let passwords = Passwords::new(2);
        let tickets: Vec<_> =
            (0..20).map(|i| ask(&passwords, if i % 2 == 0 { "secret" } else { "x" })).collect();
        for (i, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(ticket.unwrap().answer.blocking_recv(), Ok(i % 2 == 0));
        }
        assert!(passwords.shared.queue.lock().workers <= 2);
        let long = ask(&passwords, &"ä".repeat(10_000)).unwrap();
        assert_eq!(long.answer.blocking_recv(), Ok(false));
    }

    #[test]
    fn a_full_queue_refuses_until_somebody_gives_up() {
        // No worker ever starts: the count says they are all there.
        let passwords = Passwords::new(1);
        passwords.shared.queue.lock().workers = 1;
        let check = |text: &str| passwords.check(Secret(text.into()), Secret(text.into()));
        let mut tickets: Vec<_> = (0..MAX_WAITING).map(|_| check("x").unwrap()).collect();
        assert!(check("x").is_err());
        assert!(!tickets.pop().unwrap().has_started());
        assert!(check("x").is_ok());
        assert_eq!(passwords.waiting(), MAX_WAITING);
    }

    #[test]
    fn who_gave_up_is_skipped() {
        let passwords = Passwords::new(1);
        let slow = Secret(hash().replacen("$04$", "$10$", 1));
        let first = passwords.check(slow.clone(), Secret("x".into())).unwrap();
        drop(passwords.check(slow, Secret("x".into())).unwrap());
        let last = ask(&passwords, "secret").unwrap();
        let (started, answer) = (last.started.clone(), last.answer);
        assert_eq!(first.answer.blocking_recv(), Ok(false));
        assert_eq!(answer.blocking_recv(), Ok(true));
        assert!(started.load(Relaxed));
    }
}
