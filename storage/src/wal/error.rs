//! What can go wrong with the log.

use std::io;

/// Why the log could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// No space for a new file or a growing one. Nothing of the batch counts;
    /// appending works again when there is space.
    #[error("no space left for write-ahead log {dir}; free space on its file system")]
    DiskFull {
        /// Directory of the lane.
        dir: String,
    },
    /// A write or sync failed earlier, so what is on disk is unknown. For ever:
    /// only opening the log again, after a restart, verifies it.
    #[error(
        "write-ahead log {dir} is fenced after an error ({cause}); check the disk, then restart"
    )]
    Fenced {
        /// Directory of the lane.
        dir: String,
        /// The first error.
        cause: String,
    },
    /// The batch does not fit into a file. Nothing was written.
    #[error("batch of {bytes} bytes exceeds the {limit} bytes a write-ahead log file holds")]
    TooLarge {
        /// Encoded size.
        bytes: u64,
        /// Largest possible.
        limit: u64,
    },
    /// The file belongs to another node or lane, or to a newer version.
    #[error("{file} is not ours: {why}; start with the directory it belongs to")]
    Foreign {
        /// Path relative to the storage root.
        file: String,
        /// What differs.
        why: String,
    },
    /// Good checksums around something this version does not know.
    #[error("{file}, block at byte {offset}: {why}; start the version that wrote it")]
    Format {
        /// Path relative to the storage root.
        file: String,
        /// Where the block starts.
        offset: u64,
        /// What is unknown.
        why: String,
    },
    /// The operating system refused while opening or recycling.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Path relative to the storage root.
        path: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl WalError {
    /// Whether appending may work again without a restart.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, WalError::DiskFull { .. })
    }

    pub(super) fn io(what: &'static str, path: &str) -> impl FnOnce(io::Error) -> WalError {
        move |source| WalError::Io { what, path: path.to_owned(), source }
    }
}
