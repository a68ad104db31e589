//! `mailbox`: not written yet.
