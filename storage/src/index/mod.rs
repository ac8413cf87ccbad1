//! Indexes both stores share: subjects, interior deletes, filters and totals.

pub(crate) mod core;
pub mod deletes;
#[cfg(test)]
mod deletes_test;
pub(crate) mod filter;
pub mod subjects;
