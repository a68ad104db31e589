//! `topic`: not written yet.
