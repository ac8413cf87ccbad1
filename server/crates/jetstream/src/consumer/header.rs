//! Fields of a raw header block.

use crate::decimal::parse as number;

/// The number in the first field called `name`.
pub(super) fn number_field(headers: &[u8], name: &str) -> Option<u64> {
    headers.split(|b| *b == b'\n').find_map(|line| {
        let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        number(value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_exact_name() {
        let h = b"NATS/1.0\r\nNats-Last-Consumer: 7\r\nNats-Last-Stream:12\r\nX: a\r\n\r\n";
        assert_eq!(number_field(h, "Nats-Last-Consumer"), Some(7));
        assert_eq!(number_field(h, "Nats-Last-Stream"), Some(12));
        assert_eq!(number_field(h, "Nats-Last"), None);
        assert_eq!(number_field(h, "X"), None);
        assert_eq!(number_field(b"", "X"), None);
    }
}
