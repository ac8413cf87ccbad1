//! Query parameters with nats-server's rules and error texts
//! (contract/monitoring.md §1.1).

/// Parsed query string.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Splits and decodes `a=b&c=d`. Pairs that cannot be decoded are dropped.
    pub fn parse(text: &str) -> Self {
        Self(
            text.split('&')
                .filter(|p| !p.is_empty())
                .filter_map(|p| {
                    let (k, v) = p.split_once('=').unwrap_or((p, ""));
                    Some((decode(k)?, decode(v)?))
                })
                .collect(),
        )
    }

    /// The first value of `key`, or empty.
    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v)
    }

    /// A boolean as Go's `strconv.ParseBool` reads it; missing or empty = false.
    pub fn bool(&self, key: &str) -> Result<bool, String> {
        match self.get(key) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            v => Err(format!(
                "Error decoding boolean for '{key}': strconv.ParseBool: parsing {v:?}: invalid syntax"
            )),
        }
    }

    /// An integer; missing or empty = 0.
    pub fn int(&self, key: &str) -> Result<i64, String> {
        match self.get(key) {
            "" => Ok(0),
            v => v.parse().map_err(|_| {
                format!(
                    "Error decoding int for '{key}': strconv.Atoi: parsing {v:?}: invalid syntax"
                )
            }),
        }
    }

    /// An unsigned integer; missing or empty = 0.
    pub fn uint(&self, key: &str) -> Result<u64, String> {
        match self.get(key) {
            "" => Ok(0),
            v => v.parse().map_err(|_| {
                format!(
                    "Error decoding uint64 for '{key}': strconv.ParseUint: parsing {v:?}: invalid syntax"
                )
            }),
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let b = text.as_bytes();
    let mut out = Vec::with_capacity(b.len());
    let mut i = 0;
    while i < b.len() {
        match b[i] {
            b'+' => out.push(b' '),
            b'%' => {
                let hex = std::str::from_utf8(b.get(i + 1..i + 3)?).ok()?;
                out.push(u8::from_str_radix(hex, 16).ok()?);
                i += 2;
            }
            c => out.push(c),
        }
        i += 1;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_typed_as_go_does() {
        let q = Query::parse("a=1&b=x%20y+z&c=T&d=no&n=-3&empty=&bad=%zz");
        assert_eq!(q.get("b"), "x y z");
        assert_eq!(q.bool("a"), Ok(true));
        assert_eq!(q.bool("c"), Ok(true));
        assert_eq!(q.bool("empty"), Ok(false));
        assert_eq!(q.int("n"), Ok(-3));
        assert_eq!(q.get("bad"), "");
        assert_eq!(
            q.bool("d").unwrap_err(),
            "Error decoding boolean for 'd': strconv.ParseBool: parsing \"no\": invalid syntax"
        );
        assert_eq!(
            q.int("d").unwrap_err(),
            "Error decoding int for 'd': strconv.Atoi: parsing \"no\": invalid syntax"
        );
    }
}
