//! One file of the hostile disk: what readers see, what is on the platter, and
//! the writes in between.

use super::Rng;
use super::image::Image;
use std::sync::Arc;

/// Bytes the platter writes as one.
pub(super) const SECTOR: u64 = 512;

/// A write or length change that no sync has covered yet.
#[derive(Debug, Clone)]
pub(super) enum Pending {
    /// Whole sectors, as the cache held them after the write.
    Write {
        /// Start, a multiple of [`SECTOR`].
        offset: u64,
        /// Bytes; the last sector may be cut by the end of the file.
        data: Arc<[u8]>,
    },
    /// The file was cut or extended.
    SetLen(u64),
}

/// Contents of a file on both sides of the cache.
#[derive(Debug, Clone, Default)]
pub(super) struct FileState {
    /// What reads return.
    pub(super) cache: Image,
    /// What certainly survives.
    pub(super) platter: Image,
    /// What may survive, oldest first.
    pub(super) pending: Vec<Pending>,
}

impl FileState {
    pub(super) fn write(&mut self, buf: &[u8], offset: u64) {
        if buf.is_empty() {
            return;
        }
        self.cache.write(buf, offset);
        let start = offset / SECTOR * SECTOR;
        let end = (offset + buf.len() as u64).next_multiple_of(SECTOR).min(self.cache.len());
        let mut data = vec![0; (end - start) as usize];
        self.cache.read(&mut data, start);
        self.pending.push(Pending::Write { offset: start, data: data.into() });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len != self.cache.len() {
            self.cache.set_len(len);
            self.pending.push(Pending::SetLen(len));
        }
    }

    pub(super) fn sync(&mut self) {
        self.pending.clear();
        self.platter = self.cache.clone();
    }

    /// A failed sync as Linux reports it once: some pages reached the platter,
    /// all of them count as clean, and the cache may have been read anew.
    pub(super) fn sync_failed(&mut self, rng: &mut Rng) {
        settle(&mut self.platter, &self.pending, rng);
        self.pending.clear();
        if rng.coin() {
            self.cache = self.platter.clone();
        }
    }

    /// What a power cut leaves.
    pub(super) fn crash(&self, rng: &mut Rng) -> Image {
        let mut image = self.platter.clone();
        settle(&mut image, &self.pending, rng);
        image
    }
}

/// Lets each pending write reach `image` wholly, partly or not at all. Between
/// two length changes the order is arbitrary too.
fn settle(image: &mut Image, pending: &[Pending], rng: &mut Rng) {
    // Most outcomes of independent coins are "a mess"; the tidy ones (all, none,
    // a prefix) find other bugs and get their share.
    let style = rng.below(6);
    let cut = rng.below(pending.len() as u64 + 1) as usize;
    let pending = match style {
        0 => return,
        1 => {
            for p in pending {
                apply(image, p, rng, false);
            }
            return;
        }
        2 => {
            // A prefix, its last write torn.
            for (i, p) in pending.iter().take(cut).enumerate() {
                apply(image, p, rng, i + 1 == cut);
            }
            return;
        }
        _ => pending,
    };
    for run in pending
        .chunk_by(|a, b| matches!(a, Pending::Write { .. }) && matches!(b, Pending::Write { .. }))
    {
        let mut order: Vec<&Pending> = run.iter().collect();
        if style == 3 {
            for i in (1..order.len()).rev() {
                order.swap(i, rng.below(i as u64 + 1) as usize);
            }
        }
        for p in order {
            match rng.below(3) {
                0 => apply(image, p, rng, false),
                1 => apply(image, p, rng, true),
                // The data is lost, the new length need not be.
                _ => {
                    if let Pending::Write { offset, data } = p
                        && rng.below(4) == 0
                    {
                        let end = offset + data.len() as u64;
                        image.set_len(image.len().max(end));
                    }
                }
            }
        }
    }
}

fn apply(image: &mut Image, p: &Pending, rng: &mut Rng, torn: bool) {
    match p {
        Pending::SetLen(len) => image.set_len(*len),
        Pending::Write { offset, data } if !torn => image.write(data, *offset),
        Pending::Write { offset, data } => {
            for (i, sector) in data.chunks(SECTOR as usize).enumerate() {
                if rng.coin() {
                    image.write(sector, offset + i as u64 * SECTOR);
                }
            }
        }
    }
}
