//! Decimal numbers in subjects and headers, without formatting machinery.

use bytes::{BufMut, BytesMut};

/// Appends a number.
pub fn put(out: &mut BytesMut, mut v: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (v % 10) as u8;
        v /= 10;
        if v == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

/// Reads a number: digits only, no sign, no overflow.
pub fn parse(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |v, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        v.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for n in [0, 1, 9, 10, 12_345, u64::MAX] {
            let mut out = BytesMut::new();
            put(&mut out, n);
            assert_eq!(&out[..], n.to_string().as_bytes());
            assert_eq!(parse(&out), Some(n));
        }
        for bad in ["", "-1", "+1", "1x", "18446744073709551616", "99999999999999999999999"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
