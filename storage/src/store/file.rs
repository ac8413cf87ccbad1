//! The store of streams with `storage: file`.

/// Messages in block files.
#[derive(Debug)]
pub struct FileStore;
