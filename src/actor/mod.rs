//! `actor`: not written yet.
