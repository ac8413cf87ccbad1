//! Operator mode: logins decided by tokens (contract/core.md §4.4).

pub mod conditions;
