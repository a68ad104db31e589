//! Settings of a durable consumer.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;
use std::time::Duration;

use crate::store::Begin;

/// What happens with an event after its last attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterLast {
    /// The consumer stops, in front of the event, and says why. The default: who asks for a
    /// durable consumer wants no event left out, and one that has stopped loses nothing. It goes
    /// on with this event when it is started again.
    #[default]
    Stop,
    /// The event counts as failed, that is told on `$errors`, and the consumer goes on.
    PassOver,
}

/// Settings of a durable consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerOptions {
    /// Where it begins if the store does not know it yet. Now, unless said otherwise: a journal
    /// may hold years of events, and whoever wants those says so.
    pub begin: Begin,
    /// After how many acknowledged events its position is stored: 1,024 unless said otherwise.
    pub checkpoint_events: u64,
    /// At the latest this long after an event was acknowledged, or passed by unmatched, its
    /// position is stored: 1 s unless said otherwise. So it is also how often a journal that is
    /// behind is asked again.
    pub checkpoint_time: Duration,
    /// How often an event is handed to the handler, at most, until that succeeds: 10 times unless
    /// said otherwise; `None` for as often as it takes.
    pub attempts: Option<NonZeroU32>,
    /// The pause after the first failed attempt: 100 ms unless said otherwise. It doubles with
    /// each one.
    pub first_pause: Duration,
    /// The longest such pause: 30 s unless said otherwise.
    pub longest_pause: Duration,
    /// What happens after the last attempt.
    pub after_last: AfterLast,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            begin: Begin::Now,
            checkpoint_events: 1024,
            checkpoint_time: Duration::from_secs(1),
            attempts: NonZeroU32::new(10),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(30),
            after_last: AfterLast::default(),
        }
    }
}
