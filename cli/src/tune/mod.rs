//! Advice on the size of a mailbox, from recorded arrivals: called by the verb `tune`.
//!
//! Nothing is estimated by formula. Every size that is asked about is played through with the
//! whole record: each arrival is put into a mailbox of that size, and the subscriber takes them
//! out by the same rules as a subscription of a bus ([`queue`]). What is lost and how long each
//! message waits are counted, not fitted; [`search`] says which sizes are tried.
//!
//! | noun | file |
//! |---|---|
//! | when messages came | [`arrivals`] |
//! | how long each is handled | [`service`] |
//! | what becomes of them at one size | [`queue`] |
//! | what is asked of a size | [`goal`] |
//! | the smallest size, and the curve | [`search`] |
#![forbid(unsafe_code)]

pub(crate) mod arrivals;
pub(crate) mod goal;
pub(crate) mod queue;
pub(crate) mod search;
pub(crate) mod service;
