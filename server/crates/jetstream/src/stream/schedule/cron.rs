//! Cron expressions with six fields: second, minute, hour, day of month, month,
//! day of week.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Years searched before an expression counts as never due (`0 0 0 30 2 *`).
const MAX_YEARS: i16 = 5;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// An expression: for every field the allowed values as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cron {
    second: u64,
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// Whether the field began with `*` or `?`: then the other day field alone
    /// decides, else either may.
    any_day: bool,
    any_weekday: bool,
}

impl Cron {
    /// Reads six fields separated by blanks.
    pub fn parse(text: &str) -> Option<Cron> {
        let mut fields = text.split_ascii_whitespace();
        let mut next = |min, max, names: &[&str]| field(fields.next()?, min, max, names);
        let (second, _) = next(0, 59, &[])?;
        let (minute, _) = next(0, 59, &[])?;
        let (hour, _) = next(0, 23, &[])?;
        let (day, any_day) = next(1, 31, &[])?;
        let (month, _) = next(1, 12, &MONTHS)?;
        let (weekday, any_weekday) = next(0, 6, &DAYS)?;
        if fields.next().is_some() {
            return None;
        }
        Some(Cron { second, minute, hour, day, month, weekday, any_day, any_weekday })
    }

    /// First due second after `after`; `None` if there is none for years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = zone.to_datetime(after);
        let mut date = start.date();
        let last = date.year().saturating_add(MAX_YEARS);
        while date.year() <= last {
            if self.day_matches(date)
                && let Some(at) = self.time_on(date, after, start, zone)
            {
                return Some(at);
            }
            date = match self.month & bit(date.month()) {
                0 => date.first_of_month().checked_add(1.month()).ok()?,
                _ => date.tomorrow().ok()?,
            };
        }
        None
    }

    fn day_matches(&self, date: Date) -> bool {
        if self.month & bit(date.month()) == 0 {
            return false;
        }
        let day = self.day & bit(date.day()) != 0;
        let weekday = self.weekday & bit(date.weekday().to_sunday_zero_offset()) != 0;
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }

    fn time_on(
        &self,
        date: Date,
        after: Timestamp,
        start: DateTime,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        let today = date == start.date();
        for hour in (0..24i8).filter(|h| self.hour & bit(*h) != 0) {
            // An hour repeated by a change of clocks may begin before `start`.
            if today && hour < start.hour() {
                continue;
            }
            for minute in (0..60i8).filter(|m| self.minute & bit(*m) != 0) {
                for second in (0..60i8).filter(|s| self.second & bit(*s) != 0) {
                    let at = zone.to_timestamp(date.at(hour, minute, second, 0)).ok()?;
                    if at > after {
                        return Some(at);
                    }
                }
            }
        }
        None
    }
}

fn bit(n: i8) -> u64 {
    1u64 << n.clamp(0, 63)
}

/// One field: items separated by commas; whether it began with `*` or `?`.
fn field(text: &str, min: u8, max: u8, names: &[&str]) -> Option<(u64, bool)> {
    let mut bits = 0;
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse::<u8>().ok().filter(|s| *s > 0)?),
            None => (item, 1),
        };
        let (from, to) = match range {
            "*" | "?" => (min, max),
            _ => match range.split_once('-') {
                Some((from, to)) => (value(from, min, names)?, value(to, min, names)?),
                // `a/n` means from a to the end.
                None if item.contains('/') => (value(range, min, names)?, max),
                None => (value(range, min, names)?, value(range, min, names)?),
            },
        };
        if from < min || to > max || from > to {
            return None;
        }
        bits |= (from..=to).step_by(usize::from(step)).fold(0, |b, v| b | 1 << v);
    }
    Some((bits, text.starts_with(['*', '?'])))
}

fn value(text: &str, min: u8, names: &[&str]) -> Option<u8> {
    let named = names.iter().position(|n| text.eq_ignore_ascii_case(n));
    match named {
        Some(at) => Some(at as u8 + min),
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, after: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let after: Timestamp = after.parse().unwrap();
        let at = Cron::parse(text).unwrap().next(after, &zone);
        at.map_or("never".into(), |t| t.to_string())
    }

    #[test]
    fn the_next_time_is_found() {
        let after = "2024-02-28T23:59:59.5Z";
        for (text, want) in [
            ("* * * * * *", "2024-02-29T00:00:00Z"),
            ("0 30 * * * *", "2024-02-29T00:30:00Z"),
            ("*/15 * * * * *", "2024-02-29T00:00:00Z"),
            ("5/20 0 12 * * *", "2024-02-29T12:00:05Z"),
            ("0 0 0 29 2 *", "2024-02-29T00:00:00Z"),
            ("0 0 0 1 JAN ?", "2025-01-01T00:00:00Z"),
            ("0 0 9 * * mon-fri", "2024-02-29T09:00:00Z"),
            ("0 0 0 * * sun", "2024-03-03T00:00:00Z"),
            // Both day fields restricted: either will do.
            ("0 0 0 13 * fri", "2024-03-01T00:00:00Z"),
            ("0 0 0 30 2 *", "never"),
        ] {
            assert_eq!(next(text, after, "UTC"), want, "{text}");
        }
    }

    #[test]
    fn zones_and_their_changes_count() {
        assert_eq!(
            next("0 0 8 * * *", "2024-07-01T00:00:00Z", "America/New_York"),
            "2024-07-01T12:00:00Z"
        );
        // 02:30 does not exist on that day in Berlin; it becomes 03:30.
        assert_eq!(
            next("0 30 2 * * *", "2024-03-31T00:00:00Z", "Europe/Berlin"),
            "2024-03-31T01:30:00Z"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "* * * * *",
            "* * * * * * *",
            "60 * * * * *",
            "* * 24 * * *",
            "* * * 0 * *",
            "* * * * 13 *",
            "* * * * * 7",
            "5-1 * * * * *",
            "*/0 * * * * *",
            "a * * * * *",
            "1,, * * * * *",
            "-1 * * * * *",
        ] {
            assert_eq!(Cron::parse(bad), None, "{bad}");
        }
    }
}
