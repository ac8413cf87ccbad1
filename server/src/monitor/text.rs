//! JSON text, durations and uptimes as Go programs print them.

use serde::Serialize;
use serde_json::Value;
use std::io;

/// Two-space indented, with `<`, `>` and `&` escaped inside strings.
pub fn pretty(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    let mut ser = serde_json::Serializer::with_formatter(
        &mut out,
        Html { inner: serde_json::ser::PrettyFormatter::with_indent(b"  ") },
    );
    // Writing into a Vec cannot fail.
    let _ = value.serialize(&mut ser);
    out
}

struct Html<'a> {
    inner: serde_json::ser::PrettyFormatter<'a>,
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {
        $(fn $name<W: ?Sized + io::Write>(&mut self, w: &mut W $(, $arg: $ty)*) -> io::Result<()> {
            self.inner.$name(w $(, $arg)*)
        })*
    };
}

impl serde_json::ser::Formatter for Html<'_> {
    forward! {
        begin_array(); end_array(); begin_array_value(first: bool); end_array_value();
        begin_object(); end_object(); begin_object_key(first: bool); begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut rest = text;
        while let Some(i) = rest.find(['<', '>', '&']) {
            w.write_all(&rest.as_bytes()[..i])?;
            w.write_all(match rest.as_bytes()[i] {
                b'<' => b"\\u003c",
                b'>' => b"\\u003e",
                _ => b"\\u0026",
            })?;
            rest = &rest[i + 1..];
        }
        w.write_all(rest.as_bytes())
    }
}

/// Uptime as nats-server prints it: `1d2h3m4s`, 365-day years.
pub fn uptime(ns: i64) -> String {
    let s = ns.max(0) / 1_000_000_000;
    let (m, h, d) = (s / 60, s / 3600, s / 86400);
    let y = d / 365;
    let mut out = String::new();
    if y > 0 {
        out.push_str(&format!("{y}y"));
    }
    if d > 0 {
        out.push_str(&format!("{}d", d % 365));
    }
    if h > 0 {
        out.push_str(&format!("{}h", h % 24));
    }
    if m > 0 {
        out.push_str(&format!("{}m", m % 60));
    }
    out.push_str(&format!("{}s", s % 60));
    out
}

/// A duration as Go's `time.Duration` prints it: `83µs`, `1.2ms`, `1m30s`.
pub fn go_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let (sign, n) = if ns < 0 { ("-", ns.unsigned_abs()) } else { ("", ns as u64) };
    let fraction = |unit: u64, name: &str| {
        let whole = n / unit;
        let rest = n % unit;
        if rest == 0 {
            return format!("{sign}{whole}{name}");
        }
        let digits = unit.ilog10() as usize;
        let text = format!("{rest:0digits$}");
        format!("{sign}{whole}.{}{name}", text.trim_end_matches('0'))
    };
    match n {
        0..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        _ => {
            let (h, m) = (n / 3_600_000_000_000, n / 60_000_000_000 % 60);
            let s = n % 60_000_000_000;
            let (whole, rest) = (s / 1_000_000_000, s % 1_000_000_000);
            let mut out = sign.to_owned();
            if h > 0 {
                out.push_str(&format!("{h}h"));
            }
            if h > 0 || m > 0 {
                out.push_str(&format!("{m}m"));
            }
            out.push_str(&whole.to_string());
            if rest > 0 {
                out.push('.');
                out.push_str(format!("{rest:09}").trim_end_matches('0'));
            }
            out.push('s');
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (ns, text) in [
            (0, "0s"),
            (83_000, "83µs"),
            (1_200_000, "1.2ms"),
            (999, "999ns"),
            (1_000_000_000, "1s"),
            (90_000_000_000, "1m30s"),
            (3_600_500_000_000, "1h0m0.5s"),
        ] {
            assert_eq!(go_duration(ns), text);
        }
    }

    #[test]
    fn uptime_keeps_zeros_below_the_largest_unit() {
        let s = 1_000_000_000;
        assert_eq!(uptime(5 * s), "5s");
        assert_eq!(uptime(7205 * s), "2h0m5s");
        assert_eq!(uptime((86400 + 7384) * s), "1d2h3m4s");
    }

    #[test]
    fn markup_is_escaped() {
        let v = serde_json::json!({ "a": "<b>&" });
        assert_eq!(pretty(&v), b"{\n  \"a\": \"\\u003cb\\u003e\\u0026\"\n}");
    }
}
