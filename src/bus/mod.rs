//! `bus`: not written yet.
