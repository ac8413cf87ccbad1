//! Go's duration text, both ways: `1m30s`, `1.5h`, `-2ms`.

use thiserror::Error;

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds in a minute.
pub const MINUTE_NS: i64 = 60 * SECOND_NS;

/// A text that is no duration; the wording is that of Go's `time.ParseDuration`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Not of the form number-unit, or out of the range of 64 bit nanoseconds.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit other than ns, us, µs, ms, s, m, h.
    #[error("time: unknown unit {0:?} in duration {1:?}")]
    UnknownUnit(String, String),
}

/// Nanoseconds of a Go duration text.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_while(rest, |c| c.is_ascii_digit());
        let (fraction, after) = match after.strip_prefix('.') {
            Some(tail) => split_while(tail, |c| c.is_ascii_digit()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let (unit, after) = split_while(after, |c| c != '.' && !c.is_ascii_digit());
        let scale: i128 = match unit {
            "" => return Err(DurationError::MissingUnit(text.to_owned())),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => i128::from(SECOND_NS),
            "m" => i128::from(MINUTE_NS),
            "h" => i128::from(60 * MINUTE_NS),
            _ => return Err(DurationError::UnknownUnit(unit.to_owned(), text.to_owned())),
        };
        let whole: i128 =
            if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let whole = whole.checked_mul(scale).ok_or_else(invalid)?;
        total = total.checked_add(whole).ok_or_else(invalid)? + fraction_of(fraction, scale);
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// Fraction digits times the unit, rounded down; digits beyond nanoseconds of an hour mean nothing.
fn fraction_of(digits: &str, scale: i128) -> i128 {
    let digits = digits.get(..18).unwrap_or(digits);
    let power = u32::try_from(digits.len()).unwrap_or(0);
    digits.parse::<i128>().map_or(0, |value| value * scale / 10_i128.pow(power))
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

/// The text Go prints for a duration in nanoseconds (`1m30s`, `1.5ms`, `0s`).
#[must_use]
pub fn format(ns: i64) -> String {
    let size = ns.unsigned_abs();
    let sign = if ns < 0 { "-" } else { "" };
    if size == 0 {
        return "0s".to_owned();
    }
    let second = SECOND_NS.unsigned_abs();
    if size < second {
        let (unit, scale) = match size {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(size, scale));
    }
    let (minutes, rest) = (size / (60 * second), size % (60 * second));
    let seconds = decimal(rest, second);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

fn decimal(value: u64, scale: u64) -> String {
    let (whole, rest) = (value / scale, value % scale);
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (text, want) in [
            ("0", 0),
            ("1ns", 1),
            ("1.5us", 1_500),
            ("2ms", 2_000_000),
            ("10s", 10 * SECOND_NS),
            ("1m30s", 90 * SECOND_NS),
            ("1h0m0.5s", 3600 * SECOND_NS + SECOND_NS / 2),
            ("-2m", -2 * MINUTE_NS),
            (".5s", SECOND_NS / 2),
            ("+1s", SECOND_NS),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        for (text, want) in [
            ("", "time: invalid duration \"\""),
            ("x", "time: invalid duration \"x\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5d", "time: unknown unit \"d\" in duration \"5d\""),
            (".s", "time: invalid duration \".s\""),
            ("9999999h", "time: invalid duration \"9999999h\""),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn durations_print_as_in_go() {
        for (ns, want) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (50_000_000, "50ms"),
            (5 * SECOND_NS, "5s"),
            (SECOND_NS + SECOND_NS / 2, "1.5s"),
            (2 * MINUTE_NS, "2m0s"),
            (90 * MINUTE_NS, "1h30m0s"),
            (-SECOND_NS, "-1s"),
        ] {
            assert_eq!(format(ns), want);
        }
    }
}
