//! Distinguished names (RFC 4514): users may be named by the subject of their
//! certificate, with the RDNs in any order.

/// One `type=value`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute {
    /// Lower case.
    kind: String,
    value: String,
}

impl Attribute {
    /// The case of `kind` does not matter.
    pub fn new(kind: &str, value: &str) -> Self {
        Self { kind: kind.to_ascii_lowercase(), value: value.to_owned() }
    }
}

/// A name with at least one RDN. Equal: same RDNs in the same order, the
/// attributes of one RDN in any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DistinguishedName {
    rdns: Vec<Vec<Attribute>>,
}

impl DistinguishedName {
    /// From its RDNs, most specific first. `None` if there are none.
    pub fn new(mut rdns: Vec<Vec<Attribute>>) -> Option<Self> {
        for rdn in &mut rdns {
            rdn.sort();
        }
        (!rdns.is_empty()).then_some(Self { rdns })
    }

    /// The same name with its RDNs in one fixed order: two names that only
    /// differ in order become equal.
    pub fn in_any_order(&self) -> Self {
        let mut rdns = self.rdns.clone();
        rdns.sort();
        Self { rdns }
    }

    /// Reads `CN=x,O=y`, attributes of one RDN joined by `+`, `\` before a
    /// special character or two hex digits. `None` if it is no such name.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rdns = Vec::new();
        let mut rdn = Vec::new();
        let mut kind: Option<String> = None;
        // The text of a type or value, and how much of it is not trailing blanks.
        let mut part: Vec<u8> = Vec::new();
        let mut keep = 0;
        let mut bytes = text.bytes().peekable();
        loop {
            let next = bytes.next();
            match next {
                Some(b'=') if kind.is_none() => {
                    // A value in BER (`#…`) cannot be compared as text.
                    if bytes.peek() == Some(&b'#') {
                        return None;
                    }
                    kind = Some(take(&mut part, &mut keep)?);
                }
                Some(b',' | b'+') | None => {
                    let kind = kind.take().filter(|k| !k.is_empty())?;
                    rdn.push(Attribute::new(&kind, &take(&mut part, &mut keep)?));
                    if next != Some(b'+') {
                        rdns.push(std::mem::take(&mut rdn));
                    }
                    if next.is_none() {
                        return Self::new(rdns);
                    }
                }
                Some(b'\\') => {
                    part.push(unescape(&mut bytes)?);
                    keep = part.len();
                }
                Some(b' ') if part.is_empty() => {}
                Some(b) => {
                    part.push(b);
                    if b != b' ' {
                        keep = part.len();
                    }
                }
            }
        }
    }
}

fn take(part: &mut Vec<u8>, keep: &mut usize) -> Option<String> {
    part.truncate(std::mem::take(keep));
    String::from_utf8(std::mem::take(part)).ok()
}

fn unescape(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let first = bytes.next()?;
    if b" \"#+,;<=>\\".contains(&first) {
        return Some(first);
    }
    let high = char::from(first).to_digit(16)?;
    let low = char::from(bytes.next()?).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dn(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).unwrap()
    }

    #[test]
    fn blanks_case_and_order_inside_an_rdn_do_not_matter() {
        assert_eq!(dn("CN=a b, O = x"), dn("cn=a b,o=x"));
        assert_eq!(dn("CN=a+OU=b,O=x"), dn("OU=b+CN=a,O=x"));
        assert_ne!(dn("CN=a,O=x"), dn("O=x,CN=a"));
        assert_eq!(dn("CN=a,O=x").in_any_order(), dn("O=x,CN=a").in_any_order());
        assert_ne!(dn("CN=a,CN=a").in_any_order(), dn("CN=a").in_any_order());
        assert_ne!(dn("CN=A"), dn("CN=a"));
    }

    #[test]
    fn escapes() {
        assert_eq!(dn(r"CN=a\, b"), dn(r"CN=a\2c b"));
        assert_eq!(dn(r"CN=a\ "), dn(r"CN=a\20"));
        assert_eq!(dn("CN=M\\C3\\BCller"), dn("CN=Müller"));
    }

    #[test]
    fn what_is_no_name() {
        for text in ["", "joe", "CN", "=x", "CN=a,", "CN=a,b", "CN=#04", "CN=a\\", "CN=\\g0"] {
            assert_eq!(DistinguishedName::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = DistinguishedName::parse(&text);
        }

        #[test]
        fn escaped_values_come_back(value in "[ -~]{1,20}") {
            let escaped: String =
                value.bytes().map(|b| format!("\\{b:02x}")).collect();
            let name = DistinguishedName::parse(&format!("CN={escaped}"));
            let wanted = DistinguishedName::new(vec![vec![Attribute::new("CN", &value)]]);
            prop_assert_eq!(name, wanted);
        }
    }
}
