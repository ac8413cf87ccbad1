//! What accounts export and import: rules as written, checked against each other
//! and turned into tables that are quick to ask (contract/core.md §5).

mod cycles;
mod fault;
mod pending;
mod resolve;
#[cfg(test)]
mod resolve_test;
mod rules;
mod service;
mod stream;

pub use fault::{ExchangeError, ExchangeFault};
pub use gust_config::options::exchange::{ExchangeKind, Latency, ResponseType};
pub use pending::{Pending, Refused, Token};
pub use resolve::{AccountExchange, Activation, Exchange, InvalidImport, Judge, Party};
pub use rules::{Access, DEFAULT_THRESHOLD_NS, ExportRule, ImportRule};
pub use service::{ServiceExport, ServiceImport};
pub use stream::StreamImport;
