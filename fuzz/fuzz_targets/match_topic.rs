//! Patterns over topics: the matcher against a naive reference, the trie against the matcher.
#![no_main]

#[path = "../checks/match_topic.rs"]
mod match_topic;

libfuzzer_sys::fuzz_target!(|input: &[u8]| match_topic::check(input));
