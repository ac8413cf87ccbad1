//! Asking a responder over HTTP (RFC 6960, appendix A.1).
//!
//! A connection per request: there are few. Limits: the caller's time for each
//! request, [`MAX_RESPONSE`] bytes of answer, [`MOST_REDIRECTS`].

use super::response::{Answer, AnswerError, MAX_RESPONSE};
use crate::resolver::tls::client_config;
use crate::resolver::url::{redirect, send};
use data_encoding::BASE64;
use gust_config::url::Url;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Redirects followed for one request.
const MOST_REDIRECTS: usize = 3;

/// How a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// In the body.
    Post,
    /// In the path; proxies may remember the answer.
    Get,
}

/// No responder gave an answer that can be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct AskError {
    /// What every one did.
    pub text: String,
    /// What was wrong with an answer, if there was one.
    pub answered: Option<AnswerError>,
}

/// Asks the responders in turn, each in both ways, until one gives an answer that
/// `check` accepts.
pub async fn ask(
    urls: &[String],
    request: &[u8],
    ways: [Method; 2],
    limit: Duration,
    check: impl Fn(&[u8]) -> Result<Answer, AnswerError>,
) -> Result<Answer, AskError> {
    let mut failures = Vec::new();
    let mut answered = None;
    for text in urls {
        let Some(url) = Url::parse(text).filter(|u| u.scheme == "http" || u.scheme == "https")
        else {
            failures.push("an address that is not http(s)".to_owned());
            continue;
        };
        for way in ways {
            let body = match timeout(limit, get_or_post(&url, request, way)).await {
                Err(_) => Err(format!("no answer in {limit:?}")),
                Ok(result) => result,
            };
            let why = match body.map(|b| check(&b)) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(e)) => {
                    let text = e.to_string();
                    answered = Some(e);
                    text
                }
                Err(e) => e,
            };
            failures.push(format!("<{url}> by {way:?}: {why}"));
        }
    }
    if failures.is_empty() {
        failures.push("the certificate names no OCSP responder, and none is configured".to_owned());
    }
    Err(AskError { text: failures.join("; "), answered })
}

async fn get_or_post(base: &Url, request: &[u8], way: Method) -> Result<Bytes, String> {
    let mut url = match way {
        Method::Post => base.clone(),
        Method::Get => {
            let slash = if base.raw.ends_with('/') { "" } else { "/" };
            parse(&format!("{}{slash}{}", base.raw, path(request)))?
        }
    };
    for _ in 0..=MOST_REDIRECTS {
        let body = if way == Method::Post { request.to_vec() } else { Vec::new() };
        let response = exchange(&url, way, body).await?;
        if let Some(next) = redirect(&url, &response) {
            url = parse(&next)?;
            continue;
        }
        if !response.status().is_success() {
            return Err(response.status().to_string());
        }
        let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await;
        return Ok(body.map_err(|e| e.to_string())?.to_bytes());
    }
    Err("too many redirects".to_owned())
}

fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).filter(|u| u.scheme == "http" || u.scheme == "https");
    url.ok_or_else(|| "it redirects to what is not http(s)".to_owned())
}

/// A request as part of a path.
fn path(request: &[u8]) -> String {
    BASE64.encode(request).chars().fold(String::new(), |mut path, c| {
        match c {
            '+' | '/' | '=' => {
                let _ = write!(path, "%{:02X}", u32::from(c));
            }
            c => path.push(c),
        }
        path
    })
}

async fn exchange(url: &Url, way: Method, body: Vec<u8>) -> Result<Response<Incoming>, String> {
    let secure = url.scheme == "https";
    let address = url.address(if secure { 443 } else { 80 });
    let rest = url.raw.split_once("://").map_or("", |(_, r)| r);
    let target = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    let builder = match way {
        Method::Post => Request::post(target).header(CONTENT_TYPE, "application/ocsp-request"),
        Method::Get => Request::get(target),
    };
    let request = builder
        .header(HOST, &address)
        .header(ACCEPT, "application/ocsp-response")
        .header(USER_AGENT, concat!("gust/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| e.to_string())?;
    let stream = TcpStream::connect(&address).await.map_err(|e| e.to_string())?;
    if !secure {
        return send(TokioIo::new(stream), request).await;
    }
    let name = ServerName::try_from(url.host.clone()).map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(https()?).connect(name, stream).await;
    send(TokioIo::new(stream.map_err(|e| e.to_string())?), request).await
}

/// For responders behind https: the system's authorities.
fn https() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    CONFIG.get_or_init(|| client_config(None)).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_fits_into_a_path() {
        assert_eq!(path(&[0xfb, 0xff, 0xfe, 0]), "%2B%2F%2F%2BAA%3D%3D");
    }
}
