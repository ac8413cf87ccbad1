//! Indexes both stores share: subjects, interior deletes, filters and totals.

// Parts of these serve the file store, which follows.
#[allow(dead_code)]
pub(crate) mod core;
pub mod deletes;
pub(crate) mod filter;
#[allow(dead_code)]
pub mod subjects;
pub(crate) mod tree;
