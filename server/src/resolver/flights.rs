//! Lookups under way: one per account however many logins wait for it, a bounded
//! number at a time, each of bounded duration; what was not found is not asked
//! for again at once.
//!
//! Whoever can open a connection can name accounts that do not exist. So a miss
//! costs at most one lookup per account and [`REMEMBER`], and at most
//! [`AT_ONCE`] lookups burden disk or web server; others wait their turn within
//! the time a lookup may take. A lookup nobody waits for any more is given up:
//! who hangs up must not hold up those who stay.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// Lookups at a time.
const AT_ONCE: usize = 16;
/// How long a failed lookup answers for the next ones.
const REMEMBER: Duration = Duration::from_secs(1);
/// Failures remembered; when there are more, new ones are not remembered.
const MOST_REMEMBERED: usize = 4096;

/// Why an account's token could not be had. Cheap to hand to all who wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub Arc<str>);

impl FetchError {
    /// With this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

/// What a lookup found.
pub type Outcome<T> = Result<T, FetchError>;

/// A lookup under way; its receivers are those who wait for it.
type Flight<T> = Arc<watch::Sender<Option<Outcome<T>>>>;

/// Lookups of values of type `T` by account.
#[derive(Debug)]
pub struct Flights<T> {
    running: Mutex<HashMap<String, Flight<T>>>,
    failed: Mutex<HashMap<String, (Instant, FetchError)>>,
    room: Arc<Semaphore>,
    timeout_ns: AtomicU64,
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// Lookups that may take `timeout`.
    pub fn new(timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            running: Mutex::default(),
            failed: Mutex::default(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            timeout_ns: AtomicU64::new(nanos(timeout)),
        })
    }

    /// Time a lookup may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_nanos(self.timeout_ns.load(Relaxed))
    }

    /// Changes the time that lookups from now on may take.
    pub fn set_timeout(&self, timeout: Duration) {
        self.timeout_ns.store(nanos(timeout), Relaxed);
    }

    /// Waits for the lookup of `id`, starting it as `work` unless one is under
    /// way or failed a moment ago. It is dropped when nobody waits any more.
    pub async fn get<W, F>(self: &Arc<Self>, id: &str, work: W) -> Outcome<T>
    where
        W: FnOnce() -> F,
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        if let Some(error) = self.failed_before(id) {
            return Err(error);
        }
        let mut waiting = {
            let mut running = self.running.lock();
            match running.get(id) {
                Some(flight) => flight.subscribe(),
                None => {
                    let (tx, rx) = watch::channel(None);
                    let flight = Arc::new(tx);
                    running.insert(id.to_owned(), flight.clone());
                    tokio::spawn(self.clone().fly(id.to_owned(), flight, work()));
                    rx
                }
            }
        };
        let landed = waiting.wait_for(Option::is_some).await;
        let outcome = landed.ok().and_then(|o| (*o).clone());
        outcome.unwrap_or_else(|| Err(FetchError::new("the lookup was given up")))
    }

    async fn fly(
        self: Arc<Self>,
        id: String,
        flight: Flight<T>,
        work: impl Future<Output = Outcome<T>>,
    ) {
        let mut work = std::pin::pin!(self.timed(work));
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                () = flight.closed() => {
                    if self.abandoned(&id, &flight) {
                        return;
                    }
                }
            }
        };
        self.landed(&id, &flight, &outcome);
        flight.send_replace(Some(outcome));
    }

    /// What failed before, or is about to, may be found now.
    pub fn forget(&self, id: &str) {
        self.running.lock().remove(id);
        self.failed.lock().remove(id);
    }

    /// The same for all.
    pub fn forget_all(&self) {
        self.running.lock().clear();
        self.failed.lock().clear();
    }

    async fn timed(&self, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let turn = async {
            let _turn = self.room.acquire().await;
            work.await
        };
        let timeout = self.timeout();
        let late = || FetchError::new(format!("no answer within {timeout:?}"));
        tokio::time::timeout(timeout, turn).await.unwrap_or_else(|_| Err(late()))
    }

    /// Takes the flight off the list if it is true that nobody waits for it.
    fn abandoned(&self, id: &str, flight: &Flight<T>) -> bool {
        let mut running = self.running.lock();
        // Receivers only come to a listed flight while the list is locked.
        if flight.receiver_count() > 0 {
            return false;
        }
        if running.get(id).is_some_and(|listed| Arc::ptr_eq(listed, flight)) {
            running.remove(id);
        }
        true
    }

    fn landed(&self, id: &str, flight: &Flight<T>, outcome: &Outcome<T>) {
        let mut running = self.running.lock();
        // Forgotten meanwhile: another one may be under way.
        if !running.get(id).is_some_and(|listed| Arc::ptr_eq(listed, flight)) {
            return;
        }
        running.remove(id);
        if let Err(error) = outcome {
            let now = Instant::now();
            let mut failed = self.failed.lock();
            if failed.len() >= MOST_REMEMBERED {
                failed.retain(|_, (at, _)| now.duration_since(*at) < REMEMBER);
            }
            if failed.len() < MOST_REMEMBERED {
                failed.insert(id.to_owned(), (now, error.clone()));
            }
        }
    }

    fn failed_before(&self, id: &str) -> Option<FetchError> {
        let mut failed = self.failed.lock();
        let (at, error) = failed.get(id)?;
        if at.elapsed() < REMEMBER {
            return Some(error.clone());
        }
        failed.remove(id);
        None
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use tokio::sync::Notify;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn all_who_wait_share_one_lookup() {
        run(async {
            let flights = Flights::<u32>::new(Duration::from_secs(30));
            let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
            let one = || {
                let (flights, asked, go) = (flights.clone(), asked.clone(), go.clone());
                tokio::spawn(async move {
                    let work = || async move {
                        asked.fetch_add(1, SeqCst);
                        go.notified().await;
                        Ok(7)
                    };
                    flights.get("A", work).await
                })
            };
            let first = one();
            let more: Vec<_> = (0..50).map(|_| one()).collect();
            tokio::task::yield_now().await;
            // Who asked first goes away; the others still get an answer.
            first.abort();
            while asked.load(SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            go.notify_one();
            for waiting in more {
                assert_eq!(waiting.await.unwrap(), Ok(7));
            }
            assert_eq!(asked.load(SeqCst), 1);
            assert!(flights.running.lock().is_empty());
            // It is over: the next one asks again.
            assert_eq!(flights.get("A", || async { Ok(8) }).await, Ok(8));
        });
    }

    #[test]
    fn lookups_of_those_who_left_do_not_hold_up_the_others() {
        run(async {
            let flights = Flights::<u32>::new(Duration::from_secs(3600));
            let gone: Vec<_> = (0..AT_ONCE * 3)
                .map(|n| {
                    let flights = flights.clone();
                    tokio::spawn(async move {
                        flights.get(&format!("A{n}"), std::future::pending).await
                    })
                })
                .collect();
            while flights.room.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            gone.iter().for_each(tokio::task::JoinHandle::abort);
            // Would wait for an hour for its turn.
            assert_eq!(flights.get("B", || async { Ok(1) }).await, Ok(1));
            assert!(flights.running.lock().is_empty());
            assert_eq!(flights.room.available_permits(), AT_ONCE);
        });
    }

    #[test]
    fn a_failure_is_remembered_until_forgotten() {
        run(async {
            let flights = Flights::<u32>::new(Duration::from_secs(30));
            let no = || async { Err(FetchError::new("unknown")) };
            assert!(flights.get("A", no).await.is_err());
            let again = flights.get("A", || async { Ok(1) }).await;
            assert_eq!(again.unwrap_err().to_string(), "unknown");
            assert_eq!(flights.get("B", || async { Ok(2) }).await, Ok(2));
            flights.forget("A");
            assert_eq!(flights.get("A", || async { Ok(3) }).await, Ok(3));
        });
    }

    #[test]
    fn a_failure_that_comes_too_late_is_not_remembered() {
        run(async {
            let flights = Flights::<u32>::new(Duration::from_secs(30));
            let go = Arc::new(Notify::new());
            let (of_first, wait) = (flights.clone(), go.clone());
            let first = tokio::spawn(async move {
                let late = || async move {
                    wait.notified().await;
                    Err(FetchError::new("too early"))
                };
                of_first.get("A", late).await
            });
            tokio::task::yield_now().await;
            flights.forget("A");
            assert_eq!(flights.get("A", || async { Ok(1) }).await, Ok(1));
            go.notify_one();
            assert!(first.await.unwrap().is_err());
            assert_eq!(flights.get("A", || async { Ok(2) }).await, Ok(2));
        });
    }

    #[test]
    fn a_lookup_ends_in_time_even_if_it_must_wait_for_its_turn() {
        run(async {
            let flights = Flights::<u32>::new(Duration::from_millis(20));
            let stuck = |n: usize| {
                let flights = flights.clone();
                async move { flights.get(&format!("A{n}"), std::future::pending).await }
            };
            let waiting: Vec<_> = (0..AT_ONCE * 3).map(|n| tokio::spawn(stuck(n))).collect();
            for w in waiting {
                let error = w.await.unwrap().unwrap_err().to_string();
                assert_eq!(error, "no answer within 20ms");
            }
            assert_eq!(flights.room.available_permits(), AT_ONCE);
        });
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        run(async {
            let flights = Flights::<u32>::new(Duration::from_secs(30));
            for n in 0..MOST_REMEMBERED + 10 {
                let _ = flights.get(&n.to_string(), || async { Err(FetchError::new("no")) }).await;
            }
            assert!(flights.running.lock().is_empty());
            assert!(flights.failed.lock().len() <= MOST_REMEMBERED);
        });
    }
}
