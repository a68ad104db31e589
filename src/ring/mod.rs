//! `ring`: being written.
mod arena;
mod block;
mod cell;
mod chunks;
mod cursors;
mod directory;
mod faults;
mod log;
mod pool;
pub(crate) mod queue;
mod reader;
mod shared;
mod slot;
mod writer;

pub(crate) use log::Log;
pub(crate) use reader::{Next, Overrun, Reader};
pub use shared::{Shared, Shares};
pub(crate) use writer::{Claim, Pen, Refused, Writer};

#[cfg(all(test, ringpost_loom))]
mod models;
#[cfg(all(test, not(ringpost_loom)))]
mod stress;
#[cfg(all(test, not(ringpost_loom)))]
mod tests;
