//! Answers about the certificates of peers, kept until they end: `ocsp_cache`.
//!
//! With a configured `ocsp_cache` of type local they are on disk, too ([`cache_file`]).
//! Limits: [`MAX_BYTES`] of answers, then the one that ends first makes room;
//! [`MOST_QUESTIONS`] responders asked at once, the others wait. Whoever asks about
//! the same certificate at the same time shares the question and its failure.

use super::cache_file::{self, Stored};
use super::fetch::AskError;
use super::response::{Answer, Status};
use crate::clock;
use foldhash::HashMap;
use gust_config::options::ocsp::OcspCache;
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Bytes of answers that are kept: some 10 000.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// What an answer takes besides itself.
const OVERHEAD: usize = 256;
/// Questions under way at once.
const MOST_QUESTIONS: usize = 64;

/// SHA-256 of a certificate.
pub type Fingerprint = [u8; 32];

/// See the module documentation.
#[derive(Debug)]
pub struct Cache {
    kept: Mutex<Kept>,
    hits: AtomicU64,
    misses: AtomicU64,
    flights: Mutex<HashMap<Fingerprint, Arc<Flight>>>,
    asking: Semaphore,
    /// One writes the file at a time.
    saving: Mutex<()>,
}

/// A question under way and how it failed last.
type Flight = tokio::sync::Mutex<Option<(Instant, AskError)>>;

#[derive(Debug, Default)]
struct Kept {
    /// `None`: nothing is kept.
    rules: Option<OcspCache>,
    answers: HashMap<Fingerprint, Item>,
    bytes: usize,
    /// Where answers are kept on disk, if they are.
    file: Option<PathBuf>,
    /// What was read there and not verified yet.
    read: HashMap<Fingerprint, Stored>,
    /// The file lacks something.
    dirty: bool,
}

#[derive(Debug)]
struct Item {
    issuer: Fingerprint,
    subject: String,
    cached_at: i64,
    answer: Answer,
}

impl Item {
    fn size(&self) -> usize {
        self.answer.der.len() + self.subject.len() + OVERHEAD
    }

    fn stored(&self) -> Stored {
        Stored {
            subject: self.subject.clone(),
            cached_at: self.cached_at,
            status: self.answer.status,
            ends: self.answer.next_update,
            der: self.answer.der.clone(),
        }
    }
}

/// Numbers of the cache for `/varz`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Answers used again.
    pub hits: u64,
    /// Questions for which there was none.
    pub misses: u64,
    /// Answers kept.
    pub answers: u64,
    /// Of them "revoked".
    pub revoked: u64,
    /// Of them "good".
    pub good: u64,
    /// Of them "unknown".
    pub unknown: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            hits: AtomicU64::default(),
            misses: AtomicU64::default(),
            flights: Mutex::default(),
            asking: Semaphore::new(MOST_QUESTIONS),
            saving: Mutex::default(),
        }
    }
}

impl Cache {
    /// Follows `ocsp_cache` from now on; with `None` nothing is kept. With `on_disk`
    /// answers are read from the file and saved there. Blocks.
    pub fn configure(&self, rules: Option<OcspCache>, on_disk: bool) {
        let rules = rules.filter(|r| r.local);
        let file = rules.as_ref().filter(|_| on_disk).map(|r| {
            let dir = if r.local_store.is_empty() { "_rc_" } else { &r.local_store };
            Path::new(dir).join(cache_file::FILE)
        });
        let mut read = None;
        if self.kept.lock().file != file {
            cache_file::save(self);
            read = Some(file.as_deref().map(read_file).unwrap_or_default());
        }
        let mut kept = self.kept.lock();
        if rules.is_none() {
            *kept = Kept::default();
        }
        if let Some(read) = read {
            kept.read = read;
            kept.dirty = file.is_some();
        }
        kept.file = file;
        kept.rules = rules;
    }

    /// Time between writes of the file; `None` if there is none.
    pub fn save_interval(&self) -> Option<Duration> {
        let kept = self.kept.lock();
        let rules = kept.rules.as_ref().filter(|_| kept.file.is_some())?;
        Some(Duration::from_nanos(rules.save_interval_ns.unsigned_abs()))
    }

    /// Writes the file if it lacks something. Blocks.
    pub fn save(&self) -> Result<(), std::io::Error> {
        let _one = self.saving.lock();
        let mut kept = self.kept.lock();
        let Some(file) = kept.file.clone().filter(|_| kept.dirty) else { return Ok(()) };
        let verified = kept.answers.iter().map(|(cert, i)| (*cert, i.stored()));
        let text = cache_file::encode(verified.chain(kept.read.clone()))?;
        // What comes meanwhile makes it dirty again.
        kept.dirty = false;
        drop(kept);
        cache_file::write(&file, &text).inspect_err(|_| self.kept.lock().dirty = true)
    }

    /// What the disk has of `cert`, which only counts once it is verified and
    /// handed to [`Cache::keep`].
    pub fn take_read(&self, cert: &Fingerprint) -> Option<Vec<u8>> {
        let mut kept = self.kept.lock();
        let stored = kept.read.remove(cert)?;
        kept.dirty = true;
        Some(stored.der)
    }

    /// Whether answers are kept.
    pub fn is_on(&self) -> bool {
        self.kept.lock().rules.is_some()
    }

    /// What is kept of `cert`, signed for `issuer`: with `true` if `is_current`
    /// says so, else it is forgotten, but for revocations that are to be preserved.
    pub fn look(
        &self,
        cert: &Fingerprint,
        issuer: &Fingerprint,
        is_current: impl Fn(&Answer) -> bool,
    ) -> Option<(Answer, bool)> {
        let mut kept = self.kept.lock();
        kept.rules.as_ref()?;
        let found = kept.answers.get(cert).filter(|i| i.issuer == *issuer);
        let Some(answer) = found.map(|i| i.answer.clone()) else {
            self.misses.fetch_add(1, Relaxed);
            return None;
        };
        if is_current(&answer) {
            self.hits.fetch_add(1, Relaxed);
            return Some((answer, true));
        }
        self.misses.fetch_add(1, Relaxed);
        let preserved = kept.rules.as_ref().is_some_and(|r| r.preserve_revoked);
        if !(preserved && answer.status == Status::Revoked) {
            kept.remove(cert);
        }
        Some((answer, false))
    }

    /// Asks with `ask`, unless somebody else does so at this time, whose answer
    /// `again` finds then, or whose failure is this one's too.
    pub async fn ask(
        &self,
        cert: &Fingerprint,
        issuer: &Fingerprint,
        subject: &str,
        again: impl Fn(&Answer) -> bool,
        ask: impl Future<Output = Result<Answer, AskError>>,
    ) -> Result<Answer, AskError> {
        let began = Instant::now();
        let joined = Joined { cache: self, cert, flight: self.join(cert) };
        let mut failed = joined.flight.lock().await;
        if let Some((at, e)) = &*failed
            && *at >= began
        {
            return Err(e.clone());
        }
        let kept = self
            .kept
            .lock()
            .answers
            .get(cert)
            .filter(|i| i.issuer == *issuer)
            .map(|i| i.answer.clone());
        if let Some(answer) = kept.filter(again) {
            return Ok(answer);
        }
        // The semaphore is never closed.
        let _turn = self.asking.acquire().await;
        match ask.await {
            Ok(answer) => {
                self.keep(cert, issuer, subject, &answer);
                Ok(answer)
            }
            Err(e) => {
                *failed = Some((Instant::now(), e.clone()));
                Err(e)
            }
        }
    }

    fn join(&self, cert: &Fingerprint) -> Arc<Flight> {
        match self.flights.lock().entry(*cert) {
            Entry::Occupied(e) => e.get().clone(),
            Entry::Vacant(e) => e.insert(Arc::default()).clone(),
        }
    }

    /// Keeps an answer that was verified.
    pub fn keep(&self, cert: &Fingerprint, issuer: &Fingerprint, subject: &str, answer: &Answer) {
        let mut kept = self.kept.lock();
        if kept.rules.is_none() {
            return;
        }
        kept.remove(cert);
        let item = Item {
            issuer: *issuer,
            subject: subject.to_owned(),
            cached_at: clock::now(),
            answer: answer.clone(),
        };
        while kept.bytes + item.size() > MAX_BYTES {
            let first = kept.answers.iter().min_by_key(|(_, i)| i.answer.ends(Some(0)));
            let Some(first) = first.map(|(cert, _)| *cert) else { break };
            kept.remove(&first);
        }
        kept.bytes += item.size();
        kept.answers.insert(*cert, item);
        kept.dirty = true;
    }

    /// Numbers for `/varz`; `None` if nothing is kept.
    pub fn figures(&self) -> Option<Figures> {
        let kept = self.kept.lock();
        kept.rules.as_ref()?;
        let known = || {
            let verified = kept.answers.values().map(|i| i.answer.status);
            verified.chain(kept.read.values().map(|s| s.status))
        };
        let count = |status| known().filter(|s| *s == status).count();
        Some(Figures {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            answers: known().count() as u64,
            revoked: count(Status::Revoked) as u64,
            good: count(Status::Good) as u64,
            unknown: count(Status::Unknown) as u64,
        })
    }
}

/// What is worth knowing of a file: only a revocation is so after its end.
fn read_file(path: &Path) -> HashMap<Fingerprint, Stored> {
    let mut read = cache_file::read(path).unwrap_or_else(|e| {
        tracing::warn!("Unable to load OCSP peer cache: {e}");
        HashMap::default()
    });
    let now = clock::now() / 1_000_000_000;
    read.retain(|_, s| s.status == Status::Revoked || s.ends.is_none_or(|e| e > now));
    read
}

impl Kept {
    fn remove(&mut self, cert: &Fingerprint) {
        if let Some(item) = self.answers.remove(cert) {
            self.bytes -= item.size();
            self.dirty = true;
        }
    }
}

/// One who takes part in a question; the last one clears it away.
struct Joined<'a> {
    cache: &'a Cache,
    cert: &'a Fingerprint,
    flight: Arc<Flight>,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        let mut flights = self.cache.flights.lock();
        // The table's and this one.
        if Arc::strong_count(&self.flight) <= 2 {
            flights.remove(self.cert);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn answer(status: Status, next_update: i64, size: usize) -> Answer {
        Answer { status, this_update: 0, next_update: Some(next_update), der: vec![0; size] }
    }

    fn failure() -> AskError {
        AskError { text: "no".to_owned(), answered: None }
    }

    fn on(preserve_revoked: bool) -> Cache {
        let cache = Cache::default();
        cache.configure(Some(OcspCache { preserve_revoked, ..OcspCache::default() }), false);
        cache
    }

    #[test]
    fn answers_are_kept_until_they_end_and_revocations_longer() {
        for preserve in [false, true] {
            let cache = on(preserve);
            let issuer = [9; 32];
            cache.keep(&[1; 32], &issuer, "", &answer(Status::Good, 5, 10));
            cache.keep(&[2; 32], &issuer, "", &answer(Status::Revoked, 5, 10));
            let current = |a: &Answer| a.next_update > Some(5);
            for cert in [[1; 32], [2; 32]] {
                assert!(cache.look(&cert, &issuer, |_| true).unwrap().1);
                assert!(cache.look(&cert, &[8; 32], |_| true).is_none(), "another issuer");
                assert!(!cache.look(&cert, &issuer, current).unwrap().1);
            }
            assert!(cache.look(&[1; 32], &issuer, |_| true).is_none());
            assert_eq!(cache.look(&[2; 32], &issuer, |_| true).is_some(), preserve);
            let figures = cache.figures().unwrap();
            assert_eq!((figures.revoked, figures.good), (u64::from(preserve), 0));
        }
    }

    #[test]
    fn a_full_cache_forgets_what_ends_first() {
        let cache = on(false);
        for n in 0..20u8 {
            let ends = if n == 7 { 1 } else { 100 + i64::from(n) };
            cache.keep(&[n; 32], &[9; 32], "", &answer(Status::Good, ends, 1 << 20));
        }
        assert!(cache.kept.lock().bytes <= MAX_BYTES);
        assert_eq!(cache.figures().unwrap().answers, 15);
        for gone in [7, 0, 1, 2, 3] {
            assert!(cache.look(&[gone; 32], &[9; 32], |_| true).is_none());
        }
        cache.configure(None, false);
        assert_eq!((cache.figures(), cache.kept.lock().bytes), (None, 0));
        cache.keep(&[1; 32], &[9; 32], "", &answer(Status::Good, 1, 1));
        assert!(cache.kept.lock().answers.is_empty());
    }

    #[tokio::test]
    async fn one_question_at_a_time_about_a_certificate() {
        let (cache, asked) = (on(false), Cell::new(0));
        let ask = |result: Result<Answer, AskError>| {
            let asked = &asked;
            cache.ask(&[1; 32], &[9; 32], "", |_| true, async move {
                asked.set(asked.get() + 1);
                tokio::task::yield_now().await;
                result
            })
        };
        let good = || Ok(answer(Status::Good, 5, 10));
        let (a, b, c) = tokio::join!(ask(Err(failure())), ask(good()), ask(good()));
        assert!(a.is_err() && b.is_err() && c.is_err());
        assert_eq!(asked.get(), 1, "a failure is everybody's who waited for it");
        let (a, b, c) = tokio::join!(ask(good()), ask(good()), ask(good()));
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(asked.get(), 2);
        assert!(cache.flights.lock().is_empty());
    }
}
