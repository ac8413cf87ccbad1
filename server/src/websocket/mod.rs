//! Clients that come through HTTP (contract/core.md §6): the listener's side of
//! the upgrade, and the frames under their protocol. From then on they are
//! sessions like all others.

use gust_config::Options;
use gust_wire::connect::Connect;
use gust_wire::websocket::origin::Origin;
use gust_wire::websocket::upgrade::{CookieNames, Cookies, Policy};
use std::net::{IpAddr, TcpListener};

pub mod framing;
pub mod opening;
pub mod turned_away;

/// What is remembered of a client's upgrade.
#[derive(Debug, Clone, Default)]
pub struct WebsocketFacts {
    /// Who a proxy says it is; only for the log.
    pub forwarded_for: Option<IpAddr>,
    /// Credentials that came with the request.
    pub cookies: Cookies,
}

impl WebsocketFacts {
    /// Puts what came in cookies where CONNECT says nothing.
    pub fn complete(&self, connect: &mut Connect) {
        for (place, cookie) in [
            (&mut connect.jwt, &self.cookies.jwt),
            (&mut connect.user, &self.cookies.user),
            (&mut connect.pass, &self.cookies.pass),
            (&mut connect.auth_token, &self.cookies.token),
        ] {
            if place.is_empty() {
                place.clone_from(cookie);
            }
        }
    }
}

/// What requests are measured by under these options.
pub fn policy(options: &Options) -> Policy {
    let ws = &options.websocket;
    Policy {
        tls: ws.tls.is_some(),
        same_origin: ws.same_origin,
        // Checked when the configuration was read.
        allowed_origins: ws.allowed_origins.iter().filter_map(|o| Origin::parse(o)).collect(),
        compression: ws.compression,
        // There is no MQTT to hand such a connection to.
        mqtt: false,
        cookies: CookieNames {
            jwt: ws.jwt_cookie.clone(),
            user: ws.user_cookie.clone(),
            pass: ws.pass_cookie.clone(),
            token: ws.token_cookie.clone(),
        },
    }
}

/// Listens if the block is configured, and says so.
pub fn bind(options: &Options) -> Result<Option<TcpListener>, String> {
    let ws = &options.websocket;
    if !ws.listen.is_set() {
        return Ok(None);
    }
    let (host, port) = (&ws.listen.host, ws.listen.port);
    let failed = |e| format!("Unable to listen for websocket connections: {host}:{port}: {e}");
    let listener = crate::listener::bind(host, port).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let scheme = if ws.tls.is_some() { "wss" } else { "ws" };
    tracing::info!("Listening for websocket clients on {scheme}://{host}:{port}");
    if ws.tls.is_none() {
        tracing::warn!("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!");
    }
    Ok(Some(listener))
}
