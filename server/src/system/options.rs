//! What a request may say: names and kinds of the options of every service
//! (contract/monitoring.md §2.2). Who sends something of another kind is told
//! where, in the words tools know from nats-server, and gets no document that
//! looks as if the option had been followed.

use serde_json::{Map, Value};

/// What an option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Int,
    /// Nanoseconds.
    Duration,
    Unsigned,
    Texts,
    /// Order of connections.
    Sort,
    /// Open, closed or both, as a number.
    State,
}

use Kind::{Duration, Flag, Int, Sort, State, Text, Texts, Unsigned};

/// Options by name.
type Table = &'static [(&'static str, Kind)];

/// Every service lets the servers that answer be chosen.
const FILTER: Table = &[
    ("server_name", Text),
    ("cluster", Text),
    ("host", Text),
    ("exact_match", Flag),
    ("tags", Texts),
    ("domain", Text),
];
const SUBSZ: Table =
    &[("offset", Int), ("limit", Int), ("subscriptions", Flag), ("account", Text), ("test", Text)];
const CONNZ: Table = &[
    ("sort", Sort),
    ("auth", Flag),
    ("subscriptions", Flag),
    ("subscriptions_detail", Flag),
    ("offset", Int),
    ("limit", Int),
    ("cid", Unsigned),
    ("mqtt_client", Text),
    ("state", State),
    ("user", Text),
    ("acc", Text),
    ("filter_subject", Text),
];
const ROUTEZ: Table = &[("subscriptions", Flag), ("subscriptions_detail", Flag)];
const GATEWAYZ: Table = &[
    ("name", Text),
    ("accounts", Flag),
    ("account_name", Text),
    ("subscriptions", Flag),
    ("subscriptions_detail", Flag),
];
const LEAFZ: Table = &[("subscriptions", Flag), ("account", Text)];
const ACCOUNTZ: Table = &[("account", Text)];
const STATZ: Table = &[("accounts", Texts), ("include_unused", Flag)];
const JSZ: Table = &[
    ("account", Text),
    ("accounts", Flag),
    ("streams", Flag),
    ("consumer", Flag),
    ("direct_consumer", Flag),
    ("config", Flag),
    ("leader_only", Flag),
    ("offset", Int),
    ("limit", Int),
    ("raft", Flag),
    ("stream_leader_only", Flag),
];
const HEALTHZ: Table = &[
    ("js-enabled", Flag),
    ("js-enabled-only", Flag),
    ("js-server-only", Flag),
    ("js-meta-only", Flag),
    ("account", Text),
    ("stream", Text),
    ("consumer", Text),
    ("details", Flag),
];
const PROFILEZ: Table = &[("name", Text), ("debug", Int), ("duration", Duration)];
const IPQUEUESZ: Table = &[("all", Flag), ("filter", Text)];
const RAFTZ: Table = &[("account", Text), ("group", Text)];

/// A service's options besides the filter, and what nats-server calls all of
/// them together. Those without options of their own have the filter only.
fn form(service: &str) -> (&'static str, Table) {
    match service {
        "STATSZ" => ("StatszEventOptions", &[]),
        "VARZ" => ("VarzEventOptions", &[]),
        "EXPVARZ" => ("ExpvarzEventOptions", &[]),
        "INFO" => ("AccInfoEventOptions", &[]),
        "SUBSZ" => ("SubszEventOptions", SUBSZ),
        "CONNZ" => ("ConnzEventOptions", CONNZ),
        "ROUTEZ" => ("RoutezEventOptions", ROUTEZ),
        "GATEWAYZ" => ("GatewayzEventOptions", GATEWAYZ),
        "LEAFZ" => ("LeafzEventOptions", LEAFZ),
        "ACCOUNTZ" => ("AccountzEventOptions", ACCOUNTZ),
        "STATZ" => ("AccountStatzEventOptions", STATZ),
        "JSZ" => ("JszEventOptions", JSZ),
        "HEALTHZ" => ("HealthzEventOptions", HEALTHZ),
        "PROFILEZ" => ("ProfilezEventOptions", PROFILEZ),
        "IPQUEUESZ" => ("IpqueueszEventOptions", IPQUEUESZ),
        "RAFTZ" => ("RaftzEventOptions", RAFTZ),
        _ => ("EventFilterOptions", &[]),
    }
}

/// The options in `payload` of a request to `service`, under the names of the
/// contract whatever their case was; no payload is no options, and what the
/// service does not know stays in as it was.
///
/// # Errors
/// What is not JSON, or of another kind than the service wants there; the text
/// is for whoever asked.
pub fn read(service: &str, payload: &[u8]) -> Result<Value, String> {
    if payload.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let given = match serde_json::from_slice(payload) {
        Ok(Value::Object(given)) => given,
        Ok(Value::Null) => Map::new(),
        Ok(other) => {
            let (name, found) = (form(service).0, found(&other));
            return Err(format!(
                "json: cannot unmarshal {found} into Go value of type server.{name}"
            ));
        }
        Err(e) if e.is_eof() => return Err("unexpected end of JSON input".to_owned()),
        Err(e) => return Err(e.to_string()),
    };
    let (form, own) = form(service);
    let mut options = Map::new();
    for (key, value) in given {
        let known = FILTER.iter().chain(own).find(|(name, _)| name.eq_ignore_ascii_case(&key));
        let Some((name, kind)) = known else {
            options.insert(key, value);
            continue;
        };
        // Nothing is what an option is that is not there.
        if value.is_null() {
            continue;
        }
        if let Some(Refusal { found, at, wanted }) = kind.refuses(&value) {
            let at = match at {
                Some(i) => format!("{form}.{key}.{i}"),
                None => format!("Go struct field {form}.{key}"),
            };
            return Err(format!("json: cannot unmarshal {found} into {at} of type {wanted}"));
        }
        options.insert((*name).to_owned(), value);
    }
    Ok(Value::Object(options))
}

/// A kind of JSON as the decoder of nats-server names it.
fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Why a value is not of a kind.
struct Refusal {
    found: String,
    /// Where in a list.
    at: Option<usize>,
    wanted: &'static str,
}

impl Kind {
    /// Why `value` is not of this kind.
    fn refuses(self, value: &Value) -> Option<Refusal> {
        let fits = match self {
            Text | Sort => value.is_string(),
            Flag => value.is_boolean(),
            Int | Duration | State => value.is_i64(),
            Unsigned => value.is_u64(),
            Texts => match value.as_array() {
                // Nothing in a list is an empty text.
                Some(list) => {
                    let at = list.iter().position(|v| !v.is_string() && !v.is_null())?;
                    let found = found(list.get(at)?).to_owned();
                    return Some(Refusal { found, at: Some(at), wanted: Text.name() });
                }
                None => false,
            },
        };
        let counts = matches!(self, Int | Duration | State | Unsigned);
        let found = match value {
            Value::Number(n) if counts => format!("number {n}"),
            other => found(other).to_owned(),
        };
        (!fits).then(|| Refusal { found, at: None, wanted: self.name() })
    }

    fn name(self) -> &'static str {
        match self {
            Text => "string",
            Flag => "bool",
            Int => "int",
            Duration => "time.Duration",
            Unsigned => "uint64",
            Texts => "[]string",
            Sort => "server.SortOpt",
            State => "server.ConnState",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn err(service: &str, payload: &str) -> String {
        read(service, payload.as_bytes()).unwrap_err()
    }

    #[test]
    fn options_are_read_under_their_names() {
        assert_eq!(read("CONNZ", b"").unwrap(), json!({}));
        assert_eq!(read("CONNZ", b"null").unwrap(), json!({}));
        let got = read("CONNZ", br#" {"Auth":true,"LIMIT":5,"acc":null,"new":[1]} "#).unwrap();
        assert_eq!(got, json!({"auth": true, "limit": 5, "new": [1]}));
        assert_eq!(read("VARZ", br#"{"limit":"x"}"#).unwrap(), json!({"limit": "x"}));
        let got = read("STATZ", br#"{"accounts":["A",null],"include_unused":false}"#).unwrap();
        assert_eq!(got, json!({"accounts": ["A", null], "include_unused": false}));
    }

    #[test]
    fn what_is_of_another_kind_is_told() {
        for (service, payload, text) in [
            (
                "VARZ",
                r#"{"server_name":5}"#,
                "number into Go struct field VarzEventOptions.server_name of type string",
            ),
            (
                "VARZ",
                r#"{"tags":"x"}"#,
                "string into Go struct field VarzEventOptions.tags of type []string",
            ),
            ("VARZ", r#"{"tags":["x",5]}"#, "number into VarzEventOptions.tags.1 of type string"),
            (
                "CONNZ",
                r#"{"cid":-1}"#,
                "number -1 into Go struct field ConnzEventOptions.cid of type uint64",
            ),
            (
                "CONNZ",
                r#"{"STATE":"all"}"#,
                "string into Go struct field ConnzEventOptions.STATE of type server.ConnState",
            ),
            (
                "CONNZ",
                r#"{"sort":{}}"#,
                "object into Go struct field ConnzEventOptions.sort of type server.SortOpt",
            ),
            (
                "SUBSZ",
                r#"{"limit":1.5}"#,
                "number 1.5 into Go struct field SubszEventOptions.limit of type int",
            ),
            (
                "STATZ",
                r#"{"include_unused":[]}"#,
                "array into Go struct field AccountStatzEventOptions.include_unused of type bool",
            ),
            (
                "PROFILEZ",
                r#"{"duration":true}"#,
                "bool into Go struct field ProfilezEventOptions.duration of type time.Duration",
            ),
            ("RELOAD", "[]", "array into Go value of type server.EventFilterOptions"),
            ("JSZ", "5", "number into Go value of type server.JszEventOptions"),
        ] {
            assert_eq!(err(service, payload), format!("json: cannot unmarshal {text}"));
        }
    }

    #[test]
    fn what_is_not_json_is_told() {
        for payload in [" ", "\n", "{", r#"{"a":1"#] {
            assert_eq!(err("VARZ", payload), "unexpected end of JSON input");
        }
        for payload in ["{}x", "nope", "\u{7f}"] {
            assert!(!err("VARZ", payload).is_empty(), "{payload:?}");
        }
    }
}
