//! Subjects: their tokens, wildcards and algebra, the mappings from one subject
//! to another, and the radix tree that indexes millions of them.
//!
//! Everything works on `&[u8]`: a subject is bytes split by `.`; any byte may
//! occur in it except blanks (contract/core.md §1.6).

pub mod subject;
pub mod tokens;
pub mod transform;
pub mod tree;

pub use subject::{
    has_wildcards, intersection, matches, overlaps, subset, valid_publish, valid_subscribe,
    wildcard_count,
};
pub use tokens::{Tokens, token_count, tokens};
pub use transform::{Mapped, MappingCache, Mappings, Renamed, Transform, TransformError};
pub use tree::SubjectTree;

/// Longest subject the server stores: the record format has a u16 for it.
pub const MAX_SUBJECT: usize = u16::MAX as usize;
