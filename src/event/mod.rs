//! Events: CloudEvents 1.0 in memory, as JSON and as a binary frame.
//!
//! This is what the journal, the command line and the bridges speak, and what an `EventBus`
//! carries. Programs make events with [`Event::builder`] or [`event!`](crate::event!) and read
//! them by accessors; [`json`] and (with feature `bincode`) `binary` turn them into bytes and
//! back. An event, through either and back, is the same event, and its payload the same bytes.
#![forbid(unsafe_code)]

mod attributes;
#[cfg(feature = "bincode")]
pub mod binary;
mod builder;
mod data;
mod digits;
mod envelope;
mod error;
pub(crate) mod field;
mod ids;
pub mod json;
mod message;
mod time;
mod trace_context;
mod uri;

pub use builder::EventBuilder;
pub use data::Data;
pub use envelope::{Event, ExtensionValue};
pub use error::{EventError, Reason};
pub use ids::EventIds;
pub use json::{DecodeError, Limits};
pub use time::{TimeError, Timestamp};

/// For [`event!`](crate::event!), wherever it is used.
#[doc(hidden)]
pub use serde_json::json as __json;
