//! Removing messages, and blocks once nothing live is left in them.

use super::super::query::Log;
use super::super::{Purged, StoreError};
use super::blocks::Map;
use super::{FileStore, Obsolete};
use crate::block::page::read_deletes;
use crate::index::core::Formula;
use crate::record::read_frame;

impl FileStore {
    /// Removes a live message whose subject is known, without reading it.
    pub(super) fn remove_live(&mut self, seq: u64, subject: &[u8]) -> Result<u64, StoreError> {
        let Some(i) = self.block_index(seq) else {
            return Err(StoreError::Damaged {
                path: self.dir.clone(),
                offset: 0,
                why: format!("message {seq} is in no block"),
            });
        };
        let slot = self.slot(&self.blocks[i], seq)?;
        let bytes = Formula::File.of_len(slot.size(), slot.headers());
        let (prev, next) = (|| self.known_prev(seq), || self.known_next(seq));
        self.core.subjects.borrow_mut().remove(subject, seq, prev, next);
        self.core.removed(seq, bytes);
        if seq > self.core.first_seq {
            self.removed.push(seq);
        }
        let block = &mut self.blocks[i];
        block.live -= 1;
        block.live_bytes = block.live_bytes.saturating_sub(bytes);
        if block.live == 0 && i + 1 < self.blocks.len() {
            self.drop_block(i)?;
        }
        Ok(bytes)
    }

    /// Forgets a block without live messages. Its file goes once no checkpoint
    /// names it.
    pub(super) fn drop_block(&mut self, i: usize) -> Result<(), StoreError> {
        if i > 0 {
            self.carry_deletes(i);
        }
        if let Some(block) = self.blocks.remove(i) {
            self.cache.get_mut().forget(block.id);
            self.files.forget(block.id);
            self.obsolete.push(Obsolete { path: block.path, since: self.checkpoint + 1 });
        }
        Ok(())
    }

    /// Writes the removals that a block records of messages in earlier blocks
    /// once more: without it a rebuild would bring those messages back. What
    /// cannot be read is left: it only matters to a rebuild.
    pub(super) fn carry_deletes(&mut self, i: usize) {
        let block = &self.blocks[i];
        let mut found = Vec::new();
        for page in self.pages(block).unwrap_or_default() {
            if page.messages == page.raw {
                continue;
            }
            let seqs = self.page_body(block, page).ok().and_then(|body| {
                let frame = read_frame(body.get(page.messages as usize..)?).ok()?;
                read_deletes(&frame)
            });
            found.extend(seqs.into_iter().flatten());
        }
        let first = block.first;
        found.retain(|s| *s < first && *s >= self.core.first_seq && self.block_index(*s).is_some());
        self.removed.extend(found);
    }

    pub(super) fn purge_head(&mut self, seq: u64) -> Result<Purged, StoreError> {
        let before = Purged { msgs: self.core.msgs, bytes: self.core.bytes };
        if seq > self.core.last_seq {
            while let Some(block) = self.blocks.pop_back() {
                let since = self.checkpoint + 1;
                self.obsolete.push(Obsolete { path: block.path, since });
            }
            self.cache.get_mut().clear();
            self.tail.buffer = Self::empty_buffer(&self.options);
            self.removed.clear();
            self.core.emptied(seq);
            return Ok(before);
        }
        while self.core.first_seq < seq
            && self.core.msgs > 0
            && let Some(block) = self.blocks.front()
            && block.last < seq
            && self.blocks.len() > 1
        {
            self.purge_block()?;
        }
        while let Some(at) = self.core.next_live(0).filter(|s| *s < seq) {
            let subject = self.subject_of(at)?;
            self.remove_live(at, &subject)?;
        }
        Ok(Purged { msgs: before.msgs - self.core.msgs, bytes: before.bytes - self.core.bytes })
    }

    /// Subject of a live message, also of one that is damaged if something else
    /// tells it: damage must not make a message irremovable.
    pub(super) fn subject_of(&self, seq: u64) -> Result<Vec<u8>, StoreError> {
        let damage = match self.with_subject(seq, |s| s.to_vec()) {
            Err(e @ StoreError::Damaged { .. }) => e,
            other => return other,
        };
        let Some(i) = self.block_index(seq) else { return Err(damage) };
        let block = &self.blocks[i];
        if let Map::Sealed(sealed) = &block.map {
            let Ok(table) = self.table(block, sealed) else { return Err(damage) };
            let rel = seq - block.first;
            let mut found = None;
            let _ = table.for_each(|name, postings| {
                let at = postings.lower_bound(rel);
                if postings.get(at).is_some_and(|r| u64::from(r) == rel) {
                    found = Some(name.to_vec());
                }
            });
            return found.ok_or(damage);
        }
        let neighbours = [self.known_next(seq), self.known_prev(seq)];
        let known = neighbours
            .into_iter()
            .flatten()
            .find_map(|n| self.with_subject(n, |s| s.to_vec()).ok());
        known.ok_or(damage)
    }

    /// Removes every message of the first block, which is not the only one.
    fn purge_block(&mut self) -> Result<(), StoreError> {
        let block = &self.blocks[0];
        let end = block.last + 1;
        let first = self.core.first_seq.max(block.first);
        let table = match &block.map {
            Map::Sealed(sealed) => match self.table(block, sealed) {
                Ok(table) => Some((sealed, table)),
                // The messages know it too.
                Err(StoreError::Damaged { .. }) => None,
                Err(e) => return Err(e),
            },
            Map::Open(_) => None,
        };
        if let Some((sealed, table)) = table {
            let whole = first == block.first && self.core.deletes.count(first, block.last) == 0;
            let base = block.first;
            let core = &self.core;
            let mut subjects = core.subjects.borrow_mut();
            let walked = table.for_each(|name, postings| {
                let n = if whole {
                    postings.len()
                } else {
                    (0..postings.len())
                        .filter_map(|i| postings.get(i))
                        .filter(|rel| core.is_live(base + u64::from(*rel)))
                        .count()
                };
                if n > 0 {
                    subjects.remove_head(name, n as u64, end);
                }
            });
            drop(subjects);
            if walked.is_none() {
                let at = u64::from(sealed.trailer.start);
                return Err(block.damaged(at, "subject table is inconsistent"));
            }
        } else {
            let mut at = first;
            while let Some(seq) = self.core.next_live(at).filter(|s| *s < end) {
                let name = self.subject_of(seq)?;
                let next = || self.known_next(seq);
                self.core.subjects.borrow_mut().remove(&name, seq, || None, next);
                at = seq + 1;
            }
        }
        let (msgs, bytes) = (self.blocks[0].live, self.blocks[0].live_bytes);
        if msgs == self.core.msgs {
            let last = self.core.last_seq;
            self.core.emptied(last + 1);
        } else {
            self.core.trimmed(end, msgs, bytes);
        }
        self.blocks[0].live = 0;
        self.drop_block(0)
    }
}
