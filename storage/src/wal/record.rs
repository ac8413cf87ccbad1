//! Records of the log and their encoding, see `storage/docs/wal.md`.

use super::format::array;
use bytes::{Buf, Bytes};

/// Data from this size on is written from where it is instead of being copied
/// into the block buffer. Measured with `examples/wal_speed.rs`, see wal.md.
pub(super) const LARGE: usize = 4 << 10;
/// Bytes before the body of every record.
const PREFIX: usize = 14;

/// One record. Data are cheap clones of shared buffers; after recovery they are
/// slices of the chunk that was read, so copy what is kept for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalRecord {
    /// An entry of a group's log. A later record with the same or a lower index
    /// supersedes this one and all above it; that rule is left to the visitor.
    Entry {
        /// Group.
        group: u64,
        /// Term.
        term: u64,
        /// Index.
        index: u64,
        /// Type, given by the layer above.
        kind: u8,
        /// Contents, as they are.
        data: Bytes,
    },
    /// Hard state of a group; the last one counts.
    Hard {
        /// Group.
        group: u64,
        /// Term.
        term: u64,
        /// Replica voted for, 0 for none.
        vote: u64,
        /// Commit index.
        commit: u64,
    },
    /// How far a group is applied to durable blocks.
    Applied {
        /// Group.
        group: u64,
        /// Index.
        index: u64,
        /// Position in the store, given by the layer above.
        data: Bytes,
    },
    /// A group came to this node.
    GroupNew {
        /// Group.
        group: u64,
        /// Proof, given by the layer above.
        data: Bytes,
    },
    /// A group left this node.
    GroupGone {
        /// Group.
        group: u64,
        /// Proof, given by the layer above.
        data: Bytes,
    },
}

impl WalRecord {
    /// Group the record belongs to.
    pub fn group(&self) -> u64 {
        match self {
            WalRecord::Entry { group, .. }
            | WalRecord::Hard { group, .. }
            | WalRecord::Applied { group, .. }
            | WalRecord::GroupNew { group, .. }
            | WalRecord::GroupGone { group, .. } => *group,
        }
    }

    /// Bytes it takes in a block.
    pub fn encoded_len(&self) -> usize {
        PREFIX
            + match self {
                WalRecord::Entry { data, .. } => 17 + data.len(),
                WalRecord::Hard { .. } => 24,
                WalRecord::Applied { data, .. } => 8 + data.len(),
                WalRecord::GroupNew { data, .. } | WalRecord::GroupGone { data, .. } => data.len(),
            }
    }

    /// Appends everything but the data, which follow immediately and are returned.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Option<&Bytes> {
        // One array and one copy per record: pushing field by field costs a
        // capacity check each.
        let mut b = [0u8; PREFIX + 24];
        let (kind, fixed, data) = match self {
            WalRecord::Entry { term, index, kind, data, .. } => {
                b[14..22].copy_from_slice(&term.to_le_bytes());
                b[22..30].copy_from_slice(&index.to_le_bytes());
                b[30] = *kind;
                (1, 17, Some(data))
            }
            WalRecord::Hard { term, vote, commit, .. } => {
                b[14..22].copy_from_slice(&term.to_le_bytes());
                b[22..30].copy_from_slice(&vote.to_le_bytes());
                b[30..38].copy_from_slice(&commit.to_le_bytes());
                (2, 24, None)
            }
            WalRecord::Applied { index, data, .. } => {
                b[14..22].copy_from_slice(&index.to_le_bytes());
                (3, 8, Some(data))
            }
            WalRecord::GroupNew { data, .. } => (4, 0, Some(data)),
            WalRecord::GroupGone { data, .. } => (5, 0, Some(data)),
        };
        let fixed = PREFIX + fixed;
        let len = fixed + data.map_or(0, Bytes::len);
        b[..4].copy_from_slice(&(len as u32).to_le_bytes());
        b[4] = kind;
        b[6..14].copy_from_slice(&self.group().to_le_bytes());
        out.extend_from_slice(&b[..fixed]);
        data
    }

    /// Takes the record at the start of `body`.
    pub(super) fn decode(body: &mut Bytes) -> Result<Self, String> {
        let len = u32::from_le_bytes(array(body, 0)) as usize;
        if len < PREFIX || len > body.len() {
            return Err(format!("a record of {len} bytes where {} are left", body.len()));
        }
        let mut rec = body.split_to(len);
        let (kind, flags) = (rec[4], rec[5]);
        let group = u64::from_le_bytes(array(&rec, 6));
        rec.advance(PREFIX);
        if flags != 0 {
            return Err(format!("a record of kind {kind} with unknown flags {flags:#x}"));
        }
        let u64_at = |rec: &Bytes, at| u64::from_le_bytes(array(rec, at));
        let short = || format!("a record of kind {kind} with only {len} bytes");
        match kind {
            1 if rec.len() >= 17 => {
                let (term, index, kind) = (u64_at(&rec, 0), u64_at(&rec, 8), rec[16]);
                rec.advance(17);
                Ok(WalRecord::Entry { group, term, index, kind, data: rec })
            }
            2 if rec.len() == 24 => {
                let (term, vote, commit) = (u64_at(&rec, 0), u64_at(&rec, 8), u64_at(&rec, 16));
                Ok(WalRecord::Hard { group, term, vote, commit })
            }
            3 if rec.len() >= 8 => {
                let index = u64_at(&rec, 0);
                rec.advance(8);
                Ok(WalRecord::Applied { group, index, data: rec })
            }
            4 => Ok(WalRecord::GroupNew { group, data: rec }),
            5 => Ok(WalRecord::GroupGone { group, data: rec }),
            1..=3 => Err(short()),
            _ => Err(format!("a record of unknown kind {kind}")),
        }
    }
}
