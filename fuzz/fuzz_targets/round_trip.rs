//! JSON and binary frame: both give the same event.
#![no_main]

#[path = "../checks/round_trip.rs"]
mod round_trip;

libfuzzer_sys::fuzz_target!(|input: &[u8]| round_trip::check(input));
