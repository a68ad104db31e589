//! JSON lines: no input crashes the decoder, and what it reads comes back.
#![no_main]

#[path = "../checks/decode_json.rs"]
mod decode_json;

libfuzzer_sys::fuzz_target!(|input: &[u8]| decode_json::check(input));
