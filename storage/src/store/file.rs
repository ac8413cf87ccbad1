//! Placeholder head.
pub struct FileStore;
