//! What an actor may ask of the runtime while it handles a message.
#![forbid(unsafe_code)]

use std::sync::Arc;

/// The actor's view of its own subscription.
///
/// To publish from inside an actor, give it a `Bus` or a `Publisher` when it is made. A sync
/// `publish` inside a handler never waits: a full `Block` mailbox is `Full` at once.
#[derive(Debug)]
pub struct Context {
    id: u64,
    /// None where nobody sees it.
    pattern: Option<Arc<str>>,
    stopping: bool,
}

impl Context {
    pub(crate) fn new(id: u64, pattern: Arc<str>) -> Self {
        Self { id, pattern: Some(pattern), stopping: false }
    }

    /// For an actor that never looks at it: it keeps nothing.
    pub(crate) fn unseen(id: u64) -> Self {
        Self { id, pattern: None, stopping: false }
    }

    /// The subscription's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The subscription's pattern, as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.pattern.as_deref().unwrap_or_default()
    }

    /// Ends the subscription once this call returns. What is still in the mailbox counts as
    /// `dropped(cancelled)`; `on_stop` runs.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }
}
