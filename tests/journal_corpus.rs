//! The kept inputs of the fuzz target `recover_journal`, and some thousand made up on the spot.
#![cfg(all(feature = "jsonl", feature = "zstd", unix))]

use std::fs;

use proptest::prelude::*;

#[path = "../fuzz/checks/recover_journal.rs"]
mod recover_journal;

#[test]
fn every_kept_input_passes() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/recover_journal");
    let mut count = 0;
    for file in fs::read_dir(corpus).expect("the corpus") {
        recover_journal::check(&fs::read(file.expect("a file").path()).expect("readable"));
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn a_mangled_journal_opens_loses_nothing_and_goes_on(input in prop::collection::vec(any::<u8>(), 0..60)) {
        recover_journal::check(&input);
    }

    #[test]
    fn a_mangled_index_never_changes_what_is_read(
        which in 0..32_u8, input in prop::collection::vec(any::<u8>(), 0..60)) {
        recover_journal::check(&[&[0x80 | which << 2][..], &input].concat());
    }
}
