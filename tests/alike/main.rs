//! Subscriptions that are alike (one pattern, size and policy) share a log. They
//! keep everything that a mailbox of one's own promises: size, policy, losses, account.
#![forbid(unsafe_code)]

mod ending;
mod first;
mod joining;
mod size;
mod support;
