//! The log lane in steps: submissions queue up, are appended, synced and handed
//! back, each at a moment the scheduler chooses.

use gust_raft::{LogWrite, Ticket};
use gust_storage::wal::{Lsn, Wal, WalError, WalRecord};

/// Records of one turn and whose they are.
#[derive(Debug, Default)]
pub struct Submission {
    /// For the log.
    pub records: Vec<WalRecord>,
    /// Whose they are.
    pub tickets: Vec<(u64, Ticket)>,
}

/// Tickets that are durable.
#[derive(Debug)]
pub struct Durable {
    /// Whose.
    pub tickets: Vec<(u64, Ticket)>,
    /// Lsn before the batch they were in. Several submissions share a batch, so
    /// its end does not say that everything below is *applied*.
    pub start: Lsn,
}

/// See the module documentation.
pub struct Lane {
    /// The log.
    pub wal: Wal,
    queue: Submission,
    /// Where the first record of the queue went, if a full disk cut it in two.
    start: Option<Lsn>,
    appended: Vec<Durable>,
    /// The last append found no room.
    pub full: bool,
}

/// Records of one append, roughly: a batch must fit into a small log file.
const MAX_APPEND: usize = 24 << 10;

impl Lane {
    /// A lane over an opened log.
    pub fn new(wal: Wal) -> Lane {
        Lane { wal, queue: Submission::default(), start: None, appended: Vec::new(), full: false }
    }

    /// Queues what a turn produced.
    pub fn submit(&mut self, mut s: Submission) {
        self.queue.records.append(&mut s.records);
        self.queue.tickets.append(&mut s.tickets);
    }

    /// Whether an append or a sync would do something.
    pub fn is_busy(&self) -> bool {
        !self.queue.tickets.is_empty() || !self.appended.is_empty()
    }

    /// Appends everything queued. On a full disk what was not taken stays.
    pub fn append(&mut self) -> Result<(), WalError> {
        let start = *self.start.get_or_insert(self.wal.next_lsn());
        while !self.queue.records.is_empty() {
            let mut bytes = 0;
            let fits = |r: &&WalRecord| {
                bytes += r.encoded_len();
                bytes <= MAX_APPEND
            };
            let n = self.queue.records.iter().take_while(fits).count().max(1);
            let (part, _) = self.queue.records.split_at(n);
            match self.wal.append(part) {
                Ok(_) => self.full = false,
                Err(e) => {
                    self.full = e.is_disk_full();
                    return Err(e);
                }
            }
            self.queue.records.drain(..n);
        }
        self.start = None;
        let tickets = std::mem::take(&mut self.queue.tickets);
        if !tickets.is_empty() {
            self.appended.push(Durable { tickets, start });
        }
        Ok(())
    }

    /// Syncs; yields what is durable now.
    pub fn sync(&mut self) -> Result<Vec<Durable>, WalError> {
        self.wal.sync()?;
        Ok(std::mem::take(&mut self.appended))
    }
}

/// A group's write as a record of the log.
pub fn wal_record(write: LogWrite) -> Option<WalRecord> {
    match write {
        LogWrite::Entry { group, term, index, kind, data } => {
            Some(WalRecord::Entry { group, term, index, kind: kind as u8, data })
        }
        LogWrite::HardState { group, term, vote, commit } => {
            Some(WalRecord::Hard { group, term, vote, commit })
        }
        // A single voter never receives one.
        LogWrite::Snapshot { .. } => None,
    }
}
