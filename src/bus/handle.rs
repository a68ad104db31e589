//! What keeps a bus open: its handles. Dropping the last one closes it, without waiting.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::core::Core;
use crate::Message;

/// Held by every `Bus` and `Publisher`; not by subscriptions, taps or actors.
pub(crate) struct Handle<M: Message> {
    pub(crate) core: Arc<Core<M>>,
}

impl<M: Message> Drop for Handle<M> {
    fn drop(&mut self) {
        self.core.close();
    }
}
