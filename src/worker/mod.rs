//! `worker`: not written yet.
