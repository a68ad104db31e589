//! A file's contents on the simulated disk: what programs see, and what would survive a power cut.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use super::rng::Rng;
use super::sim::Cut;

/// Smaller than a line, so that a cut tears lines in their middle.
const PAGE: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What programs see.
    pub(super) bytes: Vec<u8>,
    /// What is on the disk.
    pub(super) stable: Vec<u8>,
    /// Pages that differ and will be written back.
    pub(super) dirty: BTreeSet<usize>,
}

impl Inode {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Replaces the contents, and they are on the disk.
    pub(super) fn set(&mut self, bytes: &[u8]) {
        *self = Self { bytes: bytes.to_vec(), stable: bytes.to_vec(), dirty: BTreeSet::new() };
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.dirty.extend(from / PAGE..self.bytes.len().div_ceil(PAGE));
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / PAGE..end.div_ceil(PAGE));
    }

    pub(super) fn cut(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.dirty.retain(|page| page * PAGE < length);
        if length < self.stable.len() {
            self.dirty.insert(length / PAGE);
        }
    }

    pub(super) fn write_back(&mut self, page: usize) {
        let end = ((page + 1) * PAGE).min(self.bytes.len());
        let start = (page * PAGE).min(end);
        if self.stable.len() < end {
            self.stable.resize(end, 0);
        }
        self.stable[start..end].copy_from_slice(&self.bytes[start..end]);
    }

    pub(super) fn write_back_all(&mut self) {
        for page in std::mem::take(&mut self.dirty) {
            self.write_back(page);
        }
        self.stable.resize(self.bytes.len(), 0);
    }

    /// A page as it is now.
    pub(super) fn page(&self, page: usize) -> &[u8] {
        let end = ((page + 1) * PAGE).min(self.bytes.len());
        &self.bytes[(page * PAGE).min(end)..end]
    }

    /// What a running sync makes durable: pages as they were when it began. Those that have changed
    /// since are as dirty as they were.
    pub(super) fn write_back_old(&mut self, pages: &[(usize, Vec<u8>)]) {
        for (page, old) in pages {
            let start = page * PAGE;
            if self.stable.len() < start + old.len() {
                self.stable.resize(start + old.len(), 0);
            }
            self.stable[start..start + old.len()].copy_from_slice(old);
            if self.page(*page) == old {
                self.dirty.remove(page);
            }
        }
    }

    /// A running sync that fails: its pages count as clean, unless they have changed since.
    pub(super) fn lose_old(&mut self, pages: &[(usize, Vec<u8>)], rng: Option<&mut Rng>) {
        let unchanged = pages.iter().filter(|(page, old)| self.page(*page) == old);
        let unchanged: BTreeSet<_> = unchanged.map(|(page, _)| *page).collect();
        let left = self.dirty.difference(&unchanged).copied().collect();
        self.dirty.retain(|page| unchanged.contains(page));
        self.lose(rng);
        self.dirty = left;
    }

    /// A failed sync: some pages are written, the others forgotten, and all count as clean.
    pub(super) fn lose(&mut self, rng: Option<&mut Rng>) {
        let dirty = std::mem::take(&mut self.dirty);
        if let Some(rng) = rng {
            dirty.into_iter().filter(|_| rng.one_in(2)).for_each(|page| self.write_back(page));
        }
        // The length is the file system's own and goes through its journal.
        if self.stable.len() < self.bytes.len() {
            self.stable.resize(self.bytes.len(), 0);
        }
    }

    /// What a power cut leaves.
    pub(super) fn after_power_cut(&self, cut: &mut Cut<'_>) -> Self {
        let mut after = self.clone();
        match cut {
            Cut::Keep(more) => {
                let kept = self.stable.len().saturating_add(*more).min(self.bytes.len());
                for page in self.dirty.iter().filter(|page| **page * PAGE < kept) {
                    after.write_back(*page);
                }
                if self.bytes.len() >= self.stable.len() {
                    after.stable.resize(kept, 0);
                }
            }
            Cut::Chance(rng) => {
                let last = self.dirty.last().copied();
                for page in self.dirty.iter().filter(|_| rng.one_in(2)) {
                    after.write_back(*page);
                }
                if last.is_some() {
                    // The length may be on the disk before or after the pages, and the last
                    // write may be torn at any byte.
                    let (short, long) = (self.stable.len(), self.bytes.len());
                    let (short, long) = (short.min(long), short.max(long));
                    let length = match rng.below(4) {
                        0 => self.stable.len(),
                        1 => self.bytes.len(),
                        _ => short + rng.below(long - short + 1),
                    };
                    after.stable.resize(length, 0);
                }
            }
        }
        let stable = std::mem::take(&mut after.stable);
        after.set(&stable);
        after
    }
}
