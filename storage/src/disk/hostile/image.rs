//! The bytes of one file, shared page by page between forks.

use std::sync::Arc;

/// Bytes per page; also the unit in which space is charged.
pub(super) const PAGE: u64 = 4096;
type Page = [u8; PAGE as usize];

/// A sparse file image; cloning copies pointers only.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    len: u64,
    pages: Vec<Option<Arc<Page>>>,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Pages that hold bytes, i.e. were written at least once.
    pub(super) fn allocated(&self) -> u64 {
        self.pages.iter().filter(|p| p.is_some()).count() as u64
    }

    /// Pages of `offset..offset + len` that a write would have to allocate.
    pub(super) fn missing(&self, offset: u64, len: u64) -> u64 {
        pages(offset, len).filter(|p| !matches!(self.pages.get(*p), Some(Some(_)))).count() as u64
    }

    /// Fills `buf`; bytes beyond the end read as zeros.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let inside = (at % PAGE) as usize;
            let n = (PAGE as usize - inside).min(buf.len() - done);
            let out = &mut buf[done..done + n];
            match self.pages.get((at / PAGE) as usize) {
                Some(Some(page)) => out.copy_from_slice(&page[inside..inside + n]),
                _ => out.fill(0),
            }
            done += n;
        }
    }

    /// Writes and grows the file if needed.
    pub(super) fn write(&mut self, buf: &[u8], offset: u64) {
        let end = offset + buf.len() as u64;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let inside = (at % PAGE) as usize;
            let n = (PAGE as usize - inside).min(buf.len() - done);
            let index = (at / PAGE) as usize;
            if self.pages.len() <= index {
                self.pages.resize(index + 1, None);
            }
            let page = self.pages[index].get_or_insert_with(|| Arc::new([0; PAGE as usize]));
            Arc::make_mut(page)[inside..inside + n].copy_from_slice(&buf[done..done + n]);
            done += n;
        }
        self.len = self.len.max(end);
    }

    /// Cuts or extends with zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.truncate(len.div_ceil(PAGE) as usize);
            let inside = (len % PAGE) as usize;
            if inside != 0
                && let Some(Some(page)) = self.pages.get_mut((len / PAGE) as usize)
            {
                Arc::make_mut(page)[inside..].fill(0);
            }
        }
        self.len = len;
    }
}

fn pages(offset: u64, len: u64) -> std::ops::Range<usize> {
    let first = (offset / PAGE) as usize;
    let end = if len == 0 { first } else { (offset + len).div_ceil(PAGE) as usize };
    first..end
}
