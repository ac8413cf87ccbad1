//! A small HTTP/1.1 server: hyper reads and writes, a [`Handler`] answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Connections served at once; more are closed as they come.
const MAX_CONNECTIONS: usize = 1024;
/// Time a peer has to send its request headers (contract/monitoring.md §1.1).
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: String,
    /// Path as sent, not decoded.
    pub path: String,
    /// Query string without `?`, or empty.
    pub query: String,
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Send `Access-Control-Allow-Origin: *`.
    pub any_origin: bool,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// A document in JSON that any page may read.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self { status: 200, content_type: "application/json", any_origin: true, body: body.into() }
    }

    /// Plain text with a status.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            any_origin: false,
            body: body.into(),
        }
    }

    /// A page.
    pub fn html(body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            content_type: "text/html; charset=utf-8",
            any_origin: false,
            body: body.into(),
        }
    }

    /// What unknown paths get.
    pub fn not_found() -> Self {
        Self::text(404, "404 page not found\n")
    }
}

/// Future of an answer.
pub type Answer = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(self: Arc<Self>, request: Request) -> Answer;
}

/// TLS for one HTTPS connection.
pub struct Tls {
    /// Certificates and rules.
    pub config: Arc<ServerConfig>,
    /// What else the client's certificates have to pass after the handshake.
    pub check: Option<PeerCheck>,
}

/// Looks at the client's certificates, its own first; the error is for the log.
pub type PeerCheck = Box<
    dyn FnOnce(
            Vec<CertificateDer<'static>>,
        ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>>
        + Send,
>;

/// TLS for HTTPS. Asked for each connection, so that a reload counts;
/// `None` refuses the connection.
pub type TlsSource = Arc<dyn Fn() -> Option<Tls> + Send + Sync>;

/// Serves `listener`, over TLS if there is a source of certificates, until the
/// future is dropped.
pub async fn serve(listener: TcpListener, handler: Arc<impl Handler>, tls: Option<TlsSource>) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(s) => s,
            Err(e) => {
                tracing::error!("accepting an HTTP connection: {e}");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        if open.fetch_add(1, Relaxed) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Relaxed);
            tracing::warn!("{peer}: HTTP connection refused, {MAX_CONNECTIONS} are open");
            continue;
        }
        let (handler, open) = (handler.clone(), open.clone());
        let tls = tls.as_ref().map(|source| source());
        tokio::spawn(async move {
            match tls {
                None => connection(socket, peer, handler).await,
                Some(Some(tls)) => encrypted(socket, peer, handler, tls).await,
                Some(None) => {}
            }
            open.fetch_sub(1, Relaxed);
        });
    }
}

async fn encrypted(socket: TcpStream, peer: SocketAddr, handler: Arc<impl Handler>, tls: Tls) {
    let handshake = tokio_rustls::TlsAcceptor::from(tls.config).accept(socket);
    let stream = match tokio::time::timeout(HEADER_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return tracing::debug!("{peer}: HTTPS handshake failed: {e}"),
        Err(_) => return tracing::debug!("{peer}: HTTPS handshake took too long"),
    };
    if let Some(check) = tls.check {
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        if let Err(e) = check(certificates).await {
            return tracing::error!("{peer}: HTTPS client refused: {e}");
        }
    }
    connection(stream, peer, handler).await;
}

async fn connection(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    handler: Arc<impl Handler>,
) {
    let service = service_fn(move |r: hyper::Request<Incoming>| {
        let handler = handler.clone();
        async move {
            let request = Request {
                method: r.method().to_string(),
                path: r.uri().path().to_owned(),
                query: r.uri().query().unwrap_or_default().to_owned(),
            };
            Ok::<_, Infallible>(response(handler.handle(request).await))
        }
    });
    let result = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(e) = result {
        tracing::debug!("{peer}: HTTP connection ended: {e}");
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut r = Response::new(Full::new(reply.body));
    *r.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if reply.any_origin {
        r.headers_mut().insert(
            HeaderName::from_static("access-control-allow-origin"),
            HeaderValue::from_static("*"),
        );
    }
    r
}
