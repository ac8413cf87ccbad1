//! Blocks: the files a stream's messages live in (`storage/docs/block.md`).

pub(crate) mod buffer;
pub(crate) mod footer;
pub(crate) mod page;

/// First bytes of a block file.
pub(crate) const BLOCK_MAGIC: [u8; 4] = *b"GBLK";
/// Version of the block format.
pub(crate) const BLOCK_VERSION: u16 = 1;
/// Bytes of the file header; the first page follows.
pub(crate) const BLOCK_HEADER: usize = 64;

/// The file header. `id` is unique among the files of a store.
pub(crate) fn block_header(first_seq: u64, id: u64) -> [u8; BLOCK_HEADER] {
    let mut h = [0; BLOCK_HEADER];
    h[..4].copy_from_slice(&BLOCK_MAGIC);
    h[4..6].copy_from_slice(&BLOCK_VERSION.to_le_bytes());
    h[8..16].copy_from_slice(&first_seq.to_le_bytes());
    h[16..24].copy_from_slice(&id.to_le_bytes());
    let crc = crc32fast::hash(&h[..60]);
    h[60..].copy_from_slice(&crc.to_le_bytes());
    h
}

/// First sequence and id from a file header; `None` if it is not one.
pub(crate) fn read_block_header(h: &[u8; BLOCK_HEADER]) -> Option<(u64, u64)> {
    let crc = u32::from_le_bytes(*h.last_chunk()?);
    if h[..4] != BLOCK_MAGIC
        || h[4..6] != BLOCK_VERSION.to_le_bytes()
        || crc != crc32fast::hash(&h[..60])
    {
        return None;
    }
    let word = |at: usize| h[at..].first_chunk::<8>().map(|b| u64::from_le_bytes(*b));
    Some((word(8)?, word(16)?))
}
