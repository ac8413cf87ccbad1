//! Durations as Go prints and reads them: `1h30m0s`, `250ms`, `2.5s`.

use crate::effect::Nanos;

/// Nanoseconds in a microsecond, millisecond, second, minute, hour.
pub const MICROSECOND: Nanos = 1_000;
/// See [`MICROSECOND`].
pub const MILLISECOND: Nanos = 1_000_000;
/// See [`MICROSECOND`].
pub const SECOND: Nanos = 1_000_000_000;
/// See [`MICROSECOND`].
pub const MINUTE: Nanos = 60 * SECOND;
/// See [`MICROSECOND`].
pub const HOUR: Nanos = 60 * MINUTE;

/// `ns` as Go's `Duration.String`.
pub fn format(ns: Nanos) -> String {
    if ns == 0 {
        return "0s".into();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let abs = ns.unsigned_abs();
    let (second, unit) = (SECOND as u64, |u: Nanos| u as u64);
    if abs < second {
        let (size, name) = match abs {
            n if n < unit(MICROSECOND) => (1, "ns"),
            n if n < unit(MILLISECOND) => (unit(MICROSECOND), "µs"),
            _ => (unit(MILLISECOND), "ms"),
        };
        return format!("{sign}{}{}{name}", abs / size, fraction(abs % size, size));
    }
    let (hours, minutes) = (abs / unit(HOUR), abs / unit(MINUTE) % 60);
    let rest = abs % unit(MINUTE);
    let seconds = format!("{}{}s", rest / second, fraction(rest % second, second));
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}"),
        (0, m) => format!("{sign}{m}m{seconds}"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}"),
    }
}

fn fraction(part: u64, size: u64) -> String {
    if part == 0 {
        return String::new();
    }
    let width = size.ilog10() as usize;
    let digits = format!("{part:0width$}");
    format!(".{}", digits.trim_end_matches('0'))
}

/// Reads what Go's `ParseDuration` reads; `None` for anything else or when it
/// does not fit.
pub fn parse(text: &str) -> Option<Nanos> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (value, tail) = rest.split_at(number);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => MICROSECOND,
            "ms" => MILLISECOND,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            _ => return None,
        };
        let (whole, part) = value.split_once('.').unwrap_or((value, ""));
        if (whole.is_empty() && part.is_empty()) || whole.len() > 19 || part.contains('.') {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total += whole * i128::from(unit);
        // More than 18 digits of a fraction cannot change a nanosecond.
        let part = part.get(..part.len().min(18))?;
        if !part.is_empty() {
            let scale = 10i128.pow(part.len() as u32);
            total += part.parse::<i128>().ok()? * i128::from(unit) / scale;
        }
        if total > i128::from(i64::MAX) {
            return None;
        }
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_in_go() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250 * MILLISECOND, "250ms"),
            (2_500 * MILLISECOND, "2.5s"),
            (2 * MINUTE, "2m0s"),
            (90 * MINUTE, "1h30m0s"),
            (-SECOND, "-1s"),
            (100 * HOUR + 1, "100h0m0.000000001s"),
        ] {
            assert_eq!(format(ns), text);
            assert_eq!(parse(text), Some(ns), "{text}");
        }
        for (text, want) in [
            ("1h", Some(HOUR)),
            (".5s", Some(500 * MILLISECOND)),
            ("1.", None),
            ("", None),
            ("-", None),
            ("1", None),
            ("1d", None),
            (".s", None),
            ("1.2.3s", None),
            ("99999999999h", None),
            ("+1m1ms", Some(MINUTE + MILLISECOND)),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }
}
