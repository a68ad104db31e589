//! `store`: not written yet.
