//! Opening the log: reads every file in order, tells the torn tail from damage,
//! and makes the end ready for appending. Rules: `storage/docs/wal.md`.

use super::batch::Batch;
use super::format::{BlockHead, FileHeader, HEAD, HeaderPage, PAGE};
use super::scan::{Check, Expect, Reader, check, look_ahead};
use super::segment::{GroupLsns, Name, Segment, Spare, SpareJob, log_path, parse_name, spare_path};
use super::writer::{is_full, mark_bytes};
use super::{
    Blemish, Gap, GapCause, Lsn, RecoveryReport, Torn, Wal, WalError, WalOptions, WalRecord,
};
use crate::disk::{Disk, DiskFile, OpenMode};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Lsns set aside per file number, used only when the header of the last file is
/// lost and with it the place of the log's end.
const LSNS_PER_NUMBER_SHIFT: u32 = 36;

/// Receives the records in log order with the lsn of their block.
type Visit<'v> = &'v mut dyn FnMut(WalRecord, Lsn);

impl Wal {
    /// Opens or makes the log in `dir`, delivering every record that is there to
    /// `visit`, in order. `seed` must be random: epochs come from it.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &str,
        opts: WalOptions,
        seed: u64,
        visit: Visit<'_>,
    ) -> Result<(Self, RecoveryReport), WalError> {
        let opts = opts.checked();
        make_dir(disk.as_ref(), dir).map_err(WalError::io("making", dir))?;
        let (logs, spares, spare_number) = list(disk.as_ref(), dir, &opts)?;
        let mut wal = Self {
            disk,
            dir: dir.to_owned(),
            opts,
            segments: VecDeque::new(),
            spares,
            spare_number,
            spare_out: false,
            random: seed,
            next: 0,
            durable: 0,
            stated: 0,
            records_end: 0,
            pos: 0,
            touched: 0,
            prev_crc: 0,
            epoch: 0,
            mark_due: false,
            fence: None,
            batch: Batch::default(),
            floors: GroupLsns::default(),
            witness: None,
        };
        if logs.is_empty() {
            wal.make_first()?;
            return Ok((wal, RecoveryReport::default()));
        }
        let mut replay = Replay { wal: &mut wal, report: RecoveryReport::default(), visit };
        let tail = replay.files(&logs)?;
        let report = replay.report;
        wal.resume(&tail, &report)?;
        Ok((wal, report))
    }

    fn make_first(&mut self) -> Result<(), WalError> {
        if self.spares.is_empty() {
            let mut job = SpareJob::new(
                self.disk.clone(),
                spare_path(&self.dir, self.spare_number + 1),
                self.opts.first_bytes,
            );
            self.spare_number += 1;
            let result = job.run();
            let path = job.path.clone();
            self.add_spare(job);
            match result {
                Err(e) if is_full(&e) => return Err(self.full()),
                other => other.map_err(WalError::io("preparing", &path))?,
            }
        }
        self.start_file(1, 0)
    }

    /// Makes what was read durable and the end ready for appending.
    fn resume(&mut self, tail: &Tail, report: &RecoveryReport) -> Result<(), WalError> {
        self.next = tail.lsn;
        self.stated = report.vouched_lsn;
        self.records_end = report.end_lsn;
        self.epoch = tail.epoch.wrapping_add(1);
        self.prev_crc = tail.prev_crc;
        self.pos = tail.offset;
        self.touched = tail.offset;
        self.mark_due = true;
        if let Some(last) = self.segments.back_mut() {
            last.end_lsn = tail.lsn;
            if report.vouched_lsn < report.end_lsn {
                let from = PAGE + report.vouched_lsn.saturating_sub(last.first_lsn);
                rewrite(last.file.as_ref(), from, tail.written_to, self.opts.read_chunk)
                    .map_err(WalError::io("rewriting the tail of", &last.path))?;
            }
        }
        self.durable = tail.lsn;
        if !tail.usable {
            let number = tail.number + 1;
            return self.start_file(number, 0);
        }
        let room = self.segments.back().is_some_and(|s| tail.offset + mark_bytes() <= s.capacity);
        let marked = if room { self.open_mark() } else { self.start_file(tail.number + 1, 0) };
        match marked {
            // The mark is made up for by the first append that finds space.
            Err(e) if e.is_disk_full() => Ok(()),
            other => other,
        }
    }
}

/// Where the log ends.
#[derive(Debug)]
struct Tail {
    number: u64,
    /// Whether its file can be continued.
    usable: bool,
    /// Where the next block goes.
    offset: u64,
    /// Offset after the last good block.
    written_to: u64,
    lsn: Lsn,
    epoch: u64,
    prev_crc: u32,
}

struct Replay<'a, 'v> {
    wal: &'a mut Wal,
    report: RecoveryReport,
    visit: Visit<'v>,
}

/// A file with what its header says.
struct Opened {
    number: u64,
    path: String,
    reader: Reader,
    header: Option<(FileHeader, u32)>,
}

/// Progress inside one file.
struct Cursor {
    at: Expect,
    groups: GroupLsns,
    damaged: bool,
    usable: bool,
    /// Lsn after the file if it ended in damage.
    jump: Option<Lsn>,
}

impl Replay<'_, '_> {
    fn files(&mut self, numbers: &[u64]) -> Result<Tail, WalError> {
        let mut files: VecDeque<Opened> = VecDeque::with_capacity(numbers.len());
        for n in numbers {
            files.push_back(self.open_file(*n)?);
        }
        let first = files.iter().find_map(|f| f.header.as_ref().map(|(h, _)| h.first_lsn));
        self.report.first_lsn = first.unwrap_or(0);
        // Where a first file without header began is unknown; 0 is not too high.
        let known = files.front().is_some_and(|f| f.header.is_some());
        let mut end = if known { self.report.first_lsn } else { 0 };
        let mut tail = None;
        while let Some(file) = files.pop_front() {
            // The torn end of a file that is not the last one lies in a gap.
            self.report.torn = None;
            let readable = files.iter().find_map(|f| f.header.as_ref().map(|(h, _)| h.first_lsn));
            let number = file.number;
            let adjacent = files.front().is_some_and(|f| f.number == number + 1);
            let t = match file.header.clone() {
                // Only the header of the very next file tells where this one ends.
                Some((header, crc)) => {
                    let front = files.front().filter(|_| adjacent);
                    let next = front.and_then(|f| f.header.as_ref()).map(|(h, _)| h.first_lsn);
                    self.file(file, &header, crc, next)?
                }
                None => self.headless(file, end, readable),
            };
            end = t.lsn;
            if let Some(next) = files.front().and_then(|f| f.header.as_ref())
                && !adjacent
            {
                let path = log_path(&self.wal.dir, number + 1);
                self.gap(path, (0, end, next.0.first_lsn), GapCause::FileMissing);
                if let Some(s) = self.wal.segments.back_mut() {
                    s.damaged = true;
                }
            }
            tail = Some(t);
        }
        self.report.end_lsn = end;
        // Not reached: `numbers` is not empty.
        tail.ok_or_else(|| self.wal.full())
    }

    fn open_file(&mut self, number: u64) -> Result<Opened, WalError> {
        let path = log_path(&self.wal.dir, number);
        let io = WalError::io("opening", &path);
        let opened = self.wal.disk.open_direct(&path, OpenMode::ReadWrite);
        let (file, len) = opened.and_then(|f| f.len().map(|n| (f, n))).map_err(io)?;
        let chunk = self.wal.opts.read_chunk;
        let mut reader = Reader::new(file, len, chunk);
        let page = reader.get(0, PAGE).map_err(WalError::io("reading", &path))?;
        let foreign = |why: String| WalError::Foreign { file: path.clone(), why };
        let header = match page.as_deref().map_or(HeaderPage::Damaged, FileHeader::decode) {
            HeaderPage::NewerVersion(v) => return Err(foreign(format!("format version {v}"))),
            HeaderPage::Damaged => None,
            HeaderPage::Good { header, crc, blemished } => {
                let opts = &self.wal.opts;
                if header.node != opts.node {
                    return Err(foreign("another node wrote it".to_owned()));
                }
                if header.lane != opts.lane || header.number != number {
                    let (l, n) = (header.lane, header.number);
                    return Err(foreign(format!("it is file {n} of lane {l}")));
                }
                if blemished {
                    self.blemish(&path, 0, "file header has a damaged copy");
                }
                Some((header, crc))
            }
        };
        Ok(Opened { number, path, reader, header })
    }

    /// A file whose header is lost: nothing in it can be told from old blocks.
    fn headless(&mut self, file: Opened, from: Lsn, next: Option<Lsn>) -> Tail {
        let above = || ((file.number + 1) << LSNS_PER_NUMBER_SHIFT).max(from + file.reader.len);
        let to = next.unwrap_or_else(above);
        self.gap(file.path.clone(), (0, from, to), GapCause::FileHeader);
        self.wal.segments.push_back(Segment {
            number: file.number,
            path: file.path,
            capacity: file.reader.len,
            file: file.reader.file,
            first_lsn: from,
            end_lsn: to,
            groups: GroupLsns::default(),
            damaged: true,
        });
        Tail {
            number: file.number,
            usable: false,
            offset: 0,
            written_to: 0,
            lsn: to,
            epoch: 0,
            prev_crc: 0,
        }
    }

    /// Reads one file up to `next`, the first lsn of the file after it, or to
    /// the end of the log.
    fn file(
        &mut self,
        mut file: Opened,
        header: &FileHeader,
        crc: u32,
        next: Option<Lsn>,
    ) -> Result<Tail, WalError> {
        let mut cur = Cursor {
            at: Expect { offset: PAGE, chain: Some(crc), epoch: header.epoch },
            groups: GroupLsns::default(),
            damaged: false,
            usable: true,
            jump: None,
        };
        self.report.vouched_lsn = self.report.vouched_lsn.max(header.first_lsn);
        loop {
            let lsn = header.first_lsn + (cur.at.offset - PAGE);
            if next.is_some_and(|n| lsn >= n) {
                break;
            }
            let checked = check(&mut file.reader, &cur.at, lsn, next);
            match checked.map_err(WalError::io("reading", &file.path))? {
                Check::Good { head, crc, block } => {
                    self.deliver(&file, &mut cur, (head, crc), &block)?;
                }
                Check::Dirty { head, crc, block } => {
                    let ahead = look_ahead(&mut file.reader, header, &cur.at, next)
                        .map_err(WalError::io("reading", &file.path))?;
                    if ahead.durable.max(next.unwrap_or(0)) <= lsn {
                        self.torn(&file, cur.at.offset, lsn);
                        break;
                    }
                    self.blemish(&file.path, cur.at.offset, "padding is not zero");
                    self.deliver(&file, &mut cur, (head, crc), &block)?;
                }
                Check::Bad { cause, looks_like_block } => {
                    let bad = (lsn, cause, looks_like_block);
                    if !self.bad_block(&mut file, header, &mut cur, bad, next)? {
                        break;
                    }
                }
            }
        }
        let end = header.first_lsn + (cur.at.offset - PAGE);
        let lsn = cur.jump.unwrap_or(end);
        if cur.usable && file.reader.len < header.allocated {
            self.blemish(&file.path, file.reader.len, "file was cut behind its last block");
            // Continued, a torn tail in it could no longer be told from the cut.
            cur.usable = false;
        }
        self.wal.segments.push_back(Segment {
            number: file.number,
            path: file.path,
            file: file.reader.file,
            first_lsn: header.first_lsn,
            end_lsn: lsn,
            capacity: header.capacity,
            groups: cur.groups,
            damaged: cur.damaged,
        });
        Ok(Tail {
            number: file.number,
            usable: cur.usable,
            offset: cur.at.offset,
            written_to: cur.at.offset,
            lsn,
            epoch: cur.at.epoch,
            prev_crc: cur.at.chain.unwrap_or(0),
        })
    }

    /// Decides what a bad block means; false if the file ends there.
    fn bad_block(
        &mut self,
        file: &mut Opened,
        header: &FileHeader,
        cur: &mut Cursor,
        (lsn, cause, looks_like_block): (Lsn, GapCause, bool),
        next: Option<Lsn>,
    ) -> Result<bool, WalError> {
        let ahead = look_ahead(&mut file.reader, header, &cur.at, next)
            .map_err(WalError::io("reading", &file.path))?;
        if ahead.durable.max(next.unwrap_or(0)) > lsn {
            cur.damaged = true;
            cur.at.chain = None;
            // Below the stated lsn every head that fits is real. Above it an old
            // one may sit where a newer write was lost, so only the claimant counts.
            let stated = ahead.durable.max(next.unwrap_or(0));
            let resume = ahead.first.filter(|(_, l)| *l <= stated).or(ahead.claimant);
            let place = |to| (cur.at.offset, lsn, to);
            if let Some((offset, to)) = resume {
                self.gap(file.path.clone(), place(to), cause);
                cur.at.offset = offset;
                return Ok(true);
            }
            let to = next.unwrap_or(stated);
            self.gap(file.path.clone(), place(to), cause);
            cur.jump = Some(to);
            return Ok(false);
        }
        let missing = header.allocated.saturating_sub(file.reader.len);
        if missing > 0 && (cause == GapCause::Cut || looks_like_block) {
            let to = header.first_lsn + header.allocated.saturating_sub(PAGE);
            self.gap(file.path.clone(), (cur.at.offset, lsn, to), GapCause::Cut);
            cur.damaged = true;
            cur.usable = false;
            cur.jump = Some(to);
        } else if looks_like_block || ahead.first.is_some() {
            self.torn(file, cur.at.offset, lsn);
        }
        Ok(false)
    }

    fn torn(&mut self, file: &Opened, offset: u64, lsn: Lsn) {
        self.report.torn = Some(Torn { file: file.path.clone(), offset, lsn });
    }

    fn deliver(
        &mut self,
        file: &Opened,
        cur: &mut Cursor,
        (head, crc): (BlockHead, u32),
        block: &Bytes,
    ) -> Result<(), WalError> {
        let format = |why| WalError::Format { file: file.path.clone(), offset: cur.at.offset, why };
        let mut body = block.slice(HEAD..HEAD + head.len as usize);
        let mut before = None;
        for _ in 0..head.rec_count {
            let record = WalRecord::decode(&mut body).map_err(format)?;
            if before != Some(record.group()) {
                before = Some(record.group());
                cur.groups.insert(record.group(), head.lsn);
            }
            (self.visit)(record, head.lsn);
        }
        if !body.is_empty() {
            return Err(format(format!("{} bytes after its records", body.len())));
        }
        cur.at.offset += head.padded();
        cur.at.chain = Some(crc);
        cur.at.epoch = head.epoch;
        let r = &mut self.report;
        r.records += u64::from(head.rec_count);
        r.blocks += 1;
        r.bytes += block.len() as u64;
        r.vouched_lsn = r.vouched_lsn.max(head.durable_lsn);
        Ok(())
    }

    fn gap(&mut self, file: String, (offset, from, to): (u64, Lsn, Lsn), cause: GapCause) {
        let gap = Gap { file, offset, from, to, cause };
        tracing::error!(%gap, "write-ahead log is damaged");
        self.report.gaps.push(gap);
    }

    fn blemish(&mut self, file: &str, offset: u64, what: &'static str) {
        tracing::warn!(file, offset, what, "write-ahead log has altered bytes that lost nothing");
        self.report.blemishes.push(Blemish { file: file.to_owned(), offset, what });
    }
}

/// Writes a range again with what it holds, and syncs it.
fn rewrite(file: &dyn DiskFile, from: u64, to: u64, chunk: usize) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let mut buf = vec![0; chunk.min((to - at) as usize)];
        file.read_exact_at(&mut buf, at)?;
        file.write_all_at(&buf, at)?;
        at += buf.len() as u64;
    }
    file.sync()
}

/// Makes a directory whose whole path and names are durable. The names matter
/// when the process comes back after an error while the system kept running: a
/// spare whose renaming is not durable must not be written to.
fn make_dir(disk: &dyn Disk, dir: &str) -> io::Result<()> {
    disk.create_dir_all(dir)?;
    disk.sync_dir("")?;
    disk.sync_dir(dir)?;
    for (i, _) in dir.match_indices('/') {
        disk.sync_dir(dir.get(..i).unwrap_or(dir))?;
    }
    Ok(())
}

/// Numbers of the log files, ascending, the spares, and the highest number of a spare.
fn list(
    disk: &dyn Disk,
    dir: &str,
    opts: &WalOptions,
) -> Result<(Vec<u64>, Vec<Spare>, u64), WalError> {
    let (mut logs, mut spares, mut highest) = (Vec::new(), Vec::new(), 0);
    let entries = disk.list(dir).map_err(WalError::io("listing", dir))?;
    for e in entries.into_iter().filter(|e| !e.is_dir) {
        match parse_name(&e.name) {
            Some(Name::Log(n)) => logs.push(n),
            Some(Name::Spare(n)) => {
                highest = highest.max(n);
                let path = format!("{dir}/{}", e.name);
                let len = e.len / PAGE * PAGE;
                if len >= opts.first_bytes && spares.len() < opts.keep_spares {
                    spares.push(Spare { path, len, fresh: true });
                } else {
                    // Half-made, or more than wanted; it holds nothing.
                    disk.remove(&path).map_err(WalError::io("removing", &path))?;
                }
            }
            None => {}
        }
    }
    logs.sort_unstable();
    Ok((logs, spares, highest))
}
