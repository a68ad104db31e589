//! A question and a file: the query finds what a look at each line finds.
#![no_main]

#[path = "../checks/query_journal.rs"]
mod query_journal;

libfuzzer_sys::fuzz_target!(|input: &[u8]| query_journal::check(input));
