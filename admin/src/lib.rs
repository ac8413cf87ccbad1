//! The HTTP plane: one small server on hyper, query parsing as nats-server does
//! it, Prometheus exposition. The monitoring endpoints and, later, the console
//! are handlers on top; this crate sees the server only through [`Handler`].

pub mod exposition;
pub mod http;
pub mod query;

pub use http::{Handler, Reply, Request};
