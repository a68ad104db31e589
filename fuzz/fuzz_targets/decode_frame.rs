//! Binary frames: no input crashes the decoder, and what it reads comes back.
#![no_main]

#[path = "../checks/decode_frame.rs"]
mod decode_frame;

libfuzzer_sys::fuzz_target!(|input: &[u8]| decode_frame::check(input));
