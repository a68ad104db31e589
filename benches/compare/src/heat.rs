//! One timed run: from the first publisher's first message to the last receiver's last one.
//!
//! Every receiver counts and sums what it sees. A run whose counts or sums are not those of what
//! was published is a failure of the program, never a figure.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use crate::tick::Tick;

/// How long a run may stand still before it counts as having lost something.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run is to carry.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub publishers: u64,
    pub receivers: u64,
    /// Messages of each publisher.
    pub messages: u64,
    /// Slots of each mailbox, channel or ring.
    pub capacity: usize,
    /// Messages handed over at once.
    pub batch: u64,
}

impl Load {
    /// Calls `send` with the first number and the count of each batch of one publisher.
    #[inline]
    pub fn batches(&self, mut send: impl FnMut(u64, u64)) {
        let mut first = 0;
        while first < self.messages {
            let count = self.batch.min(self.messages - first);
            send(first, count);
            first += count;
        }
    }
}

/// What one receiver must see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub count: u64,
    pub sum: u64,
}

impl Seen {
    /// Everything that `publishers` publish, of `messages` each.
    pub fn everything(publishers: u64, messages: u64) -> Self {
        Self { count: publishers * messages, sum: publishers * (messages * (messages - 1) / 2) }
    }
}

/// The clock of one run.
pub struct Heat {
    base: Instant,
    first: AtomicU64,
    last: AtomicU64,
    done: Sender<(Seen, Seen)>,
}

/// The judge's end of a [`Heat`].
pub struct Finish {
    heat: Arc<Heat>,
    results: Receiver<(Seen, Seen)>,
}

impl Heat {
    pub fn new() -> (Arc<Self>, Finish) {
        let (done, results) = mpsc::channel();
        let base = Instant::now();
        let heat = Self { base, first: AtomicU64::new(u64::MAX), last: AtomicU64::new(0), done };
        let heat = Arc::new(heat);
        (Arc::clone(&heat), Finish { heat, results })
    }

    fn now(&self) -> u64 {
        self.base.elapsed().as_nanos() as u64
    }

    /// To be called by each publisher as it begins.
    pub fn begin(&self) {
        self.first.fetch_min(self.now(), Relaxed);
    }

    /// What a receiver of `expected` keeps.
    pub fn receipt(self: &Arc<Self>, expected: Seen) -> Receipt {
        Receipt { heat: Arc::clone(self), seen: Seen::default(), expected }
    }
}

impl Finish {
    /// Waits for `receivers` receivers and gives messages a second for `messages` published.
    ///
    /// # Panics
    ///
    /// If a receiver saw something else than it should have, or does not end.
    pub fn rate(self, messages: u64, receivers: u64) -> f64 {
        for _ in 0..receivers {
            let (seen, expected) =
                self.results.recv_timeout(PATIENCE).expect("a receiver did not see everything");
            assert_eq!(seen, expected, "a receiver saw something else than was published");
        }
        let spent = self.heat.last.load(Relaxed) - self.heat.first.load(Relaxed);
        messages as f64 * 1e9 / spent.max(1) as f64
    }
}

/// What one receiver has seen so far; the work that every receiver does for every message.
pub struct Receipt {
    heat: Arc<Heat>,
    seen: Seen,
    expected: Seen,
}

impl Receipt {
    #[inline]
    pub fn see(&mut self, tick: &Tick) {
        self.seen.count += 1;
        self.seen.sum = self.seen.sum.wrapping_add(black_box(tick.number));
        if self.seen.count == self.expected.count {
            self.finish();
        }
    }

    /// Whether the last message has come.
    #[inline]
    pub fn is_complete(&self) -> bool {
        self.seen.count >= self.expected.count
    }

    #[cold]
    fn finish(&self) {
        self.heat.last.fetch_max(self.heat.now(), Relaxed);
        self.heat.done.send((self.seen, self.expected)).ok();
    }
}
