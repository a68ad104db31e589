//! The system's allocator with a count of what is alive: exact, where resident memory also has
//! the allocator's own overhead.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Sizes from here on are counted as one.
const SIZES: usize = 4096;

static BYTES: AtomicI64 = AtomicI64::new(0);
static MADE: AtomicI64 = AtomicI64::new(0);
static ALLOCATED: AtomicI64 = AtomicI64::new(0);
/// Allocations alive, by size.
static ALIVE: [AtomicI64; SIZES] = [const { AtomicI64::new(0) }; SIZES];

struct Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

fn note(size: usize, sign: i64) {
    BYTES.fetch_add(sign * size as i64, Relaxed);
    ALIVE[size.min(SIZES - 1)].fetch_add(sign, Relaxed);
    if sign > 0 {
        MADE.fetch_add(1, Relaxed);
        ALLOCATED.fetch_add(size as i64, Relaxed);
    }
}

// SAFETY: it counts, and passes every call on as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 1);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        note(layout.size(), -1);
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(layout.size(), -1);
        note(size, 1);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Memory at one moment.
#[derive(Clone)]
pub(crate) struct Snapshot {
    /// Bytes alive.
    pub(crate) bytes: i64,
    /// Allocations ever made.
    pub(crate) made: i64,
    /// Bytes ever allocated.
    pub(crate) allocated: i64,
    /// Bytes of the program that are in memory, by the kernel's account.
    pub(crate) resident: i64,
    alive: Vec<i64>,
}

impl Snapshot {
    pub(crate) fn take() -> Self {
        // Made first, so that it is not part of itself.
        let mut alive = vec![0; SIZES];
        let resident = resident();
        alive.iter_mut().zip(&ALIVE).for_each(|(copy, count)| *copy = count.load(Relaxed));
        Self {
            bytes: BYTES.load(Relaxed),
            made: MADE.load(Relaxed),
            allocated: ALLOCATED.load(Relaxed),
            resident,
            alive,
        }
    }

    /// Sizes of which at least one in ten of `units` has more alive than at `earlier`: with how
    /// many each has.
    pub(crate) fn sizes_since(&self, earlier: &Self, units: usize) -> Vec<(usize, f64)> {
        let each = self.alive.iter().zip(&earlier.alive).map(|(now, then)| now - then);
        each.enumerate()
            .map(|(size, more)| (size, more as f64 / units as f64))
            .filter(|&(_, more)| more >= 0.1)
            .collect()
    }
}

fn resident() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<i64>().ok());
    pages.unwrap_or(0) * 4096
}
