//! Languages: configuration files and JSON documents.

use gust_config::{LoadError, load_text};
use gust_jetstream::api::request::{MsgGetRequest, PurgeRequest};
use gust_jetstream::api::Endpoint;
use gust_jetstream::consumer::AckSubject;
use gust_jetstream::config::{
    ConsumerConfig, CreateConsumerRequest, StreamConfig, StreamConfigRequest,
};
use gust_jetstream::json::{self, JsonRead, Strictness};
use gust_wire::connect::Connect;

/// A configuration file without includes.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut none = |path: &str| Err(LoadError(format!("open {path}: no such file or directory")));
    let env = |name: &str| (name == "A").then(|| "1".to_owned());
    match load_text(text, &mut none, &env) {
        Ok(loaded) => assert!(loaded.digest.starts_with("sha256:")),
        // The text goes to the terminal.
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

/// CONNECT, twice as clients may send it.
pub fn connect_json(data: &[u8]) {
    if let Ok(mut connect) = Connect::parse(data) {
        let _ = connect.update(data);
    }
}

/// What is read and written again must stay the same.
fn round<T: JsonRead + serde::Serialize + Default>(data: &[u8]) {
    let Ok(first) = json::parse::<T>(data, Strictness::Lenient) else { return };
    let text = json::to_bytes(&first);
    let second: T = json::parse(&text, Strictness::Lenient).expect("own output is read");
    assert_eq!(json::to_bytes(&second), text);
    let _ = json::parse::<T>(data, Strictness::Strict);
}

/// Documents of the JetStream API, and its subjects.
pub fn jetstream_json(data: &[u8]) {
    let Some((which, body)) = data.split_first() else { return };
    match which % 8 {
        0 => round::<StreamConfig>(body),
        1 => round::<ConsumerConfig>(body),
        2 => round::<PurgeRequest>(body),
        3 => round::<MsgGetRequest>(body),
        4 => {
            let _ = json::parse::<StreamConfigRequest>(body, Strictness::Strict);
        }
        5 => {
            let _ = json::parse::<CreateConsumerRequest>(body, Strictness::Strict);
        }
        6 => {
            let _ = Endpoint::parse(body);
        }
        _ => {
            let _ = AckSubject::parse(body);
        }
    }
}
