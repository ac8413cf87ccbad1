//! Totals of a store and the set of its live sequences.

use super::deletes::Deletes;
use super::subjects::SubjectIndex;
use crate::record::{MESSAGE_OVERHEAD, MessageView};
use std::cell::RefCell;

/// nats-server's two formulas for visible bytes (contract/jetstream.md §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formula {
    File,
    Memory,
}

impl Formula {
    /// Visible bytes of a message.
    pub fn of(self, m: &MessageView<'_>) -> u64 {
        self.of_len(m.encoded_len(), !m.headers.is_empty())
    }

    /// The same from the length of the record.
    pub fn of_len(self, record: usize, headers: bool) -> u64 {
        let content = record.saturating_sub(MESSAGE_OVERHEAD) as u64;
        match self {
            Formula::File => content + 30 + if headers { 4 } else { 0 },
            Formula::Memory => content + 16,
        }
    }
}

/// What both stores count. Every sequence in `first_seq..=last_seq` that is not
/// in `deletes` is live; `deletes` has no member outside that range.
#[derive(Debug)]
pub(crate) struct Core {
    pub msgs: u64,
    pub bytes: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    pub last_ts: i64,
    pub deletes: Deletes,
    /// Behind a cell because readers repair lazily kept bounds.
    pub subjects: RefCell<SubjectIndex>,
}

impl Core {
    pub fn new(track: bool) -> Core {
        Core {
            msgs: 0,
            bytes: 0,
            first_seq: 0,
            last_seq: 0,
            last_ts: 0,
            deletes: Deletes::default(),
            subjects: RefCell::new(SubjectIndex::new(track)),
        }
    }

    pub fn is_live(&self, seq: u64) -> bool {
        self.msgs > 0
            && seq >= self.first_seq
            && seq <= self.last_seq
            && !self.deletes.contains(seq)
    }

    /// First live sequence ≥ `from`.
    pub fn next_live(&self, from: u64) -> Option<u64> {
        if self.msgs == 0 {
            return None;
        }
        let seq = self.deletes.next_absent(from.max(self.first_seq));
        (seq <= self.last_seq).then_some(seq)
    }

    /// Last live sequence ≤ `upto`.
    pub fn prev_live(&self, upto: u64) -> Option<u64> {
        if self.msgs == 0 || upto < self.first_seq {
            return None;
        }
        self.deletes.prev_absent(upto.min(self.last_seq)).filter(|s| *s >= self.first_seq)
    }

    /// Live sequences in `from..=to`.
    pub fn live(&self, from: u64, to: u64) -> u64 {
        let (from, to) = (from.max(self.first_seq), to.min(self.last_seq));
        if self.msgs == 0 || from > to {
            return 0;
        }
        to - from + 1 - self.deletes.count(from, to)
    }

    pub fn appended(&mut self, seq: u64, ts: i64, bytes: u64) {
        if self.msgs == 0 {
            self.first_seq = seq;
        } else if seq > self.last_seq + 1 {
            self.deletes.insert_range(self.last_seq + 1, seq - 1);
        }
        self.last_seq = seq;
        self.last_ts = ts;
        self.msgs += 1;
        self.bytes += bytes;
    }

    pub fn skipped(&mut self, seq: u64, ts: i64) {
        if self.msgs == 0 {
            self.first_seq = seq + 1;
        } else {
            self.deletes.insert_range(self.last_seq + 1, seq);
        }
        self.last_seq = seq;
        self.last_ts = ts;
    }

    /// Uncounts the live message `seq`.
    pub fn removed(&mut self, seq: u64, bytes: u64) {
        self.msgs -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.msgs == 0 {
            self.emptied(self.last_seq + 1);
        } else if seq == self.first_seq {
            self.first_seq = self.deletes.next_absent(seq + 1);
            self.deletes.remove_below(self.first_seq);
        } else {
            self.deletes.insert(seq);
        }
    }

    /// Nothing is live any more; the next message will be `next` or later.
    pub fn emptied(&mut self, next: u64) {
        self.msgs = 0;
        self.bytes = 0;
        self.first_seq = next;
        self.last_seq = next - 1;
        self.deletes.clear();
        self.subjects.borrow_mut().clear();
    }

    /// Everything below `seq` (≤ last_seq) is gone: `msgs` and `bytes` of it,
    /// which leaves at least one live message.
    pub fn trimmed(&mut self, seq: u64, msgs: u64, bytes: u64) {
        self.msgs -= msgs;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.first_seq = self.deletes.next_absent(seq);
        self.deletes.remove_below(self.first_seq);
    }
}
