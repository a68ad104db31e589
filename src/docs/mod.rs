//! Longer texts that belong to no single item. There is no code here.
//!
//! | page | answers |
//! |---|---|
//! | [`guarantees`] | what exactly is promised, and what is not |
//! | [`choices`] | which bus, publish call, overflow policy, executor and journal setting |
//! | [`design`] | how a message gets from a publisher to a handler and into the journal, file by file |
#![forbid(unsafe_code)]

pub mod choices;
pub mod design;
pub mod guarantees;
