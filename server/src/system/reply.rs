//! Answers of the services: the envelope around a document, and compression for
//! those who ask for it (contract/monitoring.md §2.1).

use super::server_info::ServerInfo;
use crate::account::AccountState;
use crate::route::{Message, OwnedMessage};
use crate::server::Server;
use crate::shard::Shard;
use bytes::Bytes;
use gust_wire::headers::{HeaderBuilder, Headers};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// What a service answers.
pub enum Answer {
    /// A document as it is, never compressed.
    Bare(Vec<u8>),
    /// A document in the envelope.
    Data(Value),
    /// A document in the envelope, never compressed.
    Plain(Value),
    /// It was done and there is nothing to say.
    Done,
    /// It failed.
    Failed {
        /// As in HTTP.
        code: u16,
        /// What is wrong.
        description: String,
    },
}

impl Answer {
    /// A document without envelope.
    pub fn bare(document: &impl Serialize) -> Answer {
        match serde_json::to_vec(document) {
            Ok(bytes) => Answer::Bare(bytes),
            Err(e) => Answer::failed(e.to_string()),
        }
    }

    /// A failure of the request's purpose, not of its form.
    pub fn failed(description: impl Into<String>) -> Answer {
        Answer::Failed { code: 500, description: description.into() }
    }
}

impl From<Result<Value, String>> for Answer {
    fn from(result: Result<Value, String>) -> Self {
        match result {
            Ok(data) => Answer::Data(data),
            Err(e) => Answer::failed(e),
        }
    }
}

#[derive(Serialize)]
struct Envelope {
    server: ServerInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

#[derive(Serialize)]
struct Error {
    code: u16,
    description: String,
}

/// Sends `answer` to whoever asked with `request`.
pub fn send(shard: &Shard, account: &Arc<AccountState>, request: &OwnedMessage, answer: Answer) {
    let (body, compressible) = body(&shard.server, answer);
    let encoding = if compressible { Encoding::wanted(&request.headers) } else { None };
    let (headers, body) = match encoding {
        None => (Bytes::new(), body),
        Some(encoding) => {
            let mut headers = HeaderBuilder::new();
            headers.add(b"Content-Encoding", encoding.name());
            (headers.finish(), encoding.apply(body))
        }
    };
    let to = &request.reply;
    shard.publish(account, to, &Message::new(to, b"", &headers, &body), b"");
}

fn body(server: &Server, answer: Answer) -> (Vec<u8>, bool) {
    let server = ServerInfo::now(server);
    let (envelope, compressible) = match answer {
        Answer::Bare(bytes) => return (bytes, false),
        Answer::Data(data) => (Envelope { server, data: Some(data), error: None }, true),
        Answer::Plain(data) => (Envelope { server, data: Some(data), error: None }, false),
        Answer::Done => (Envelope { server, data: None, error: None }, true),
        Answer::Failed { code, description } => {
            let error = Some(Error { code, description });
            (Envelope { server, data: None, error }, false)
        }
    };
    // Maps with text keys always have a JSON form.
    (serde_json::to_vec(&envelope).unwrap_or_default(), compressible)
}

/// How an answer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Snappy,
    Gzip,
    Identity,
}

impl Encoding {
    /// What the request's `Accept-Encoding` asks for; `None` without one, or with
    /// one that says nothing.
    fn wanted(headers: &[u8]) -> Option<Encoding> {
        let accepted = Headers::new(headers).get(b"Accept-Encoding").filter(|a| !a.is_empty())?;
        let accepted = String::from_utf8_lossy(accepted).to_ascii_lowercase();
        Some(if accepted.contains("snappy") || accepted.contains("s2") {
            Encoding::Snappy
        } else if accepted.contains("gzip") {
            Encoding::Gzip
        } else {
            Encoding::Identity
        })
    }

    fn name(self) -> &'static [u8] {
        match self {
            Encoding::Snappy => b"snappy",
            Encoding::Gzip => b"gzip",
            Encoding::Identity => b"identity",
        }
    }

    fn apply(self, body: Vec<u8>) -> Vec<u8> {
        match self {
            Encoding::Snappy => {
                let mut packed = Vec::with_capacity(body.len() / 2);
                gust_wire::s2::Encoder::snappy().encode(&body, &mut packed);
                packed
            }
            Encoding::Gzip => gzip(&body).unwrap_or(body),
            Encoding::Identity => body,
        }
    }
}

/// Writing to memory does not fail; the type says it may.
fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write;
    let packed = Vec::with_capacity(body.len() / 2);
    let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &str) -> Option<Encoding> {
        Encoding::wanted(format!("NATS/1.0\r\nAccept-Encoding: {accept}\r\n\r\n").as_bytes())
    }

    #[test]
    fn the_best_known_encoding_is_taken() {
        assert_eq!(wanted("br, gzip, S2"), Some(Encoding::Snappy));
        assert_eq!(wanted("gzip"), Some(Encoding::Gzip));
        assert_eq!(wanted("deflate"), Some(Encoding::Identity));
        assert_eq!(wanted(""), None);
        assert_eq!(Encoding::wanted(b""), None);
    }

    #[test]
    fn packed_answers_can_be_unpacked() {
        let body = br#"{"server":{"name":"a"},"data":[1,1,1,1,1,1,1,1,1]}"#.repeat(3000);
        let packed = Encoding::Snappy.apply(body.clone());
        assert!(packed.starts_with(b"\xff\x06\x00\x00sNaPpY"));
        let mut back = Vec::new();
        gust_wire::s2::Decoder::new(1 << 20).decode(&packed, &mut back).unwrap();
        assert_eq!(back, body);

        use std::io::Read;
        let packed = Encoding::Gzip.apply(body.clone());
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, body);
    }
}
