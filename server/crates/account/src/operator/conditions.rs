//! Where from and when a user may connect: `src` and `times` of its token.

use crate::jwt::TimeRange;
use jiff::civil::{DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use std::net::IpAddr;
use std::sync::LazyLock;

/// Zones compiled into the program: the machine's own may differ or be absent,
/// and reading them would be I/O.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A network: an address and how many leading bits of it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Reads CIDR notation, `10.0.0.0/8` or `fd00::/8`.
#[must_use]
pub fn parse_network(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Network { address, bits })
}

impl Network {
    /// Whether `peer` is in it. An IPv4 address in IPv6 form counts as IPv4.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let shift = |width: u8| u32::from(width - self.bits);
        match (self.address.to_canonical(), peer.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(peer)) if self.address.is_ipv4() => {
                let differ = net.to_bits() ^ peer.to_bits();
                differ.checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (_, IpAddr::V6(peer)) => match self.address {
                IpAddr::V6(net) => {
                    let differ = net.to_bits() ^ peer.to_bits();
                    differ.checked_shr(shift(128)).unwrap_or(0) == 0
                }
                IpAddr::V4(_) => false,
            },
            // `::ffff:10.0.0.0/104` against an IPv4 peer.
            (IpAddr::V4(net), IpAddr::V4(peer)) => {
                let differ = net.to_ipv6_mapped().to_bits() ^ peer.to_ipv6_mapped().to_bits();
                differ.checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Whether `peer` may connect; an empty list allows everybody, and who has no
/// address is only in that one.
#[must_use]
pub fn source_allowed(src: &[String], peer: Option<IpAddr>) -> bool {
    if src.is_empty() {
        return true;
    }
    let Some(peer) = peer else { return false };
    src.iter().filter_map(|text| parse_network(text)).any(|network| network.contains(peer))
}

/// Reads `HH:MM:SS`, the hour with one digit or two.
#[must_use]
pub fn parse_time(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let mut number = |widths: std::ops::RangeInclusive<usize>| -> Option<i8> {
        let part = parts.next()?;
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        (digits && widths.contains(&part.len())).then(|| part.parse().ok())?
    };
    let (hour, minute, second) = (number(1..=2)?, number(2..=2)?, number(2..=2)?);
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, 0).ok()
}

/// The zone of this IANA name.
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok()
}

/// Whether a window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// There are no windows.
    Always,
    /// Until then, ns since the epoch.
    Until(i64),
    /// No.
    Closed,
}

/// Whether somebody with these windows may be connected at `now` (ns since the
/// epoch), and until when. `location` is an IANA zone, or empty for `local`.
/// Windows nobody can read are closed.
#[must_use]
pub fn window(times: &[TimeRange], location: &str, local: &TimeZone, now: i64) -> Window {
    if times.is_empty() {
        return Window::Always;
    }
    let zone = if location.is_empty() { Some(local.clone()) } else { zone(location) };
    let (Some(zone), Ok(now)) = (zone, Timestamp::from_nanosecond(i128::from(now))) else {
        return Window::Closed;
    };
    let here = zone.to_datetime(now);
    let mut end: Option<Timestamp> = None;
    for range in times {
        let (Some(from), Some(to)) = (parse_time(&range.start), parse_time(&range.end)) else {
            return Window::Closed;
        };
        let until = open_until(from, to, here).and_then(|at| zone.to_timestamp(at).ok());
        end = end.max(until);
    }
    let ns = end.and_then(|end| i64::try_from(end.as_nanosecond()).ok());
    ns.map_or(Window::Closed, Window::Until)
}

/// When a daily window that is open at `now` ends. One that ends before it
/// starts goes past midnight.
fn open_until(from: Time, to: Time, now: DateTime) -> Option<DateTime> {
    let (start, end) = (now.date().to_datetime(from), now.date().to_datetime(to));
    if start < now && now < end {
        return Some(end);
    }
    if start <= end {
        return None;
    }
    if now < end {
        return Some(end);
    }
    if start < now { end.checked_add(Span::new().days(1)).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks() {
        for (network, peer, inside) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("192.0.2.7/24", "192.0.2.255", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.0.0.0/8", "fd00::1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "fe80::1", true),
            ("::1/128", "::1", true),
            ("::1/128", "::2", false),
            ("fd00::/8", "10.0.0.1", false),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "11.1.2.3", false),
        ] {
            let parsed = parse_network(network).unwrap();
            assert_eq!(parsed.contains(ip(peer)), inside, "{peer} in {network}");
        }
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/", "10/8", "/8"] {
            assert_eq!(parse_network(bad), None, "{bad}");
        }
        let list = ["10.0.0.0/8".to_owned(), "bad".to_owned()];
        assert!(source_allowed(&[], None) && source_allowed(&list, Some(ip("10.1.1.1"))));
        assert!(!source_allowed(&list, None) && !source_allowed(&list, Some(ip("1.1.1.1"))));
    }

    #[test]
    fn times_of_day() {
        assert_eq!(parse_time("9:05:00"), Time::new(9, 5, 0, 0).ok());
        assert_eq!(parse_time("23:59:59"), Time::new(23, 59, 59, 0).ok());
        for bad in ["", "24:00:00", "1:2:3", "01:02", "01:02:03:04", "-1:00:00", "01:60:00"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn windows_open_and_close() {
        let at =
            |text: &str| i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap();
        let range = |start: &str, end: &str| TimeRange { start: start.into(), end: end.into() };
        let cases = [
            // In the middle, at the edges, outside.
            (
                vec![range("08:00:00", "17:00:00")],
                "",
                "2024-05-01T12:00:00Z",
                Some("2024-05-01T17:00:00Z"),
            ),
            (vec![range("08:00:00", "17:00:00")], "", "2024-05-01T08:00:00Z", None),
            (vec![range("08:00:00", "17:00:00")], "", "2024-05-01T17:00:00Z", None),
            (vec![range("08:00:00", "17:00:00")], "", "2024-05-01T07:00:00Z", None),
            // Past midnight.
            (
                vec![range("22:00:00", "06:00:00")],
                "",
                "2024-05-01T23:30:00Z",
                Some("2024-05-02T06:00:00Z"),
            ),
            (
                vec![range("22:00:00", "06:00:00")],
                "",
                "2024-05-01T05:00:00Z",
                Some("2024-05-01T06:00:00Z"),
            ),
            (vec![range("22:00:00", "06:00:00")], "", "2024-05-01T12:00:00Z", None),
            // The window that stays open longest counts.
            (
                vec![
                    range("08:00:00", "13:00:00"),
                    range("09:00:00", "15:00:00"),
                    range("01:00:00", "02:00:00"),
                ],
                "",
                "2024-05-01T12:00:00Z",
                Some("2024-05-01T15:00:00Z"),
            ),
            // 12:00 UTC is 08:00 in New York in summer, 07:00 in winter.
            (
                vec![range("07:30:00", "17:00:00")],
                "America/New_York",
                "2024-07-01T12:00:00Z",
                Some("2024-07-01T21:00:00Z"),
            ),
            (vec![range("07:30:00", "17:00:00")], "America/New_York", "2024-01-01T12:00:00Z", None),
            // A window over the hour that summer time skips.
            (
                vec![range("01:00:00", "04:00:00")],
                "Europe/Berlin",
                "2024-03-31T00:30:00Z",
                Some("2024-03-31T02:00:00Z"),
            ),
            (vec![range("08:00:00", "17:00:00")], "Mars/Olympus", "2024-05-01T12:00:00Z", None),
            (vec![range("08:00:00", "late")], "", "2024-05-01T12:00:00Z", None),
        ];
        for (times, location, now, until) in cases {
            let want = until.map_or(Window::Closed, |until| Window::Until(at(until)));
            let got = window(&times, location, &TimeZone::UTC, at(now));
            assert_eq!(got, want, "{times:?} {location} {now}");
        }
        assert_eq!(window(&[], "", &TimeZone::UTC, 0), Window::Always);
        let berlin = zone("Europe/Berlin").unwrap();
        let day = [range("13:30:00", "14:30:00")];
        assert_eq!(
            window(&day, "", &berlin, at("2024-07-01T12:00:00Z")),
            Window::Until(at("2024-07-01T12:30:00Z"))
        );
    }
}
