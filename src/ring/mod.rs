//! `ring`: not written yet.
