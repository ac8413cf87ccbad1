//! Go's varints: little-endian groups of seven bits, zigzag for signed ones.

use bytes::{Buf, BufMut};

/// What reading a varint came to.
pub(super) enum Read<T> {
    /// The number and how many bytes it took.
    Is(T, usize),
    /// More bytes are needed.
    More,
    /// It does not fit into 64 bits.
    Overflow,
}

/// Reads an unsigned varint at the start of `buf`.
pub(super) fn read(buf: &[u8]) -> Read<u64> {
    let mut value = 0u64;
    for (i, &byte) in buf.iter().enumerate() {
        if i == 9 && byte > 1 {
            return Read::Overflow;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Read::Is(value, i + 1);
        }
        if i == 9 {
            return Read::Overflow;
        }
    }
    Read::More
}

/// Takes an unsigned varint from `buf`; `None` if there is none.
pub(super) fn take(buf: &mut &[u8]) -> Option<u64> {
    match read(buf) {
        Read::Is(value, n) => {
            buf.advance(n);
            Some(value)
        }
        Read::More | Read::Overflow => None,
    }
}

/// Takes a signed varint from `buf`; `None` if there is none.
pub(super) fn take_signed(buf: &mut &[u8]) -> Option<i64> {
    take(buf).map(unzigzag)
}

/// The signed number behind an unsigned one.
pub(super) fn unzigzag(n: u64) -> i64 {
    ((n >> 1) as i64) ^ -((n & 1) as i64)
}

/// Appends an unsigned varint.
pub(super) fn put(out: &mut impl BufMut, mut n: u64) {
    while n >= 0x80 {
        out.put_u8(n as u8 | 0x80);
        n >>= 7;
    }
    out.put_u8(n as u8);
}

/// Appends a signed varint.
pub(super) fn put_signed(out: &mut impl BufMut, n: i64) {
    put(out, ((n << 1) ^ (n >> 63)) as u64);
}
