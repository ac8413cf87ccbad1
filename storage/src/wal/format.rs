//! Byte layout of file headers and block heads, see `storage/docs/wal.md`.

use super::Lsn;

/// Blocks start at multiples of this; also the size of the file header.
pub(super) const PAGE: u64 = 4096;
/// Bytes of a block head.
pub(super) const HEAD: usize = 64;
/// Bytes of one copy of the file header.
const HEADER: usize = 128;
/// Where the second copy is: another sector than the first.
const SECOND_COPY: usize = 2048;
const FILE_MAGIC: &[u8; 8] = b"GUSTWAL\0";
const BLOCK_MAGIC: &[u8; 4] = b"GWB1";
const VERSION: u16 = 1;

/// Flags of a block.
pub(super) mod flag {
    pub(crate) const IDLE_MARK: u16 = 2;
    pub(crate) const OPEN_MARK: u16 = 4;
}

/// A file header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) lane: u16,
    pub(super) number: u64,
    pub(super) epoch: u64,
    pub(super) node: [u8; 16],
    pub(super) first_lsn: Lsn,
    /// Bytes the file may hold, header included.
    pub(super) capacity: u64,
    /// Bytes the file had when the header was written.
    pub(super) allocated: u64,
}

/// What a header page holds.
#[derive(Debug)]
pub(super) enum HeaderPage {
    Good {
        header: FileHeader,
        /// Its checksum, which the first block repeats.
        crc: u32,
        /// One copy or the zeros around them are damaged.
        blemished: bool,
    },
    NewerVersion(u16),
    Damaged,
}

impl FileHeader {
    /// The header page and its checksum.
    pub(super) fn encode(&self) -> (Vec<u8>, u32) {
        let mut h = [0u8; HEADER];
        put(&mut h, 0, FILE_MAGIC);
        put(&mut h, 8, &VERSION.to_le_bytes());
        put(&mut h, 10, &self.lane.to_le_bytes());
        put(&mut h, 16, &self.number.to_le_bytes());
        put(&mut h, 24, &self.epoch.to_le_bytes());
        put(&mut h, 32, &self.node);
        put(&mut h, 48, &self.first_lsn.to_le_bytes());
        put(&mut h, 56, &self.capacity.to_le_bytes());
        put(&mut h, 64, &self.allocated.to_le_bytes());
        let crc = crc32fast::hash(&h[..HEADER - 4]);
        put(&mut h, HEADER - 4, &crc.to_le_bytes());
        let mut page = vec![0; PAGE as usize];
        put(&mut page, 0, &h);
        put(&mut page, SECOND_COPY, &h);
        (page, crc)
    }

    pub(super) fn decode(page: &[u8]) -> HeaderPage {
        let copies = [0, SECOND_COPY].map(|at| page.get(at..at + HEADER));
        let Some(good) = copies.iter().flatten().find(|c| Self::copy_is_good(c)) else {
            return HeaderPage::Damaged;
        };
        let version = u16::from_le_bytes(array(good, 8));
        if version != VERSION {
            return HeaderPage::NewerVersion(version);
        }
        let header = Self {
            lane: u16::from_le_bytes(array(good, 10)),
            number: u64::from_le_bytes(array(good, 16)),
            epoch: u64::from_le_bytes(array(good, 24)),
            node: array(good, 32),
            first_lsn: u64::from_le_bytes(array(good, 48)),
            capacity: u64::from_le_bytes(array(good, 56)),
            allocated: u64::from_le_bytes(array(good, 64)),
        };
        let crc = u32::from_le_bytes(array(good, HEADER - 4));
        let blemished = copies.iter().any(|c| *c != Some(good))
            || page.iter().enumerate().any(|(i, b)| {
                let inside = i < HEADER || (SECOND_COPY..SECOND_COPY + HEADER).contains(&i);
                !inside && *b != 0
            });
        HeaderPage::Good { header, crc, blemished }
    }

    fn copy_is_good(copy: &[u8]) -> bool {
        copy.starts_with(FILE_MAGIC)
            && crc32fast::hash(copy.get(..HEADER - 4).unwrap_or_default())
                == u32::from_le_bytes(array(copy, HEADER - 4))
    }
}

/// A block head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHead {
    pub(super) flags: u16,
    pub(super) rec_count: u32,
    pub(super) len: u32,
    pub(super) lsn: Lsn,
    pub(super) epoch: u64,
    pub(super) durable_lsn: Lsn,
    pub(super) prev_crc: u32,
    pub(super) body_crc: u32,
}

impl BlockHead {
    /// Writes the head at the start of `out` and returns its checksum.
    pub(super) fn encode(&self, out: &mut [u8]) -> u32 {
        let mut h = [0u8; HEAD];
        put(&mut h, 0, BLOCK_MAGIC);
        put(&mut h, 4, &self.flags.to_le_bytes());
        put(&mut h, 8, &self.rec_count.to_le_bytes());
        put(&mut h, 12, &self.len.to_le_bytes());
        put(&mut h, 16, &self.lsn.to_le_bytes());
        put(&mut h, 24, &self.epoch.to_le_bytes());
        put(&mut h, 32, &self.durable_lsn.to_le_bytes());
        put(&mut h, 40, &self.prev_crc.to_le_bytes());
        put(&mut h, 44, &self.body_crc.to_le_bytes());
        let crc = crc32fast::hash(&h[..HEAD - 4]);
        put(&mut h, HEAD - 4, &crc.to_le_bytes());
        put(out, 0, &h);
        crc
    }

    /// The head at the start of `page` with its checksum; `None` if its bytes
    /// are not a head.
    pub(super) fn decode(page: &[u8]) -> Option<(Self, u32)> {
        let h = page.get(..HEAD)?;
        if !h.starts_with(BLOCK_MAGIC) {
            return None;
        }
        let crc = u32::from_le_bytes(array(h, HEAD - 4));
        if crc32fast::hash(h.get(..HEAD - 4)?) != crc {
            return None;
        }
        let head = Self {
            flags: u16::from_le_bytes(array(h, 4)),
            rec_count: u32::from_le_bytes(array(h, 8)),
            len: u32::from_le_bytes(array(h, 12)),
            lsn: u64::from_le_bytes(array(h, 16)),
            epoch: u64::from_le_bytes(array(h, 24)),
            durable_lsn: u64::from_le_bytes(array(h, 32)),
            prev_crc: u32::from_le_bytes(array(h, 40)),
            body_crc: u32::from_le_bytes(array(h, 44)),
        };
        (head.durable_lsn <= head.lsn).then_some((head, crc))
    }

    /// Bytes of the block in the file.
    pub(super) fn padded(&self) -> u64 {
        padded(self.len as usize)
    }
}

/// Bytes a block with `len` bytes of records takes in the file.
pub(super) fn padded(len: usize) -> u64 {
    ((len + HEAD) as u64).next_multiple_of(PAGE)
}

/// Whether bytes look like the beginning of any block, good or not.
pub(super) fn looks_like_block(page: &[u8]) -> bool {
    page.starts_with(BLOCK_MAGIC)
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = out.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    } else {
        debug_assert!(false, "{} bytes at {at} are outside", bytes.len());
    }
}

/// `N` bytes at `at`, zeros if they are not there.
pub(super) fn array<const N: usize>(buf: &[u8], at: usize) -> [u8; N] {
    buf.get(at..at + N).and_then(|b| b.try_into().ok()).unwrap_or([0; N])
}
