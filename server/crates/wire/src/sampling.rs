//! Whether the headers of a message ask that it be measured or traced: Jaeger's
//! `Uber-Trace-Id`, Zipkin's B3 in both forms, W3C's `traceparent`.

use crate::headers::Headers;
use std::collections::BTreeMap;

/// Headers that asked, by canonical name, as measurements repeat them.
pub type Asking = BTreeMap<String, Vec<String>>;

/// The headers that ask for a measurement; `None`: none does, or one forbids it.
/// Names count in any case. The first kind that is present decides.
pub fn asked(raw: &[u8]) -> Option<Asking> {
    if raw.is_empty() {
        return None;
    }
    let mut all = Asking::new();
    for (key, value) in Headers::new(raw).iter() {
        let value = String::from_utf8_lossy(value).into_owned();
        all.entry(canonical(key)).or_default().push(value);
    }
    let first = |key: &str| all.get(key).and_then(|v| v.first()).map(String::as_str);
    let keep = |keys: &[&str]| {
        let kept = all.iter().filter(|(k, _)| keys.contains(&k.as_str()));
        Some(kept.map(|(k, v)| (k.clone(), v.clone())).collect())
    };
    if let Some(id) = first("Uber-Trace-Id") {
        let of_jaeger = |k: &str| k == "Uber-Trace-Id" || k.starts_with("Uberctx-");
        let kept = all.iter().filter(|(k, _)| of_jaeger(k));
        return jaeger(id).then(|| kept.map(|(k, v)| (k.clone(), v.clone())).collect());
    }
    let b3 = ["X-B3-Sampled", "X-B3-Traceid", "X-B3-Parentspanid", "X-B3-Spanid"];
    match (first("X-B3-Sampled"), first("X-B3-Traceid")) {
        (Some("1"), _) => return keep(&b3),
        (Some("0"), _) => return None,
        // Not forbidden: the decision is left to us.
        (_, Some(_)) => return keep(&b3),
        (_, None) => {}
    }
    if let Some(single) = first("B3") {
        let mut parts = single.split('-');
        let refused = match (parts.next(), parts.next(), parts.next()) {
            (Some("0"), None, _) => true,
            (_, _, flag) => flag == Some("0"),
        };
        return if refused { None } else { keep(&["B3"]) };
    }
    let parent = first("Traceparent")?;
    if is_sampled(parent.as_bytes()) { keep(&["Traceparent", "Tracestate"]) } else { None }
}

/// Whether a `traceparent` (`00-…-…-01`) has the sampled flag.
pub fn is_sampled(traceparent: &[u8]) -> bool {
    let mut parts = traceparent.split(|b| *b == b'-').skip(3);
    let (Some(flags), None) = (parts.next(), parts.next()) else { return false };
    let flags = std::str::from_utf8(flags).ok().filter(|f| f.len() == 2);
    // nats-server reads them as a signed number: 80 and above are none.
    flags.and_then(|f| i8::from_str_radix(f, 16).ok()).is_some_and(|f| f & 1 == 1)
}

/// `…:…:…:flags`, one or two hex digits.
fn jaeger(id: &str) -> bool {
    let parts: Vec<&str> = id.split(':').collect();
    let [_, _, _, flags] = parts.as_slice() else { return false };
    (1..=2).contains(&flags.len()) && u8::from_str_radix(flags, 16).is_ok_and(|f| f & 1 == 1)
}

/// `x-b3-traceid` as Go writes it: `X-B3-Traceid`.
fn canonical(key: &[u8]) -> String {
    let mut upper = true;
    let letter = |b: &u8| {
        let c = if upper { b.to_ascii_uppercase() } else { b.to_ascii_lowercase() };
        upper = *b == b'-';
        c
    };
    let bytes: Vec<u8> = key.iter().map(letter).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_ask() {
        const PARENT: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";
        // Headers, names of those that asked.
        let cases: [(&str, &[&str]); 18] = [
            ("", &[]),
            ("Other: 1", &[]),
            ("Uber-Trace-Id: 479f:5adb:479f:1", &["Uber-Trace-Id"]),
            ("uber-trace-id: a:b:c:1\r\nuberctx-x: 1\r\nB3: 1", &["Uber-Trace-Id", "Uberctx-X"]),
            ("Uber-Trace-Id: 479f:5adb:479f:0", &[]),
            ("Uber-Trace-Id: 479f:5adb:479f:01", &["Uber-Trace-Id"]),
            ("Uber-Trace-Id: 479f:5adb:1", &[]),
            ("Uber-Trace-Id: a:b:c:0\r\nX-B3-Sampled: 1", &[]),
            ("X-B3-Sampled: 1", &["X-B3-Sampled"]),
            ("X-B3-TraceId: 80f1", &["X-B3-Traceid"]),
            ("X-B3-Sampled: 0\r\nX-B3-TraceId: 80f1", &[]),
            ("b3: 80f1-e457-1-05e3", &["B3"]),
            ("b3: 80f1-e457-0-05e3", &[]),
            ("b3: 0", &[]),
            ("b3: 80f1-e457", &["B3"]),
            (&format!("{PARENT}01"), &["Traceparent"]),
            (&format!("{PARENT}01\r\nTracestate: a=b"), &["Traceparent", "Tracestate"]),
            (&format!("{PARENT}00"), &[]),
        ];
        for (lines, want) in cases {
            let raw = format!("NATS/1.0\r\n{lines}\r\n\r\n");
            let got = asked(raw.as_bytes()).unwrap_or_default();
            assert_eq!(got.keys().map(String::as_str).collect::<Vec<_>>(), want, "{lines}");
        }
        for (flags, want) in
            [("01", true), ("03", true), ("81", false), ("1", false), ("0x", false)]
        {
            assert_eq!(is_sampled(format!("00-a-b-{flags}").as_bytes()), want);
        }
        assert!(!is_sampled(b"00-a-01") && !is_sampled(b"00-a-b-01-x"));
    }
}
