//! A directory of account tokens, `<dir>/<A…>.jwt` (contract/core.md §4.4).
//!
//! A token is written beside its place, synced, renamed over the old one, and the
//! directory is synced: after [`Directory::save`] it survives a power cut, and a
//! power cut during it leaves the old one. Reading and writing block; call from a
//! worker. Time is an argument.
//!
//! Limits: a token has at most [`MAX_TOKEN`] bytes; a full store has as many
//! accounts as `limit` says and refuses more, a cache drops the one used longest
//! ago. Files that are no tokens of this server are named once and left alone.

use super::index::{Digest, Index};
use super::peek::Peek;
use gust_config::nkey::{self, KeyKind};
use gust_config::options::trust::DirectoryResolver;
use parking_lot::Mutex;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest token in bytes; also for tokens from elsewhere. With a thousand
/// revocations one has about 70 KB.
pub const MAX_TOKEN: usize = 1 << 20;
/// Accounts a cache holds if nothing else is said.
const CACHE_LIMIT: usize = 1000;
const SUFFIX: &str = ".jwt";
/// What is written before it gets its name; one left by a crash means nothing.
const TEMPORARY: &str = ".jwt.tmp";
const DELETED: &str = ".jwt.deleted";

/// What becomes of a deleted account's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletion {
    /// Accounts cannot be deleted.
    Off,
    /// Renamed to `.jwt.deleted`.
    Rename,
    /// Removed.
    Hard,
}

/// Why a directory of tokens could not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The disk or the permissions.
    #[error("{action} {path}: {cause}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Not an account key.
    #[error("{0:?} is not a public account key")]
    Name(String),
    /// The file holds no token.
    #[error("{path} does not hold an account JWT; replace or remove it", path = .0.display())]
    NoToken(PathBuf),
    /// Empty or too long.
    #[error("a JWT of {0} bytes; it must have 1 to {MAX_TOKEN}")]
    Size(usize),
    /// `limit` is reached.
    #[error("jwt store is full: it holds its limit of {0} accounts")]
    Full(usize),
    /// `allow_delete` is off.
    #[error("delete must be enabled in server config")]
    DeleteOff,
}

/// The directory, open.
#[derive(Debug)]
pub struct Directory {
    dir: PathBuf,
    cache: bool,
    deletion: Deletion,
    limit: usize,
    /// ns; 0: until the token ends.
    ttl: i64,
    index: Mutex<Index>,
    /// Held while a file changes, so that file and index change alike. Only
    /// writers wait for it, on workers.
    writing: Mutex<()>,
}

impl Directory {
    /// Opens the store of a full resolver, making the directory if it is missing.
    pub fn full(options: &DirectoryResolver, now: i64) -> Result<Directory, DirectoryError> {
        let deletion = match (options.allow_delete, options.hard_delete) {
            (false, _) => Deletion::Off,
            (true, false) => Deletion::Rename,
            (true, true) => Deletion::Hard,
        };
        let limit = usize::try_from(options.limit).unwrap_or(0);
        let limit = if limit == 0 { usize::MAX } else { limit };
        Self::open(&options.dir, false, deletion, limit, 0, now)
    }

    /// Opens the store of a cache resolver.
    pub fn cache(options: &DirectoryResolver, now: i64) -> Result<Directory, DirectoryError> {
        let limit = usize::try_from(options.limit).unwrap_or(0);
        let limit = if limit == 0 { CACHE_LIMIT } else { limit };
        Self::open(&options.dir, true, Deletion::Hard, limit, options.ttl_ns.max(0), now)
    }

    fn open(
        dir: &str,
        cache: bool,
        deletion: Deletion,
        limit: usize,
        ttl: i64,
        now: i64,
    ) -> Result<Directory, DirectoryError> {
        let dir = std::path::absolute(dir).map_err(io_error("finding", Path::new(dir)))?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(&dir);
        made.map_err(io_error("making", &dir))?;
        let store = Directory {
            dir,
            cache,
            deletion,
            limit,
            ttl,
            index: Mutex::default(),
            writing: Mutex::default(),
        };
        store.reload(now)?;
        Ok(store)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Whether it holds only what was asked for.
    pub fn is_cache(&self) -> bool {
        self.cache
    }

    /// Whether accounts can be deleted.
    pub fn deletes(&self) -> bool {
        self.deletion != Deletion::Off
    }

    /// Looks at all files again. Returns the accounts whose token is new, changed
    /// or gone since the last look.
    pub fn reload(&self, now: i64) -> Result<Vec<String>, DirectoryError> {
        let _writing = self.writing.lock();
        let mut found = Index::default();
        let listing = fs::read_dir(&self.dir).map_err(io_error("listing", &self.dir))?;
        for item in listing {
            let path = item.map_err(io_error("listing", &self.dir))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if let Some(id) = name.strip_suffix(TEMPORARY)
                && is_account(id)
            {
                // Never acknowledged, since it never got its name.
                let _ = fs::remove_file(&path);
                continue;
            }
            let Some(id) = name.strip_suffix(SUFFIX) else { continue };
            if !is_account(id) {
                tracing::warn!("{}: not named after an account; ignored", path.display());
                continue;
            }
            match read(&path) {
                Ok(Some(token)) => {
                    let expires = self.expires(&token, now);
                    if self.cache || expires > now {
                        found.put(id, digest(&token), expires);
                    }
                }
                Ok(None) => {}
                Err(e) => tracing::error!("account resolver: {e}"),
            }
        }
        let mut index = self.index.lock();
        let mut changed = found.ids();
        changed.retain(|id| index.digest(id) != found.digest(id));
        changed.extend(index.ids().into_iter().filter(|id| found.digest(id).is_none()));
        *index = found;
        Ok(changed)
    }

    /// The token of an account, if there is one.
    pub fn load(&self, id: &str, now: i64) -> Result<Option<String>, DirectoryError> {
        let path = self.file(id)?;
        let token = read(&path)?;
        if token.is_some() {
            // In a cache, use keeps an entry.
            let until = (self.ttl > 0).then(|| now.saturating_add(self.ttl));
            self.index.lock().used(id, until);
        }
        Ok(token)
    }

    /// Stores an account's token durably. False: it was there already.
    pub fn save(&self, id: &str, token: &str, now: i64) -> Result<bool, DirectoryError> {
        let path = self.file(id)?;
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(DirectoryError::Size(token.len()));
        }
        let sum = digest(token);
        let _writing = self.writing.lock();
        let (known, full) = {
            let index = self.index.lock();
            (index.digest(id), index.len() >= self.limit)
        };
        // The file is asked too: somebody may have changed it.
        if known == Some(sum) && read(&path).is_ok_and(|t| t.as_deref() == Some(token)) {
            self.index.lock().used(id, (self.ttl > 0).then(|| now.saturating_add(self.ttl)));
            return Ok(false);
        }
        if known.is_none() && full {
            self.make_room()?;
        }
        self.write(id, &path, token)?;
        self.index.lock().put(id, sum, self.expires(token, now));
        Ok(true)
    }

    /// Like [`Directory::save`], unless the token that is there is the same or
    /// was issued later.
    pub fn save_if_newer(&self, id: &str, token: &str, now: i64) -> Result<bool, DirectoryError> {
        let no_token = || DirectoryError::NoToken(self.dir.join(id));
        let new = Peek::of(token).ok_or_else(no_token)?;
        let old = self.load(id, now).ok().flatten().and_then(|t| Peek::of(&t));
        if old.is_some_and(|old| old.id == new.id || old.issued > new.issued) {
            return Ok(false);
        }
        self.save(id, token, now)
    }

    /// Deletes an account's token as the configuration says. False: there is none.
    pub fn delete(&self, id: &str) -> Result<bool, DirectoryError> {
        let path = self.file(id)?;
        let _writing = self.writing.lock();
        let done = match self.deletion {
            Deletion::Off => return Err(DirectoryError::DeleteOff),
            Deletion::Rename => fs::rename(&path, self.dir.join(format!("{id}{DELETED}"))),
            Deletion::Hard => fs::remove_file(&path),
        };
        match done {
            Ok(()) => self.sync()?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.index.lock().remove(id);
                return Ok(false);
            }
            Err(e) => return Err(io_error("deleting", &path)(e)),
        }
        self.index.lock().remove(id);
        Ok(true)
    }

    /// Forgets tokens that ended. The file goes only out of a cache: in a full
    /// store it is no longer listed, but stays for who wants to look.
    pub fn expire(&self, now: i64) {
        let ended = self.index.lock().ended(now);
        if ended.is_empty() {
            return;
        }
        let _writing = self.writing.lock();
        for id in ended {
            if self.cache {
                let _ = fs::remove_file(self.dir.join(format!("{id}{SUFFIX}")));
            }
            self.index.lock().remove(&id);
        }
    }

    /// XOR of the SHA-256 of all tokens.
    pub fn sum(&self) -> Digest {
        self.index.lock().sum()
    }

    /// All accounts, sorted.
    pub fn ids(&self) -> Vec<String> {
        self.index.lock().ids()
    }

    fn file(&self, id: &str) -> Result<PathBuf, DirectoryError> {
        if !is_account(id) {
            return Err(DirectoryError::Name(id.to_owned()));
        }
        Ok(self.dir.join(format!("{id}{SUFFIX}")))
    }

    fn expires(&self, token: &str, now: i64) -> i64 {
        if self.ttl > 0 {
            return now.saturating_add(self.ttl);
        }
        Peek::of(token).map_or(i64::MAX, |p| p.expires_ns())
    }

    fn make_room(&self) -> Result<(), DirectoryError> {
        if !self.cache {
            return Err(DirectoryError::Full(self.limit));
        }
        let Some(oldest) = self.index.lock().oldest() else { return Ok(()) };
        let path = self.dir.join(format!("{oldest}{SUFFIX}"));
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("removing", &path)(e));
            }
            _ => {}
        }
        self.index.lock().remove(&oldest);
        Ok(())
    }

    fn write(&self, id: &str, path: &Path, token: &str) -> Result<(), DirectoryError> {
        let temporary = self.dir.join(format!("{id}{TEMPORARY}"));
        let wrote = (|| {
            let mut options = File::options();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o640).open(&temporary)?;
            file.write_all(token.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        })();
        if let Err(e) = wrote {
            let _ = fs::remove_file(&temporary);
            return Err(io_error("writing", path)(e));
        }
        self.sync()
    }

    /// Names are durable once the directory is.
    fn sync(&self) -> Result<(), DirectoryError> {
        let synced = File::open(&self.dir).and_then(|d| d.sync_all());
        synced.map_err(io_error("syncing", &self.dir))
    }
}

/// Whether `id` is a public account key: nothing else is ever part of a path.
pub fn is_account(id: &str) -> bool {
    nkey::is_public(id, KeyKind::Account)
}

fn digest(token: &str) -> Digest {
    let sum = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let mut out = Digest::default();
    out.copy_from_slice(sum.as_ref());
    out
}

/// The token in a file; `None` if there is no file.
fn read(path: &Path) -> Result<Option<String>, DirectoryError> {
    let file = match File::options().read(true).custom_flags(NONBLOCK).open(path) {
        Ok(f) => f,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error("reading", path)(e)),
    };
    let no_token = || DirectoryError::NoToken(path.to_owned());
    let about = file.metadata().map_err(io_error("reading", path))?;
    if !about.is_file() || about.len() > MAX_TOKEN as u64 {
        return Err(no_token());
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    let read = file.take(MAX_TOKEN as u64 + 1).read_to_end(&mut bytes);
    read.map_err(io_error("reading", path))?;
    let text = String::from_utf8(bytes).map_err(|_| no_token())?;
    let token = text.trim();
    if Peek::of(token).is_none() {
        return Err(no_token());
    }
    Ok(Some(if token.len() == text.len() { text } else { token.to_owned() }))
}

/// Opening a named pipe must not wait for its other end.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |cause| DirectoryError::Io { action, path, cause }
}
