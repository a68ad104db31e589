//! A mangled journal: it opens, loses no record that could be read, and goes on.
#![no_main]

#[path = "../checks/recover_journal.rs"]
mod recover_journal;

libfuzzer_sys::fuzz_target!(|input: &[u8]| recover_journal::check(input));
