//! What a login and the monitoring need to know of an X.509 certificate.
//!
//! The certificate was verified before (or is the server's own), so this only
//! walks its DER; whatever is not as RFC 5280 says reads as absent.

use crate::dn::{Attribute, DistinguishedName};

/// The names a verified client certificate may log in by, in the order they are
/// tried (contract/core.md §4.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// E-mail, DNS and URI alternative names, in this order.
    pub alternative: Vec<String>,
    /// The subject, to be compared with user names that are DNs.
    pub subject: Option<DistinguishedName>,
    /// The subject as text: with its domain components at the end if it has
    /// any, then without.
    pub subject_texts: Vec<String>,
}

/// A certificate cut into its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// DER of the SubjectPublicKeyInfo.
    pub public_key: &'a [u8],
    /// End of validity, ns since the epoch.
    pub not_after: Option<i64>,
    /// RDNs in the order of the certificate.
    rdns: Vec<Vec<RawAttribute<'a>>>,
    emails: Vec<String>,
    dns: Vec<String>,
    uris: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RawAttribute<'a> {
    oid: &'a [u8],
    value: Option<String>,
    der: &'a [u8],
}

const OID_ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// `0.9.2342.19200300.100.1.25` and `….1`.
const OID_DC: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19];
const OID_UID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01];

/// Attributes of `2.5.4` in the order they have in the text of a subject, and
/// their names there.
const TEXT_ORDER: [(u8, &str); 9] = [
    (5, "SERIALNUMBER"),
    (3, "CN"),
    (11, "OU"),
    (10, "O"),
    (17, "POSTALCODE"),
    (9, "STREET"),
    (7, "L"),
    (8, "ST"),
    (6, "C"),
];

/// End of validity of the certificate in `der`, ns since the epoch.
pub fn not_after(der: &[u8]) -> Option<i64> {
    Certificate::parse(der)?.not_after
}

impl<'a> Certificate<'a> {
    /// Cuts DER into parts; `None` if it is no certificate.
    pub fn parse(der: &'a [u8]) -> Option<Self> {
        let mut outer = Der(der).expect(0x30)?;
        let mut tbs = outer.expect(0x30)?;
        if tbs.peek() == Some(0xa0) {
            tbs.next()?;
        }
        tbs.expect(0x02)?; // serial number
        tbs.expect(0x30)?; // signature algorithm
        tbs.expect(0x30)?; // issuer
        let mut validity = tbs.expect(0x30)?;
        validity.next()?;
        let not_after = validity.next().and_then(|(tag, _, text)| time(tag, text));
        let subject = tbs.expect(0x30)?;
        let (tag, public_key, _) = tbs.next()?;
        if tag != 0x30 {
            return None;
        }
        let mut cert =
            Self { public_key, not_after, rdns: rdns(subject)?, ..Certificate::default() };
        while let Some((tag, _, inner)) = tbs.next() {
            if tag == 0xa3 {
                cert.extensions(Der(inner).expect(0x30)?);
            }
        }
        Some(cert)
    }

    fn extensions(&mut self, mut list: Der<'a>) {
        while let Some(mut extension) = list.expect(0x30) {
            let Some(Der(oid)) = extension.expect(0x06) else { return };
            if extension.peek() == Some(0x01) {
                extension.next();
            }
            if oid != OID_ALTERNATIVE_NAMES {
                continue;
            }
            let Some(mut value) = extension.expect(0x04) else { continue };
            let Some(mut names) = value.expect(0x30) else { continue };
            while let Some((tag, _, name)) = names.next() {
                let into = match tag {
                    0x81 => &mut self.emails,
                    0x82 => &mut self.dns,
                    0x86 => &mut self.uris,
                    _ => continue,
                };
                into.extend(std::str::from_utf8(name).map(ToOwned::to_owned));
            }
        }
    }

    /// Names to log in by.
    pub fn names(&self) -> CertificateNames {
        let all = self.emails.iter().chain(&self.dns).chain(&self.uris);
        let subject = self.text_of(false);
        let components: Vec<String> = self
            .attributes()
            .filter(|a| a.oid == OID_DC)
            .filter_map(|a| a.value.as_ref().map(|v| format!("DC={v}")))
            .collect();
        let mut subject_texts = Vec::new();
        if !components.is_empty() {
            subject_texts.push(format!("{subject},{}", components.join(",")));
        }
        subject_texts.push(subject);
        subject_texts.retain(|t| !t.is_empty());
        CertificateNames {
            alternative: all.cloned().collect(),
            subject: self.distinguished_name(),
            subject_texts,
        }
    }

    /// The subject as `/connz` shows it: `CN=x,OU=y,O=z`, what has no short name
    /// at the end as `oid=#der`.
    pub fn subject(&self) -> String {
        self.text_of(true)
    }

    fn attributes(&self) -> impl Iterator<Item = &RawAttribute<'a>> {
        self.rdns.iter().flatten()
    }

    fn text_of(&self, others: bool) -> String {
        let mut parts = Vec::new();
        for (last, name) in TEXT_ORDER {
            let values: Vec<String> = self
                .attributes()
                .filter(|a| a.oid == [0x55, 0x04, last])
                .filter_map(|a| a.value.as_deref())
                .map(|v| format!("{name}={}", escape(v)))
                .collect();
            // The number and the common name are single, the last one counts.
            match (last, values.last()) {
                (3 | 5, Some(value)) => parts.push(value.clone()),
                (_, Some(_)) => parts.push(values.join("+")),
                (_, None) => {}
            }
        }
        if others {
            let known = |a: &&RawAttribute<'_>| {
                !TEXT_ORDER.iter().any(|(last, _)| a.oid == [0x55, 0x04, *last])
            };
            let mut rest: Vec<String> = self
                .attributes()
                .filter(known)
                .map(|a| {
                    let der = a.value.as_deref().map_or_else(|| a.der.to_vec(), reencode);
                    let hex = der.iter().map(|b| format!("{b:02x}")).collect::<String>();
                    format!("{}=#{hex}", dotted(a.oid))
                })
                .collect();
            rest.reverse();
            parts.extend(rest);
        }
        parts.join(",")
    }

    /// The whole subject, most specific RDN first as in RFC 4514. `None` if it
    /// is empty or holds something without a name there.
    fn distinguished_name(&self) -> Option<DistinguishedName> {
        let attribute = |a: &RawAttribute<'_>| {
            let name = match a.oid {
                [0x55, 0x04, last] => TEXT_ORDER.iter().find(|(n, _)| n == last)?.1,
                oid if oid == OID_DC => "DC",
                oid if oid == OID_UID => "UID",
                _ => return None,
            };
            Some(Attribute::new(name, a.value.as_deref()?))
        };
        let rdns = self.rdns.iter().rev().map(|rdn| rdn.iter().rev().map(attribute).collect());
        let rdns: Option<Vec<Vec<Attribute>>> = rdns.collect();
        rdns.and_then(DistinguishedName::new)
    }
}

fn rdns(mut subject: Der<'_>) -> Option<Vec<Vec<RawAttribute<'_>>>> {
    let mut rdns = Vec::new();
    while subject.peek().is_some() {
        let mut set = subject.expect(0x31)?;
        let mut rdn = Vec::new();
        while set.peek().is_some() {
            let mut pair = set.expect(0x30)?;
            let Der(oid) = pair.expect(0x06)?;
            let (tag, der, value) = pair.next()?;
            rdn.push(RawAttribute { oid, value: string(tag, value), der });
        }
        if !rdn.is_empty() {
            rdns.push(rdn);
        }
    }
    Some(rdns)
}

/// Text of an ASN.1 string of any kind.
fn string(tag: u8, bytes: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, NumericString, PrintableString, TeletexString, IA5String.
        0x0c | 0x12 | 0x13 | 0x14 | 0x16 => String::from_utf8(bytes.to_vec()).ok(),
        // BMPString
        0x1e if bytes.len().is_multiple_of(2) => {
            let units: Vec<u16> = bytes
                .chunks_exact(2)
                .map(|c| c.iter().fold(0, |n, b| n << 8 | u16::from(*b)))
                .collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

/// The DER that Go shows for a value: a PrintableString if it can be one.
fn reencode(value: &str) -> Vec<u8> {
    let printable = |b: u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b);
    let tag = if value.bytes().all(printable) { 0x13 } else { 0x0c };
    let len = value.len();
    let mut der = match len {
        0..128 => vec![tag, len as u8],
        128..256 => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    der.extend_from_slice(value.as_bytes());
    der
}

/// As Go writes a value in a DN.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        let special = match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => i == 0,
            ' ' => i == 0 || i == last,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn dotted(oid: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut n = 0u64;
    for b in oid {
        n = n.wrapping_shl(7) | u64::from(b & 0x7f);
        if b & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (n / 40).min(2);
                numbers.extend([first, n - first * 40]);
            } else {
                numbers.push(n);
            }
            n = 0;
        }
    }
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

/// UTCTime or GeneralizedTime in the form RFC 5280 prescribes.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        (0x17, 12) => {
            let two: i64 = text.get(..2)?.parse().ok()?;
            (if two < 50 { 2000 + two } else { 1900 + two }, text.get(2..)?)
        }
        (0x18, 14) => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |i: usize| rest.get(i * 2..i * 2 + 2)?.parse::<i64>().ok();
    let (month, day, hour, minute, second) = (part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since the epoch of a date of the Gregorian calendar, March first.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    // Years beyond 2262 do not fit; they are as good as never.
    Some(seconds.saturating_mul(1_000_000_000))
}

/// A walk over elements of DER.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Tag, the whole element, its content.
    fn next(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&short, rest) = rest.split_first()?;
        let (len, rest) = if short < 0x80 {
            (usize::from(short), rest)
        } else {
            let n = usize::from(short & 0x7f);
            if n == 0 || n > 4 {
                return None;
            }
            let (bytes, rest) = rest.split_at_checked(n)?;
            (bytes.iter().fold(0usize, |len, b| len << 8 | usize::from(*b)), rest)
        };
        let (content, after) = rest.split_at_checked(len)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some((tag, whole, content))
    }

    /// The content of the next element, which has to have this tag.
    fn expect(&mut self, tag: u8) -> Option<Der<'a>> {
        match self.next()? {
            (t, _, content) if t == tag => Some(Der(content)),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "certificate_test.rs"]
mod tests;
