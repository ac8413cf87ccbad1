//! Tokens from a web server: GET of the configured URL with the account's key
//! appended (contract/core.md §4.4).
//!
//! A connection per request: requests are rare, one per account and process.
//! Redirects are followed like other clients do, but never from https to http.

use super::directory::MAX_TOKEN;
use super::flights::FetchError;
use data_encoding::BASE64;
use gust_config::url::Url;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Redirects followed for one request.
const MOST_REDIRECTS: usize = 5;

/// A web server with accounts.
#[derive(Clone)]
pub struct UrlSource {
    base: String,
    tls: Option<Arc<ClientConfig>>,
}

impl std::fmt::Debug for UrlSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = Url::parse(&self.base).map(|u| u.to_string());
        f.debug_tuple("UrlSource").field(&shown).finish()
    }
}

impl UrlSource {
    /// Accounts under `base`; `tls` is for https.
    pub fn new(base: &str, tls: Option<Arc<ClientConfig>>) -> Self {
        let slash = if base.ends_with('/') { "" } else { "/" };
        Self { base: format!("{base}{slash}"), tls }
    }

    /// The body of `base` + `name`, if the answer is 200. Not bounded in time.
    pub async fn get(&self, name: &str) -> Result<String, FetchError> {
        let mut url = parse(&format!("{}{name}", self.base))?;
        for _ in 0..=MOST_REDIRECTS {
            let shown = url.to_string();
            let failed = |e: String| FetchError::new(format!("could not fetch <{shown}>: {e}"));
            let response = self.request(&url).await.map_err(failed)?;
            if let Some(next) = redirect(&url, &response) {
                url = parse(&next)?;
                continue;
            }
            if response.status() != StatusCode::OK {
                return Err(failed(response.status().to_string()));
            }
            let body = Limited::new(response.into_body(), MAX_TOKEN).collect().await;
            let body = body.map_err(|e| failed(e.to_string()))?.to_bytes();
            let text = std::str::from_utf8(&body).map_err(|e| failed(e.to_string()))?;
            return Ok(text.trim().to_owned());
        }
        Err(FetchError::new(format!("could not fetch <{url}>: too many redirects")))
    }

    async fn request(&self, url: &Url) -> Result<Response<hyper::body::Incoming>, String> {
        let secure = url.scheme == "https";
        let address = url.address(if secure { 443 } else { 80 });
        let stream = TcpStream::connect(&address).await.map_err(|e| format!("{address}: {e}"))?;
        let request = request(url, &address)?;
        if !secure {
            return send(TokioIo::new(stream), request).await;
        }
        let config = self.tls.clone().ok_or("no TLS configuration for https")?;
        let name = ServerName::try_from(url.host.clone()).map_err(|e| e.to_string())?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        send(TokioIo::new(stream.map_err(|e| format!("{address}: {e}"))?), request).await
    }
}

fn parse(text: &str) -> Result<Url, FetchError> {
    let url = Url::parse(text).filter(|u| u.scheme == "http" || u.scheme == "https");
    // Not shown: it may hold a password.
    url.ok_or_else(|| {
        FetchError::new("the resolver's URL, or what it redirects to, is not http(s)")
    })
}

fn request(url: &Url, address: &str) -> Result<Request<Empty<Bytes>>, String> {
    // What follows the host, with its query.
    let rest = url.raw.split_once("://").map_or("", |(_, r)| r);
    let target = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    let target = target.split('#').next().unwrap_or("/");
    let mut request = Request::get(target)
        .header(HOST, address)
        .header(USER_AGENT, concat!("gust/", env!("CARGO_PKG_VERSION")));
    if let Some(user) = &url.user {
        let login = format!("{user}:{}", url.password.as_deref().unwrap_or_default());
        request =
            request.header(AUTHORIZATION, format!("Basic {}", BASE64.encode(login.as_bytes())));
    }
    request.body(Empty::new()).map_err(|e| e.to_string())
}

/// One request on a connection of its own.
pub(crate) async fn send<S, B>(
    stream: TokioIo<S>,
    request: Request<B>,
) -> Result<Response<hyper::body::Incoming>, String>
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|e| e.to_string())?;
    // It ends when the answer has been read or is no longer wanted.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|e| e.to_string())
}

/// Where the answer sends us.
pub(crate) fn redirect<B>(from: &Url, response: &Response<B>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let to = response.headers().get(LOCATION)?.to_str().ok()?;
    let to = if to.starts_with('/') && !to.starts_with("//") {
        format!(
            "{}://{}{to}",
            from.scheme,
            from.address(if from.scheme == "https" { 443 } else { 80 })
        )
    } else {
        to.to_owned()
    };
    let downgrade = from.scheme == "https" && !to.to_ascii_lowercase().starts_with("https://");
    (!downgrade).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one connection per text and returns the requests.
    async fn server(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if socket.read(&mut byte).await.unwrap() == 0 {
                        break;
                    }
                    request.push(byte[0]);
                }
                let _ = socket.write_all(answer.as_bytes()).await;
                requests.push(String::from_utf8(request).unwrap());
            }
            requests
        });
        (address.to_string(), task)
    }

    fn answer(status: &str, more: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n{body}")
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn a_body_with_status_200_is_the_token() {
        run(async {
            let answers = vec![answer("200 OK", "", "a.b.c\n"), answer("200 OK", "", "")];
            let (address, task) = server(answers).await;
            let source = UrlSource::new(&format!("http://me:s3cret@{address}/jwt/v1?x=1/"), None);
            assert_eq!(source.get("ABC").await.unwrap(), "a.b.c");
            let source = UrlSource::new(&format!("http://{address}/jwt/v1"), None);
            assert_eq!(source.get("").await.unwrap(), "");
            let requests = task.await.unwrap();
            assert!(requests[0].starts_with("GET /jwt/v1?x=1/ABC HTTP/1.1\r\n"), "{requests:?}");
            assert!(
                requests[0].to_lowercase().contains("authorization: basic bwu6c"),
                "{requests:?}"
            );
            assert!(requests[1].starts_with("GET /jwt/v1/ HTTP/1.1\r\n"), "{requests:?}");
            assert!(requests[1].contains(&address));
        });
    }

    #[test]
    fn other_answers_are_errors_that_hide_the_password() {
        run(async {
            let long = "a".repeat(MAX_TOKEN + 1);
            let loops = |n: usize| vec![answer("302 Found", "Location: /again\r\n", ""); n];
            let mut answers = vec![
                answer("404 Not Found", "", ""),
                answer("500 Internal Server Error", "", "a.b.c"),
                answer("200 OK", "", &long),
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\u{ff}".to_owned(),
                "nonsense\r\n\r\n".to_owned(),
                answer("302 Found", "Location: ftp://somewhere/\r\n", ""),
            ];
            answers.extend(loops(MOST_REDIRECTS + 1));
            let (address, task) = server(answers).await;
            let source = UrlSource::new(&format!("http://me:s3cret@{address}"), None);
            let wanted = ["404", "500", "length limit", "", "", "not http(s)", "redirects"];
            for want in wanted {
                let error = source.get("ABC").await.unwrap_err().to_string();
                assert!(error.contains(want) && !error.contains("s3cret"), "{want}: {error}");
            }
            task.await.unwrap();
            assert!(!format!("{source:?}").contains("s3cret"));
            // Nobody is home.
            let error = source.get("ABC").await.unwrap_err().to_string();
            assert!(error.contains("could not fetch <http://[RE"), "{error}");
        });
    }

    #[test]
    fn redirects_are_followed() {
        run(async {
            let (there, other) = server(vec![answer("200 OK", "", "x.y.z")]).await;
            let away = format!("Location: http://{there}/new/ABC\r\n");
            let answers = vec![
                answer("301 Moved", "Location: /moved/ABC?y\r\n", ""),
                answer("307 Temporary", &away, ""),
            ];
            let (address, task) = server(answers).await;
            let source = UrlSource::new(&format!("http://{address}/old"), None);
            assert_eq!(source.get("ABC").await.unwrap(), "x.y.z");
            let requests = task.await.unwrap();
            assert!(requests[1].starts_with("GET /moved/ABC?y "), "{requests:?}");
            assert!(other.await.unwrap()[0].starts_with("GET /new/ABC "));
        });
    }

    #[test]
    fn https_does_not_become_http() {
        let from = Url::parse("https://a/x").unwrap();
        let to = |l: &str| {
            let response = Response::builder().status(302).header(LOCATION, l).body(()).unwrap();
            redirect(&from, &response)
        };
        assert_eq!(to("http://a/x"), None);
        assert_eq!(to("HTTPS://b/x").as_deref(), Some("HTTPS://b/x"));
        assert_eq!(to("/y").as_deref(), Some("https://a:443/y"));
        assert_eq!(to("//b/y"), None);
    }
}
