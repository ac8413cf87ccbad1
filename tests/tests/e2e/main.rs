//! End-to-end tests: the real binary, real clients, raw sockets where a client
//! would hide what matters. No fixed sleeps: every wait has a condition and a
//! deadline, and "nothing comes" is shown by what comes next instead.

// A test that cannot go on says so best where it stands.
#![allow(clippy::unwrap_used)]

mod asking;
mod auth;
mod callout;
mod callout_tokens;
mod claims;
mod claims_sources;
mod command_line;
mod common;
mod consumers;
mod core;
mod durability;
mod exchange;
mod explain;
mod isolation;
mod jetstream;
mod limits;
mod logins;
mod mappings;
mod monitoring;
mod ocsp;
mod ocsp_answers;
mod ocsp_peer;
mod operator;
mod pki;
mod protocol;
mod proxies;
mod proxy_protocol;
mod reload;
mod reload_live;
mod responder;
mod samples;
mod secrets;
mod secure;
mod stores;
mod system;
mod system_tokens;
mod tls;
mod tokens;
mod trace;
mod web;
mod websocket;
