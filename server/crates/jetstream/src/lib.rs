//! JetStream's rules as pure deciders: no I/O, clock, randomness or async.
//! Events and `now` go in, log entries and [`effect::Effect`]s come out.

pub mod api;
pub mod config;
pub mod consumer;
pub mod decimal;
pub mod duration;
pub mod effect;
pub mod error;
pub mod json;
pub mod snapshot;
pub mod stream;
pub mod time;
