//! The CONNECT document a client sends (contract/core.md §1.3).
//!
//! Keys match in any case, unknown ones are ignored, `null` changes nothing, of
//! duplicates the last one wins, a value of the wrong type is an error. Size is
//! bounded by `max_control_line` and nesting by the JSON reader (128 levels).

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use std::borrow::Cow;
use std::fmt;

/// What a client said about itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Answer operations with `+OK`.
    pub verbose: bool,
    /// Check subjects strictly.
    pub pedantic: bool,
    /// Deliver the connection's own messages to it.
    pub echo: bool,
    /// Sent by clients, without effect.
    pub tls_required: bool,
    /// User name, or a token or JWT in some clients.
    pub user: String,
    /// Password.
    pub pass: String,
    /// Token.
    pub auth_token: String,
    /// User JWT.
    pub jwt: String,
    /// Public nkey.
    pub nkey: String,
    /// Signature of the nonce, base64.
    pub sig: String,
    /// Connection name.
    pub name: String,
    /// Client library language.
    pub lang: String,
    /// Client library version.
    pub version: String,
    /// Protocol level the client speaks; only 0 and 1 are valid.
    pub protocol: i64,
    /// Account asked for; refused if not empty.
    pub account: String,
    /// Account to be made; refused if true.
    pub new_account: bool,
    /// The client understands headers.
    pub headers: bool,
    /// The client wants status 503 for requests nobody serves.
    pub no_responders: bool,
    /// Signature of the nonce by a proxy.
    pub proxy_sig: String,
}

impl Default for Connect {
    /// What holds for a client that sends no CONNECT, and for absent keys.
    fn default() -> Self {
        Connect {
            verbose: true,
            pedantic: true,
            echo: true,
            tls_required: false,
            user: String::new(),
            pass: String::new(),
            auth_token: String::new(),
            jwt: String::new(),
            nkey: String::new(),
            sig: String::new(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            protocol: 0,
            account: String::new(),
            new_account: false,
            headers: false,
            no_responders: false,
            proxy_sig: String::new(),
        }
    }
}

/// Secrets stay out of logs: they show only whether they are set.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |s: &str| if s.is_empty() { "" } else { "[REDACTED]" };
        f.debug_struct("Connect")
            .field("verbose", &self.verbose)
            .field("pedantic", &self.pedantic)
            .field("echo", &self.echo)
            .field("user", &self.user)
            .field("pass", &hidden(&self.pass))
            .field("auth_token", &hidden(&self.auth_token))
            .field("jwt", &hidden(&self.jwt))
            .field("nkey", &self.nkey)
            .field("sig", &hidden(&self.sig))
            .field("name", &self.name)
            .field("lang", &self.lang)
            .field("version", &self.version)
            .field("protocol", &self.protocol)
            .field("headers", &self.headers)
            .field("no_responders", &self.no_responders)
            .finish_non_exhaustive()
    }
}

/// CONNECT is not the JSON object it should be. The connection closes silently.
/// What the JSON reader says is not kept: it quotes values, which may be secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("CONNECT is not a valid document: {what} at column {column}")]
pub struct ConnectError {
    what: &'static str,
    column: usize,
}

impl From<serde_json::Error> for ConnectError {
    fn from(e: serde_json::Error) -> Self {
        let what = match e.classify() {
            Category::Data => "a value of the wrong type",
            Category::Eof => "it ends too early",
            Category::Syntax | Category::Io => "it is no JSON",
        };
        ConnectError { what, column: e.column() }
    }
}

impl Connect {
    /// Reads a first CONNECT.
    pub fn parse(json: &[u8]) -> Result<Self, ConnectError> {
        let mut connect = Connect::default();
        connect.update(json)?;
        Ok(connect)
    }

    /// Reads a further CONNECT: keys that are absent keep what they had. After
    /// an error the values are undefined; the connection has to be closed.
    pub fn update(&mut self, json: &[u8]) -> Result<(), ConnectError> {
        // Bytes that are no UTF-8 become U+FFFD instead of an error, as in Go.
        let text = String::from_utf8_lossy(json);
        let mut reader = serde_json::Deserializer::from_str(&text);
        Update(self).deserialize(&mut reader)?;
        Ok(reader.end()?)
    }

    fn set<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let flag = match () {
            () if is(key, "verbose") => &mut self.verbose,
            () if is(key, "pedantic") => &mut self.pedantic,
            () if is(key, "echo") => &mut self.echo,
            () if is(key, "tls_required") => &mut self.tls_required,
            () if is(key, "new_account") => &mut self.new_account,
            () if is(key, "headers") => &mut self.headers,
            () if is(key, "no_responders") => &mut self.no_responders,
            () if is(key, "protocol") => return assign(&mut self.protocol, map),
            () => return self.set_text(key, map),
        };
        assign(flag, map)
    }

    fn set_text<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let text = match () {
            () if is(key, "user") => &mut self.user,
            () if is(key, "pass") => &mut self.pass,
            () if is(key, "auth_token") => &mut self.auth_token,
            () if is(key, "jwt") => &mut self.jwt,
            () if is(key, "nkey") => &mut self.nkey,
            () if is(key, "sig") => &mut self.sig,
            () if is(key, "name") => &mut self.name,
            () if is(key, "lang") => &mut self.lang,
            () if is(key, "version") => &mut self.version,
            () if is(key, "account") => &mut self.account,
            () if is(key, "proxy_sig") => &mut self.proxy_sig,
            () => return map.next_value::<IgnoredAny>().map(|_| ()),
        };
        assign(text, map)
    }
}

fn is(key: &str, name: &str) -> bool {
    key.eq_ignore_ascii_case(name)
}

fn assign<'de, T, A>(slot: &mut T, map: &mut A) -> Result<(), A::Error>
where
    T: serde::Deserialize<'de>,
    A: MapAccess<'de>,
{
    if let Some(value) = map.next_value::<Option<T>>()? {
        *slot = value;
    }
    Ok(())
}

struct Update<'c>(&'c mut Connect);

impl<'de> DeserializeSeed<'de> for Update<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Update<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            self.0.set(&key, &mut map)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(json: &str) -> Connect {
        Connect::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn errors_quote_no_values() {
        for json in [r#"{"pass":918273645}"#, r#"{"verbose":"918273645"}"#, r#"{"sig":918273645"#] {
            let e = Connect::parse(json.as_bytes()).unwrap_err();
            assert!(!format!("{e} {e:?}").contains("918"), "{e:?}");
        }
        let e = Connect::parse(br#"{"pass":1}"#).unwrap_err();
        assert!(e.to_string().contains("wrong type at column"), "{e}");
    }

    #[test]
    fn absent_flags_default_to_true() {
        let c = parse("{}");
        assert_eq!(c, Connect::default());
        assert!(c.verbose && c.pedantic && c.echo && !c.headers && !c.no_responders);
        assert_eq!(parse("null"), c);
    }

    #[test]
    fn keys_match_in_any_case_and_the_last_wins() {
        let c = parse(
            r#"{"Verbose":false,"ECHO":false,"user":"a","uSER":"b","pass":null,"protocol":1,
                "headers":true,"unknown":{"x":[1,2,{"y":1e999}]},"na\u006de":"n"} "#,
        );
        assert!(!c.verbose && !c.echo && c.pedantic && c.headers);
        assert_eq!((c.user.as_str(), c.protocol, c.name.as_str()), ("b", 1, "n"));
    }

    #[test]
    fn a_second_document_keeps_what_it_does_not_name() {
        let mut c = parse(r#"{"verbose":false,"name":"x"}"#);
        c.update(br#"{"echo":false}"#).unwrap();
        assert!(!c.verbose && !c.echo);
        assert_eq!(c.name, "x");
    }

    #[test]
    fn wrong_documents_are_errors() {
        for json in [
            "",
            "[]",
            "1",
            "\"x\"",
            "{",
            "{} x",
            r#"{"verbose":"true"}"#,
            r#"{"verbose":1}"#,
            r#"{"user":1}"#,
            r#"{"user":["a"]}"#,
            r#"{"protocol":"1"}"#,
            r#"{"protocol":1.5}"#,
            r#"{"protocol":99999999999999999999}"#,
            r#"{"new_account":"A"}"#,
        ] {
            assert!(Connect::parse(json.as_bytes()).is_err(), "{json}");
        }
        assert!(Connect::parse("{\"x\":".repeat(2000).as_bytes()).is_err());
        assert_eq!(Connect::parse(b"{\"user\":\"\xff\"}").unwrap().user, "\u{fffd}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = format!("{:?}", parse(r#"{"user":"u","pass":"hunter2","auth_token":"tok3n"}"#));
        assert!(!text.contains("hunter2") && !text.contains("tok3n"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Connect::parse(&bytes);
        }
    }
}
