//! Blocks: the files a stream's messages live in (`storage/docs/block.md`).

#[allow(dead_code)] // the file store, which follows, uses the rest
pub(crate) mod buffer;
