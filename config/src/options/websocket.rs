//! `websocket { … }`: clients that come through HTTP.

use std::collections::BTreeMap;

use super::authorization::{self, SimpleAuthorization};
use super::listen::{self, Listen};
use super::report::Report;
use super::tls::{self, TlsOptions, TlsUse};
use crate::value::{Node, Value};

/// The block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WebsocketOptions {
    /// Listener; without a port WebSocket is off.
    pub listen: Listen,
    /// Address announced to clients, or empty.
    pub advertise: String,
    /// TLS; it or `no_tls` is required.
    pub tls: Option<TlsOptions>,
    /// Plain HTTP is wanted.
    pub no_tls: bool,
    /// The Origin header must name this host.
    pub same_origin: bool,
    /// Origins accepted; empty: all.
    pub allowed_origins: Vec<String>,
    /// permessage-deflate may be negotiated.
    pub compression: bool,
    /// Time for the upgrade; 0: default.
    pub handshake_timeout_ns: i64,
    /// Time between pings; 0: default.
    pub ping_interval_ns: i64,
    /// Headers added to the answer.
    pub headers: BTreeMap<String, String>,
    /// Cookie with a user JWT, or empty.
    pub jwt_cookie: String,
    /// Cookie with the user name, or empty.
    pub user_cookie: String,
    /// Cookie with the password, or empty.
    pub pass_cookie: String,
    /// Cookie with the token, or empty.
    pub token_cookie: String,
    /// Login instead of the server's.
    pub authorization: SimpleAuthorization,
    /// User of clients without credentials, or empty.
    pub no_auth_user: String,
}

pub(crate) fn parse(node: &Node, report: &mut Report) -> Option<WebsocketOptions> {
    let map = report.map_or(node, "Expected websocket to be a map")?;
    let mut ws = WebsocketOptions::default();
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "listen" => ws.listen = listen::parse(node, report).unwrap_or_default(),
            "port" => ws.listen.port = report.int(node).unwrap_or(0),
            "host" | "net" => ws.listen.host = report.string(node).unwrap_or_default(),
            "advertise" => ws.advertise = report.string(node).unwrap_or_default(),
            "no_tls" => ws.no_tls = report.boolean(node).unwrap_or(false),
            "tls" => ws.tls = tls::parse(node, TlsUse::Clients, report),
            "same_origin" => ws.same_origin = report.boolean(node).unwrap_or(false),
            "allowed_origins" | "allowed_origin" | "allow_origins" | "allow_origin" | "origins"
            | "origin" => {
                ws.allowed_origins =
                    report.one_or_more("allowed origins", node).unwrap_or_default();
            }
            "handshake_timeout" => {
                ws.handshake_timeout_ns = handshake_timeout(node, report).unwrap_or(0);
            }
            "compress" | "compression" => ws.compression = report.boolean(node).unwrap_or(false),
            "authorization" | "authentication" => {
                ws.authorization = authorization::parse_simple(node, report).unwrap_or_default();
            }
            "jwt_cookie" => ws.jwt_cookie = report.string(node).unwrap_or_default(),
            "user_cookie" => ws.user_cookie = report.string(node).unwrap_or_default(),
            "pass_cookie" => ws.pass_cookie = report.string(node).unwrap_or_default(),
            "token_cookie" => ws.token_cookie = report.string(node).unwrap_or_default(),
            "no_auth_user" => ws.no_auth_user = report.string(node).unwrap_or_default(),
            "headers" => ws.headers = headers(node, report),
            "ping_interval" => {
                ws.ping_interval_ns = report.duration("ping_interval", node).unwrap_or(0);
            }
            _ => report.unknown(key, node),
        }
    }
    Some(ws)
}

fn handshake_timeout(node: &Node, report: &mut Report) -> Option<i64> {
    match &node.value {
        Value::Int(_) => report.timeout("", node),
        Value::String(_) => report.duration_text("", node),
        other => {
            let got = other.go_type();
            let reason = format!("error parsing handshake timeout: unsupported type {got}");
            report.error(node, reason);
            None
        }
    }
}

fn headers(node: &Node, report: &mut Report) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    let Value::Map(map) = &node.value else {
        let got = node.value.go_type();
        report.error(node, format!("error parsing headers: unsupported type {got}"));
        return headers;
    };
    for (key, node) in map.iter() {
        match &node.value {
            Value::String(text) => {
                headers.insert(key.to_owned(), text.clone());
            }
            other => {
                let got = other.go_type();
                let reason = format!("error parsing header key {key}: unsupported type {got}");
                report.error(node, reason);
            }
        }
    }
    headers
}
