//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once.
//!
//! Installed by the verbs that run for long; they look at it, or wait on it, between two pieces
//! of work. Other verbs die of a signal as any program does: a check that was not made to its end
//! (`verify`), or advice from half of a record (`tune`), must not end as if it had been.
#![forbid(unsafe_code)]

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

/// The exit code of a second signal.
const AT_ONCE: i32 = 130;

/// Whether an orderly end was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    asked: Mutex<bool>,
    bell: Condvar,
}

impl Interrupt {
    /// Takes both signals over, and the one for a file that may not grow (`ulimit -f`): its write
    /// fails then, which the journal knows what to do about, instead of ending the process.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGXFSZ]).context("cannot watch for signals")?;
        let interrupt = Self::default();
        let told = interrupt.clone();
        let watch = move || {
            for signal in signals.forever() {
                if signal == SIGXFSZ {
                    continue;
                }
                if told.is_set() {
                    // Whatever the other threads are stuck in.
                    signal_hook::low_level::exit(AT_ONCE);
                }
                told.set();
            }
        };
        let thread = thread::Builder::new().name("ringpost-signals".into());
        thread.spawn(watch).context("cannot start the thread that watches for signals")?;
        Ok(interrupt)
    }

    /// Asks for an orderly end.
    pub(crate) fn set(&self) {
        *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.bell.notify_all();
    }

    /// Whether it was asked for.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for at most `timeout`; whether an end was asked for.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.bell.wait_timeout_while(asked, timeout, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_when_it_is_asked_for() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.wait(Duration::ZERO));
        let other = interrupt.clone();
        let waiter = thread::spawn(move || other.wait(Duration::from_secs(3600)));
        interrupt.set();
        assert!(waiter.join().unwrap());
        assert!(interrupt.is_set());
    }
}
