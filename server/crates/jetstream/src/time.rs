//! Points in time as documents show them: RFC 3339 with up to nine digits of
//! fraction, trailing zeros cut, in UTC, and Go's zero time for "never".

use crate::effect::Nanos;
use crate::json::{JsonEmpty, JsonError, JsonRead, Reader};
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use std::fmt::{self, Display, Write};

/// Seconds from the Unix epoch to `0001-01-01T00:00:00Z`.
const GO_ZERO_SECS: i64 = -62_135_596_800;
const NANOS_PER_SEC: i64 = 1_000_000_000;

/// A point in time. The default is Go's zero time, which means "not set".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since the Unix epoch.
    secs: i64,
    /// Nanoseconds within the second.
    nanos: u32,
}

impl Time {
    /// Go's zero time.
    pub const ZERO: Time = Time { secs: GO_ZERO_SECS, nanos: 0 };

    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(ns: Nanos) -> Time {
        Time { secs: ns.div_euclid(NANOS_PER_SEC), nanos: ns.rem_euclid(NANOS_PER_SEC) as u32 }
    }

    /// From nanoseconds since the Unix epoch, where 0 means "not set".
    pub const fn from_nanos_or_zero(ns: Nanos) -> Time {
        if ns == 0 { Time::ZERO } else { Time::from_nanos(ns) }
    }

    /// Nanoseconds since the Unix epoch; the nearest representable value for
    /// times before 1677 or after 2262.
    pub const fn nanos(self) -> Nanos {
        self.secs.saturating_mul(NANOS_PER_SEC).saturating_add(self.nanos as i64)
    }

    /// Whether this is the zero time.
    pub fn is_zero(self) -> bool {
        self == Time::ZERO
    }

    /// Reads RFC 3339, as Go's `time.Parse(time.RFC3339, …)`.
    pub fn parse(text: &str) -> Option<Time> {
        // jiff accepts more than RFC 3339 (a space for the `T`, annotations).
        let b = text.as_bytes();
        let strict = b.len() >= 20 && b.get(10) == Some(&b'T') && !text.contains(['[', ' ']);
        if !strict {
            return None;
        }
        let ts: jiff::Timestamp = text.parse().ok()?;
        let (mut secs, mut nanos) = (ts.as_second(), ts.subsec_nanosecond());
        if nanos < 0 {
            secs -= 1;
            nanos += NANOS_PER_SEC as i32;
        }
        Some(Time { secs, nanos: nanos as u32 })
    }
}

impl Default for Time {
    fn default() -> Self {
        Time::ZERO
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = jiff::Timestamp::from_second(self.secs).unwrap_or(jiff::Timestamp::MAX);
        let t = TimeZone::UTC.to_datetime(second);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )?;
        if self.nanos != 0 {
            let (mut fraction, mut width) = (self.nanos, 9);
            while fraction % 10 == 0 {
                fraction /= 10;
                width -= 1;
            }
            write!(f, ".{fraction:0width$}")?;
        }
        f.write_char('Z')
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonRead for Time {
    fn read(&mut self, r: &mut Reader<'_>) -> Result<(), JsonError> {
        if r.null() {
            return Ok(());
        }
        let text = r.string("time.Time")?;
        *self = Time::parse(&text).ok_or_else(|| refusal(&text))?;
        Ok(())
    }

    fn go_type() -> String {
        "time.Time".into()
    }
}

/// Go's words about a text that is no time.
fn refusal(text: &str) -> JsonError {
    let number = |from: usize| text.get(from..from + 2).and_then(|t| t.parse::<u8>().ok());
    let shaped = text.as_bytes().get(10) == Some(&b'T');
    let field = match (number(5), number(8), number(11)) {
        (Some(month), ..) if !(1..=12).contains(&month) => Some("month"),
        (Some(_), Some(day), _) if !(1..=31).contains(&day) => Some("day"),
        (_, _, Some(hour)) if hour > 23 => Some("hour"),
        _ => None,
    };
    if let Some(field) = field.filter(|_| shaped) {
        return JsonError(format!("parsing time \"{text}\": {field} out of range"));
    }
    let layout = "2006-01-02T15:04:05Z07:00";
    JsonError(format!(
        "parsing time \"{text}\" as \"{layout}\": cannot parse \"{text}\" as \"2006\""
    ))
}

impl JsonEmpty for Time {
    /// Never: Go's `omitempty` does not apply to structs.
    fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_lose_their_trailing_zeros() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
            (1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(Time::from_nanos(ns).to_string(), text);
            assert_eq!(Time::parse(text), Some(Time::from_nanos(ns)));
            assert_eq!(Time::from_nanos(ns).nanos(), ns);
        }
        assert_eq!(Time::default().to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(Time::parse("0001-01-01T00:00:00Z"), Some(Time::ZERO));
    }

    #[test]
    fn only_rfc_3339_is_read() {
        assert_eq!(
            Time::parse("2023-11-15T00:13:20+02:00"),
            Some(Time::from_nanos(1_700_000_000_000_000_000))
        );
        for bad in ["", "2023-11-14", "2023-11-14 22:13:20Z", "2023-11-14T22:13:20", "now"] {
            assert_eq!(Time::parse(bad), None, "{bad}");
        }
        assert_eq!(Time::parse("9999-12-30T00:00:00Z").unwrap().nanos(), i64::MAX);
    }
}
