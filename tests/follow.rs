//! The kept inputs of the fuzz target `follow_journal`, and some thousand made up on the spot.
#![cfg(all(feature = "jsonl", unix))]

use std::fs;

use proptest::prelude::*;

#[path = "../fuzz/checks/follow_journal.rs"]
mod follow_journal;

#[test]
fn every_kept_input_passes() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/follow_journal");
    let mut count = 0;
    for file in fs::read_dir(corpus).expect("the corpus") {
        follow_journal::check(&fs::read(file.expect("a file").path()).expect("readable"));
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_pieces_of_a_growing_journal_make_no_difference(input in prop::collection::vec(any::<u8>(), 0..80)) {
        follow_journal::check(&input);
    }
}
