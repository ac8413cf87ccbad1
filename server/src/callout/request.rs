//! Making the request: what is known of the client, signed and perhaps sealed.

use crate::client::session::Session;
use crate::clock;
use crate::server::COMPATIBLE;
use gust_account::callout::request::{
    AuthorizationRequest, AuthorizationRequestClaims, ClientInformation, ClientTls, ConnectOptions,
    ServerId,
};
use gust_account::callout::{CalloutQuestion, CalloutRefusal, REQUEST_AUDIENCE};
use gust_account::{ConnectionKind, jwt};
use gust_wire::connect::Connect;

/// Nanoseconds of a second: tokens count in seconds.
const SECOND: i64 = 1_000_000_000;

/// The payload of the request.
pub fn make(
    session: &Session,
    question: &CalloutQuestion,
    user_nkey: &str,
) -> Result<Vec<u8>, CalloutRefusal> {
    let server = &session.shard.server;
    let nothing = Connect::default();
    let connect = session.presented.as_deref().unwrap_or(&nothing);
    let sealed = !question.xkey.is_empty();
    let now = clock::now();
    let claims = AuthorizationRequestClaims {
        subject: question.issuer.clone(),
        audience: REQUEST_AUDIENCE.to_owned(),
        issued_at: now / SECOND,
        // Rounded up: a timeout below a second is not over before it began.
        expires: (now + server.auth_timeout(session.client.kind()) + SECOND - 1) / SECOND,
        nats: AuthorizationRequest {
            server_id: server_id(session, sealed),
            user_nkey: user_nkey.to_owned(),
            client_info: client_info(session, question, connect),
            connect_opts: connect_opts(question, connect),
            client_tls: client_tls(session),
        },
        ..AuthorizationRequestClaims::default()
    };
    let failed = |e: &dyn std::fmt::Display| CalloutRefusal::Request(e.to_string());
    let token = jwt::sign(&claims, &server.keys.server).map_err(|e| failed(&e))?;
    if !sealed {
        return Ok(token.into_bytes());
    }
    let nonce = clock::secret();
    server.keys.curve.seal(token.as_bytes(), &question.xkey, nonce).map_err(|e| failed(&e))
}

fn server_id(session: &Session, sealed: bool) -> ServerId {
    let server = &session.shard.server;
    let options = server.options.load();
    ServerId {
        name: server.name.clone(),
        host: options.listen.host.clone(),
        id: server.id.clone(),
        version: COMPATIBLE.to_owned(),
        cluster: String::new(),
        tags: options.server_tags.clone(),
        xkey: if sealed { server.keys.curve.public().to_owned() } else { String::new() },
    }
}

fn client_info(
    session: &Session,
    question: &CalloutQuestion,
    connect: &Connect,
) -> ClientInformation {
    let nonce = session.nonce.as_deref().filter(|_| !connect.sig.is_empty());
    ClientInformation {
        host: session.client.addr.ip().to_string(),
        id: session.client.cid,
        user: question.user.clone(),
        name: connect.name.clone(),
        kind: "Client".to_owned(),
        client_type: match session.client.kind() {
            ConnectionKind::Websocket => "websocket".to_owned(),
            _ => "nats".to_owned(),
        },
        mqtt_id: String::new(),
        nonce: nonce.unwrap_or_default().to_owned(),
    }
}

/// A certificate that was accepted was verified: others end the handshake. What
/// is told is the chain as the client presented it.
fn client_tls(session: &Session) -> Option<ClientTls> {
    let facts = session.client.facts.lock().tls.clone()?;
    let chain: Vec<_> = session.peer_certificates().iter().map(|c| pem(c)).collect();
    Some(ClientTls {
        version: facts.version.to_owned(),
        cipher: facts.cipher.to_owned(),
        certs: Vec::new(),
        verified_chains: if chain.is_empty() { Vec::new() } else { vec![chain] },
    })
}

fn pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|b| char::from(*b)));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

fn connect_opts(question: &CalloutQuestion, connect: &Connect) -> ConnectOptions {
    // A name the server gives to who presents nothing is told as if it were said.
    let nothing = [&connect.user, &connect.pass, &connect.auth_token, &connect.nkey];
    let user = if nothing.iter().all(|s| s.is_empty()) { &question.user } else { &connect.user };
    let jwt = if question.default_jwt.is_empty() { &connect.jwt } else { &question.default_jwt };
    ConnectOptions {
        jwt: jwt.clone(),
        nkey: connect.nkey.clone(),
        sig: connect.sig.clone(),
        auth_token: connect.auth_token.clone(),
        user: user.clone(),
        pass: connect.pass.clone(),
        name: connect.name.clone(),
        lang: connect.lang.clone(),
        version: connect.version.clone(),
        protocol: connect.protocol,
    }
}
