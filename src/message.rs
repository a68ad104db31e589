//! What a bus carries.
#![forbid(unsafe_code)]

use std::any::Any;
use std::cell::OnceCell;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Notice;

scoped_tls_hkt::scoped_thread_local!(static CAUSE: for<'a> &'a dyn Any);

/// A message type of a [`Bus`](crate::Bus).
///
/// Every method has a default, so that `impl Message for Tick {}` is enough. Small `Copy` types
/// travel inline; large ones are better sent as `Arc<T>` or [`Shared<T>`](crate::Shared).
///
/// `Sync` is asked for because readers on several threads borrow one message from the ring:
///
/// ```compile_fail,E0277
/// use std::cell::Cell;
///
/// #[derive(Clone)]
/// struct Tick(Cell<u64>);
///
/// impl ringpost::Message for Tick {}
/// ```
///
/// ```
/// use std::sync::atomic::AtomicU64;
/// use std::sync::Arc;
///
/// #[derive(Clone)]
/// struct Tick(Arc<AtomicU64>);
///
/// impl ringpost::Message for Tick {}
/// ```
pub trait Message: Clone + Send + Sync + 'static {
    /// The topic a message names itself, for `Bus::publish` without a topic.
    fn topic(&self) -> Option<&str> {
        None
    }

    /// Whether a publish made inside a handler of this message should know it as its cause.
    /// Off by default, so that a plain message pays nothing for it.
    const CAUSAL: bool = false;

    /// `n` copies for `n` targets, made lazily by [`Clone`] unless the type knows better.
    fn share(&self, n: usize) -> impl Iterator<Item = Self> {
        std::iter::repeat_with(|| self.clone()).take(n)
    }

    /// Called before the message gets its sequence, while it is still unique: a place to note when it
    /// was recorded and what caused it. Called again, with another stamp, whenever a publish that
    /// found no room is tried again: what it notes is to replace what it noted before.
    fn stamp(&mut self, _stamp: &Stamp) {}

    /// Names this message in a log line. Never write payload values here.
    fn describe(&self, _fields: &mut Fields) {}

    /// The message that tells of a notice, for subscriptions whose pattern starts with `$`.
    /// By default there is none: such a bus reads its notices by `Bus::notices`.
    fn from_notice(_notice: &Notice) -> Option<Self> {
        None
    }
}

/// What the bus knows about a publish: read lazily, because most messages ask for nothing.
#[derive(Debug, Default)]
pub struct Stamp {
    recorded: OnceCell<i64>,
}

impl Stamp {
    /// When this publish was made, or last tried if it had to wait: nanoseconds since 1970 UTC. One
    /// clock read a try, of a message or of a group of a batch.
    pub fn recorded(&self) -> i64 {
        *self.recorded.get_or_init(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
        })
    }

    /// Calls `f` with the message whose handler is publishing, if there is one of type `M`.
    pub fn with_cause<M: Message, R>(&self, f: impl FnOnce(&M) -> R) -> Option<R> {
        if !CAUSE.is_set() {
            return None;
        }
        CAUSE.with(|cause| cause.downcast_ref::<M>().map(f))
    }
}

/// Runs `f`, during which `message` is the cause of whatever this thread publishes.
pub(crate) fn caused_by<M: Message, R>(message: &M, f: impl FnOnce() -> R) -> R {
    if M::CAUSAL { CAUSE.set(message, f) } else { f() }
}

/// How a message is named in the log line of a publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fields {
    /// The message's own identity, for notices about it.
    pub id: Option<String>,
    /// The message's type, such as `terminal.command`.
    pub event_type: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// The names of the payload's top-level entries; never their values.
    pub payload_keys: Vec<String>,
}

macro_rules! plain_messages {
    ($($t:ty),*) => { $(impl Message for $t {})* };
}
plain_messages!(
    (),
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    f32,
    f64,
    String,
    &'static str
);

macro_rules! tuple_messages {
    ($(($($t:ident),+))*) => {
        $(impl<$($t: Clone + Send + Sync + 'static),+> Message for ($($t,)+) {})*
    };
}
tuple_messages!((A)(A, B)(A, B, C)(A, B, C, D)(A, B, C, D, E)(A, B, C, D, E, F));

impl<T: Send + Sync + 'static> Message for std::sync::Arc<T> {}
impl<T: Clone + Send + Sync + 'static> Message for Vec<T> {}
impl<T: Copy + Send + Sync + 'static, const N: usize> Message for [T; N] {}
