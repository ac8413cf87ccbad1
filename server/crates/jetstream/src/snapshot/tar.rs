//! Just enough tar, read piece by piece: regular files with names from plain,
//! PAX and GNU headers; everything else is passed over.

use super::SnapshotError;
use bytes::{Buf, BufMut, BytesMut};

const BLOCK: usize = 512;
/// Largest PAX or GNU extension, bytes.
const MAX_EXTENSION: u64 = 64 << 10;

/// What a tar file contains, in order.
pub(super) enum TarEvent<'a> {
    /// A file begins.
    File {
        /// Its path.
        name: &'a str,
        /// Its length, bytes.
        size: u64,
    },
    /// A piece of it.
    Data(&'a [u8]),
    /// It is complete.
    End,
}

enum State {
    Header,
    /// Name for the next file, being collected: bytes left and padding.
    Extension {
        kind: u8,
        left: u64,
        padding: u64,
        data: Vec<u8>,
    },
    File {
        left: u64,
        padding: u64,
    },
    Skip {
        left: u64,
    },
    Padding {
        left: u64,
    },
    Done,
}

/// Takes who handles the events.
pub(super) type OnEvent<'a> = dyn FnMut(TarEvent<'_>) -> Result<(), SnapshotError> + 'a;

/// Reads a tar file.
pub(super) struct TarReader {
    state: State,
    block: BytesMut,
    next_name: Option<String>,
}

fn bad(why: impl Into<String>) -> SnapshotError {
    SnapshotError::malformed("the tar file", why)
}

impl TarReader {
    pub(super) fn new() -> TarReader {
        TarReader { state: State::Header, block: BytesMut::new(), next_name: None }
    }

    pub(super) fn push(
        &mut self,
        mut data: &[u8],
        on: &mut OnEvent<'_>,
    ) -> Result<(), SnapshotError> {
        while !data.is_empty() {
            match &mut self.state {
                State::Done => return Ok(()),
                State::Header => {
                    let want = BLOCK - self.block.len();
                    let part = take(&mut data, want as u64);
                    self.block.extend_from_slice(part);
                    if self.block.len() == BLOCK {
                        let block = self.block.split();
                        self.header(&block, on)?;
                    }
                }
                State::Extension { kind, left, padding, data: name } => {
                    let part = take(&mut data, *left);
                    name.extend_from_slice(part);
                    *left -= part.len() as u64;
                    if *left == 0 {
                        let found = match kind {
                            b'x' => pax_path(name),
                            _ => Some(until_nul(name)),
                        };
                        let padding = *padding;
                        self.next_name = found.or(self.next_name.take());
                        self.state = State::Padding { left: padding };
                        self.step_over_nothing();
                    }
                }
                State::File { left, padding } => {
                    let part = take(&mut data, *left);
                    *left -= part.len() as u64;
                    let (done, padding) = (*left == 0, *padding);
                    on(TarEvent::Data(part))?;
                    if done {
                        self.state = State::Padding { left: padding };
                        self.step_over_nothing();
                        on(TarEvent::End)?;
                    }
                }
                State::Skip { left } | State::Padding { left } => {
                    *left -= take(&mut data, *left).len() as u64;
                    self.step_over_nothing();
                }
            }
        }
        Ok(())
    }

    /// Whether the end marker was seen.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    fn step_over_nothing(&mut self) {
        if let State::Skip { left: 0 } | State::Padding { left: 0 } = self.state {
            self.state = State::Header;
        }
    }

    fn header(&mut self, block: &[u8], on: &mut OnEvent<'_>) -> Result<(), SnapshotError> {
        if block.iter().all(|b| *b == 0) {
            self.state = State::Done;
            return Ok(());
        }
        let field = |from: usize, len: usize| block.get(from..from + len).unwrap_or_default();
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u64::from(*b) })
            .sum();
        if number(field(148, 8)) != Some(sum) {
            return Err(bad("a header's checksum does not match"));
        }
        let size = number(field(124, 12)).ok_or_else(|| bad("a size is no number"))?;
        let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        let kind = block.get(156).copied().unwrap_or_default();
        match kind {
            b'0' | 0 => {
                let name = self.next_name.take().unwrap_or_else(|| {
                    let (prefix, name) = (until_nul(field(345, 155)), until_nul(field(0, 100)));
                    let ustar = field(257, 5) == b"ustar" && !prefix.is_empty();
                    if ustar { format!("{prefix}/{name}") } else { name }
                });
                on(TarEvent::File { name: &name, size })?;
                self.state = State::File { left: size, padding };
                if size == 0 {
                    self.state = State::Header;
                    on(TarEvent::End)?;
                }
            }
            b'x' | b'L' => {
                if size > MAX_EXTENSION {
                    let what = "a header of the tar file".into();
                    return Err(SnapshotError::TooLarge { what, size, max: MAX_EXTENSION });
                }
                let data = Vec::with_capacity(size as usize);
                self.state = match size {
                    0 => State::Header,
                    _ => State::Extension { kind, left: size, padding, data },
                };
            }
            _ => {
                let left = size.checked_add(padding).ok_or_else(|| bad("a size overflows"))?;
                self.state = State::Skip { left };
                self.step_over_nothing();
            }
        }
        Ok(())
    }
}

/// Cuts at most `want` bytes off the front of `data`.
fn take<'a>(data: &mut &'a [u8], want: u64) -> &'a [u8] {
    let n = usize::try_from(want).unwrap_or(usize::MAX).min(data.len());
    let (part, rest) = data.split_at(n);
    *data = rest;
    part
}

fn until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// An octal number, or a binary one when its first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let (head, tail) = field.split_at(field.len().checked_sub(8)?);
        let zeros = head.iter().enumerate().all(|(i, b)| *b == if i == 0 { 0x80 } else { 0 });
        let mut tail = tail;
        return zeros.then(|| tail.get_u64());
    }
    let text = until_nul(field);
    let text = text.trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The `path` in a PAX header: lines `<length> <key>=<value>\n`.
fn pax_path(mut data: &[u8]) -> Option<String> {
    let mut path = None;
    while let Some(space) = data.iter().position(|b| *b == b' ') {
        let len: usize = std::str::from_utf8(data.get(..space)?).ok()?.parse().ok()?;
        let line = data.get(space + 1..len.checked_sub(1)?)?;
        if let Some(value) = line.strip_prefix(b"path=") {
            path = Some(String::from_utf8_lossy(value).into_owned());
        }
        data = data.get(len..)?;
    }
    path
}

/// Appends a file, with a PAX header if its name is long.
pub(super) fn put_file(out: &mut BytesMut, name: &str, mtime_s: u64, data: &[u8]) {
    if name.len() > 100 {
        let line = pax_line("path", name);
        put_header(out, "PaxHeaders", b'x', mtime_s, line.len());
        put_padded(out, line.as_bytes());
    }
    put_header(out, name, b'0', mtime_s, data.len());
    put_padded(out, data);
}

/// Appends the end marker.
pub(super) fn put_end(out: &mut BytesMut) {
    out.put_bytes(0, 2 * BLOCK);
}

fn pax_line(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    // The length counts its own digits.
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    format!("{len} {key}={value}\n")
}

fn put_header(out: &mut BytesMut, name: &str, kind: u8, mtime_s: u64, size: usize) {
    let mut block = [0u8; BLOCK];
    let mut set = |from: usize, bytes: &[u8]| {
        for (to, b) in block.iter_mut().skip(from).zip(bytes) {
            *to = *b;
        }
    };
    set(0, name.as_bytes().get(..name.len().min(100)).unwrap_or_default());
    set(100, b"0000600\0");
    set(108, b"0000000\0");
    set(116, b"0000000\0");
    set(124, format!("{size:011o}\0").as_bytes());
    set(136, format!("{mtime_s:011o}\0").as_bytes());
    set(148, b"        ");
    set(156, &[kind]);
    set(257, b"ustar\x0000");
    set(265, b"nats");
    set(297, b"nats");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    for (to, b) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *to = b;
    }
    out.put_slice(&block);
}

fn put_padded(out: &mut BytesMut, data: &[u8]) {
    out.put_slice(data);
    out.put_bytes(0, (BLOCK - data.len() % BLOCK) % BLOCK);
}
