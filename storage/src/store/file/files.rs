//! Open block files: a few per store, the least recently used is closed.

use super::super::StoreError;
use super::blocks::Block;
use crate::disk::{Disk, DiskFile, OpenMode};
use std::cell::RefCell;
use std::sync::Arc;

/// Files of one store that are open at once. A reader going forward and the
/// writer need two; more only spare random readers an `open` each.
const MAX_OPEN: usize = 32;

/// The block files of a store.
pub(super) struct Files {
    pub disk: Arc<dyn Disk>,
    /// Most recently used last.
    open: RefCell<Vec<(u64, Arc<dyn DiskFile>)>>,
}

impl Files {
    pub fn new(disk: Arc<dyn Disk>) -> Files {
        Files { disk, open: RefCell::new(Vec::new()) }
    }

    /// The file of a block, which is opened if need be.
    pub fn get(&self, block: &Block) -> Result<Arc<dyn DiskFile>, StoreError> {
        let mut open = self.open.borrow_mut();
        if let Some(i) = open.iter().rposition(|(id, _)| *id == block.id) {
            if i + 1 != open.len() {
                let entry = open.remove(i);
                open.push(entry);
            }
            return Ok(open[open.len() - 1].1.clone());
        }
        let file =
            self.disk.open(&block.path, OpenMode::ReadWrite).map_err(block.io("opening block"))?;
        Files::push(&mut open, block.id, file.clone());
        Ok(file)
    }

    /// Makes the (empty) file of a new block.
    pub fn create(&self, block: &Block) -> Result<Arc<dyn DiskFile>, StoreError> {
        let file =
            self.disk.open(&block.path, OpenMode::Truncate).map_err(block.io("creating block"))?;
        let mut open = self.open.borrow_mut();
        open.retain(|(id, _)| *id != block.id);
        Files::push(&mut open, block.id, file.clone());
        Ok(file)
    }

    /// Closes the file of a block that is gone.
    pub fn forget(&self, id: u64) {
        self.open.borrow_mut().retain(|(i, _)| *i != id);
    }

    /// Closes all but the most recently used.
    pub fn close_idle(&self) {
        let mut open = self.open.borrow_mut();
        let n = open.len().saturating_sub(1);
        open.drain(..n);
    }

    fn push(open: &mut Vec<(u64, Arc<dyn DiskFile>)>, id: u64, file: Arc<dyn DiskFile>) {
        if open.len() >= MAX_OPEN {
            open.remove(0);
        }
        open.push((id, file));
    }
}
