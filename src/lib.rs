//! ringpost: an in-process event bus that is an actor runtime.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
// Under the model checker only the modelled floors are compiled: the rest is not built on
// loom's types and would be dead weight there.
#![cfg_attr(ringpost_loom, allow(dead_code, unused_imports, unreachable_pub))]

mod loss;
mod mailbox;
mod message;
mod ring;
mod sequence;
mod sync;
mod worker;

#[cfg(not(ringpost_loom))]
mod actor;
#[cfg(not(ringpost_loom))]
mod bus;
#[cfg(not(ringpost_loom))]
pub mod event;
#[cfg(not(ringpost_loom))]
pub mod store;
#[cfg(not(ringpost_loom))]
pub mod topic;

#[cfg(not(ringpost_loom))]
pub use event::{Event, EventBuilder, EventError};
pub use loss::{DropReason, Gap};
pub use message::{Fields, Message, Stamp};
pub use ring::{Shared, Shares};
pub use sequence::Sequence;
#[cfg(not(ringpost_loom))]
pub use topic::{Pattern, PatternError, Topic, TopicError, TopicId};
