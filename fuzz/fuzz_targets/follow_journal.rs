//! A journal that grows by pieces: the pieces make no difference to a follower.
#![no_main]

#[path = "../checks/follow_journal.rs"]
mod follow_journal;

libfuzzer_sys::fuzz_target!(|input: &[u8]| follow_journal::check(input));
