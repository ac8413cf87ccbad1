//! Appending to the log: blocks, syncs, marks and the change to the next file.

use super::batch::{Batch, Place};
use super::format::{FileHeader, PAGE, flag, padded};
use super::segment::{GroupLsns, Segment, Spare, SpareJob, log_path, spare_path};
use super::{Lsn, WalError, WalOptions, WalRecord};
use crate::disk::{Disk, DiskFile, OpenMode};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

/// The log of a lane, owned by one thread. See `storage/docs/wal.md`.
pub struct Wal {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: String,
    pub(super) opts: WalOptions,
    /// Oldest first; the last one is being written.
    pub(super) segments: VecDeque<Segment>,
    pub(super) spares: Vec<Spare>,
    /// Number in the next spare's name.
    pub(super) spare_number: u64,
    /// A [`SpareJob`] is out.
    pub(super) spare_out: bool,
    /// State of the generator of epochs.
    pub(super) random: u64,
    pub(super) next: Lsn,
    pub(super) durable: Lsn,
    /// Highest durable lsn that a block or header on disk states.
    pub(super) stated: Lsn,
    /// Lsn after the last block with records.
    pub(super) records_end: Lsn,
    /// Offset of the next block in the current file.
    pub(super) pos: u64,
    /// The current file was written up to here in this life or an earlier one.
    pub(super) touched: u64,
    pub(super) prev_crc: u32,
    pub(super) epoch: u64,
    /// The open mark is still to be written (the disk was full).
    pub(super) mark_due: bool,
    pub(super) fence: Option<String>,
    pub(super) batch: Batch,
    pub(super) floors: GroupLsns,
    /// A group that held the oldest file when last asked.
    pub(super) witness: Option<u64>,
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("segments", &self.segments)
            .field("spares", &self.spares)
            .field("next", &self.next)
            .field("durable", &self.durable)
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}

impl Wal {
    /// Writes a batch and returns the lsn after it: its records are durable when
    /// [`Wal::sync`] returned at least that. Their lsns lie between
    /// [`Wal::next_lsn`] before the call and the result. A batch above
    /// `max_block` becomes several blocks, of which a crash before the sync may
    /// keep the first ones; order records accordingly (entries before the hard
    /// state that commits them). On an error nothing of it will ever be delivered,
    /// unless the error is `Fenced`: then it is unknown.
    pub fn append(&mut self, records: &[WalRecord]) -> Result<Lsn, WalError> {
        self.check_fence()?;
        if records.is_empty() {
            return Ok(self.next);
        }
        if self.mark_due {
            self.open_mark()?;
        }
        self.write_batch(records, 0)?;
        let last = self.next - 1;
        self.records_end = self.next;
        if let Some(segment) = self.segments.back_mut() {
            // Records of one group mostly come together.
            let mut before = None;
            for r in records {
                let group = r.group();
                if before != Some(group) {
                    segment.groups.insert(group, last);
                    before = Some(group);
                }
            }
        }
        Ok(self.next)
    }

    /// Makes everything appended so far durable; returns the lsn below which
    /// everything is. An error fences the log for ever.
    pub fn sync(&mut self) -> Result<Lsn, WalError> {
        self.check_fence()?;
        if self.durable < self.next {
            self.current().sync().map_err(|e| self.fence("syncing", &e))?;
            self.durable = self.next;
        }
        Ok(self.durable)
    }

    /// Vouches for the last block by an empty one, synced, so that damage to it
    /// can be told from a torn tail. To be called when nothing was appended for
    /// about 20 ms; returns whether a mark was needed.
    pub fn mark_idle(&mut self) -> Result<bool, WalError> {
        self.check_fence()?;
        if self.stated >= self.records_end {
            return Ok(false);
        }
        self.sync()?;
        self.write_batch(&[], flag::IDLE_MARK)?;
        self.sync()?;
        Ok(true)
    }

    /// Lsn of the next block.
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// Lsn below which everything is durable.
    pub fn durable_lsn(&self) -> Lsn {
        self.durable
    }

    /// Whether an error fenced the log.
    pub fn is_fenced(&self) -> bool {
        self.fence.is_some()
    }

    /// Largest batch in encoded bytes, roughly.
    pub fn max_batch(&self) -> u64 {
        self.opts.segment_bytes - PAGE
    }

    /// Work to do when another spare file is wanted; at most one job is out at
    /// a time. Run it away from the hot path and hand it back.
    pub fn wants_spare(&mut self) -> Option<SpareJob> {
        let started = self.segments.len() > 1
            || self.segments.back().is_some_and(|s| self.pos > s.capacity / 2 || s.number > 1);
        if self.spare_out || !started || self.spares.len() >= self.opts.spares {
            return None;
        }
        self.spare_out = true;
        let largest = self.segments.iter().map(|s| s.capacity);
        let largest = largest.chain(self.spares.iter().map(|s| s.len)).max().unwrap_or(0);
        let len = (largest * 2).clamp(self.opts.first_bytes, self.opts.segment_bytes);
        Some(SpareJob::new(self.disk.clone(), self.new_spare_path(), len))
    }

    /// Takes back a job; an unfinished one leaves no file. Returns whether there
    /// is one spare more.
    pub fn add_spare(&mut self, job: SpareJob) -> bool {
        self.spare_out = false;
        if job.done {
            self.spares.push(Spare { path: job.path.clone(), len: job.len, fresh: true });
        } else {
            // Left behind, it is found and reused or removed by the next open.
            let _ = self.disk.remove(&job.path);
        }
        job.done
    }

    /// Makes a spare now if one is wanted, on this thread.
    pub fn prepare_spare(&mut self) -> Result<bool, WalError> {
        let Some(mut job) = self.wants_spare() else { return Ok(false) };
        let result = job.run();
        let path = job.path.clone();
        let added = self.add_spare(job);
        match result {
            Ok(()) => Ok(added),
            Err(e) if is_full(&e) => Err(self.full()),
            Err(e) => Err(WalError::io("preparing spare", &path)(e)),
        }
    }

    pub(super) fn check_fence(&self) -> Result<(), WalError> {
        match &self.fence {
            None => Ok(()),
            Some(cause) => Err(WalError::Fenced { dir: self.dir.clone(), cause: cause.clone() }),
        }
    }

    pub(super) fn fence(&mut self, what: &str, e: &io::Error) -> WalError {
        let cause = format!("{what}: {e}");
        tracing::error!(dir = self.dir, cause, "write-ahead log fenced");
        self.fence = Some(cause.clone());
        WalError::Fenced { dir: self.dir.clone(), cause }
    }

    pub(super) fn full(&self) -> WalError {
        WalError::DiskFull { dir: self.dir.clone() }
    }

    /// Disk full is passed on, everything else fences.
    fn full_or_fence(&mut self, what: &str, e: &io::Error) -> WalError {
        if is_full(e) { self.full() } else { self.fence(what, e) }
    }

    fn current(&self) -> Arc<dyn DiskFile> {
        // There is a current file from the moment `open` returns.
        self.segments.back().map(|s| s.file.clone()).expect("the log has a file")
    }

    pub(super) fn new_spare_path(&mut self) -> String {
        self.spare_number += 1;
        spare_path(&self.dir, self.spare_number)
    }

    /// Continues a file after an open: from here on a new epoch.
    pub(super) fn open_mark(&mut self) -> Result<(), WalError> {
        self.write_batch(&[], flag::OPEN_MARK)?;
        self.mark_due = false;
        self.sync()?;
        Ok(())
    }

    fn write_batch(&mut self, records: &[WalRecord], flags: u16) -> Result<(), WalError> {
        let mut batch = std::mem::take(&mut self.batch);
        let total = batch.encode(records, self.opts.max_block);
        let result = self.write_encoded(&mut batch, total, flags);
        batch.clear();
        self.batch = batch;
        result
    }

    fn write_encoded(&mut self, batch: &mut Batch, total: u64, flags: u16) -> Result<(), WalError> {
        let limit = self.max_batch();
        if total > limit {
            return Err(WalError::TooLarge { bytes: total, limit });
        }
        let capacity = self.segments.back().map_or(0, |s| s.capacity);
        if self.pos + total > capacity {
            self.roll(total)?;
        }
        let capacity = self.segments.back().map_or(0, |s| s.capacity);
        let crc = batch.seal(Place {
            flags,
            lsn: self.next,
            epoch: self.epoch,
            durable_lsn: self.durable,
            prev_crc: self.prev_crc,
        });
        let (file, pos) = (self.current(), self.pos);
        let end = pos + total;
        let ahead = if end > self.touched && total < AHEAD {
            end.next_multiple_of(AHEAD).min(capacity).max(end)
        } else {
            end
        };
        batch.zeros_behind((ahead - end) as usize);
        let written = batch.write(|slices| match slices {
            [one] => file.write_all_at(one, pos),
            many => file.write_all_vectored_at(many, pos),
        });
        if let Err(e) = written {
            if !is_full(&e) {
                return Err(self.fence("writing", &e));
            }
            self.undo_write()?;
            return Err(self.full());
        }
        self.pos += total;
        self.touched = self.touched.max(ahead);
        self.next += total;
        self.prev_crc = crc;
        self.stated = self.stated.max(self.durable);
        Ok(())
    }

    /// Makes sure that a half-written batch is never taken for a block. The
    /// page it zeroes has been written just now, so this needs no space.
    fn undo_write(&mut self) -> Result<(), WalError> {
        let file = self.current();
        let undo = || {
            if file.len()? >= self.pos + PAGE {
                file.write_all_at(&[0; PAGE as usize], self.pos)?;
            }
            file.sync()
        };
        undo().map_err(|e| self.fence("undoing a write", &e))?;
        self.durable = self.next;
        Ok(())
    }

    /// Goes on in another file with room for `need` bytes.
    pub(super) fn roll(&mut self, need: u64) -> Result<(), WalError> {
        if !self.segments.is_empty() {
            self.sync()?;
        }
        let number = self.segments.back().map_or(1, |s| s.number + 1);
        self.start_file(number, need)
    }

    /// Makes file `number` the current one; everything before must be durable.
    pub(super) fn start_file(&mut self, number: u64, need: u64) -> Result<(), WalError> {
        let found = self.spares.iter().position(|s| s.len >= need + PAGE);
        let spare = found.map(|i| self.spares.remove(i));
        let grown = spare.is_none();
        let spare =
            spare.unwrap_or_else(|| Spare { path: self.new_spare_path(), len: 0, fresh: false });
        let header = FileHeader {
            lane: self.opts.lane,
            number,
            epoch: self.random(),
            node: self.opts.node,
            first_lsn: self.next,
            capacity: if grown { self.opts.segment_bytes } else { spare.len },
            allocated: spare.len.max(PAGE),
        };
        let (page, crc) = header.encode();
        let path = log_path(&self.dir, number);
        let file = match self.publish(&spare.path, &path, &page, grown) {
            Ok(file) => file,
            Err(e) => {
                let e = self.full_or_fence("starting a file", &e);
                if e.is_disk_full() && grown {
                    let _ = self.disk.remove(&spare.path);
                } else if e.is_disk_full() {
                    self.spares.push(spare);
                }
                return Err(e);
            }
        };
        self.disk.sync_dir(&self.dir).map_err(|e| self.fence("syncing directory", &e))?;
        if let Some(old) = self.segments.back_mut() {
            old.end_lsn = old.end_lsn.max(self.next);
        }
        self.segments.push_back(Segment {
            number,
            path,
            file,
            first_lsn: self.next,
            end_lsn: self.next,
            capacity: header.capacity,
            groups: GroupLsns::default(),
            damaged: false,
        });
        self.pos = PAGE;
        self.touched = if spare.fresh { PAGE } else { header.capacity };
        self.prev_crc = crc;
        self.epoch = header.epoch;
        self.stated = self.stated.max(self.next);
        self.durable = self.next;
        self.mark_due = false;
        Ok(())
    }

    /// Writes the header and gives the file its name, which is durable after the
    /// next directory sync.
    fn publish(
        &self,
        from: &str,
        to: &str,
        header: &[u8],
        new: bool,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let mode = if new { OpenMode::Truncate } else { OpenMode::ReadWrite };
        let file = self.disk.open_direct(from, mode)?;
        file.write_all_at(header, 0)?;
        file.sync()?;
        self.disk.rename(from, to)?;
        Ok(file)
    }

    /// The next random number, from the seed given to `open` (SplitMix64).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A small write into space that was only reserved goes on with zeros up to a
/// multiple of this: the sync after a first write into reserved space commits
/// the file system's journal, which costs as much as the sync itself. A larger
/// write carries that cost alone.
const AHEAD: u64 = 256 << 10;

pub(super) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes of an empty block.
pub(super) fn mark_bytes() -> u64 {
    padded(0)
}
