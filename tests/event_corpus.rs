//! The kept corpus of the fuzz target for JSON lines, replayed.

use std::path::Path;

#[path = "../fuzz/checks/decode_json.rs"]
mod decode_json;

#[test]
fn the_kept_corpus_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decode_json");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the corpus is part of the repository") {
        decode_json::check(&std::fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 20, "only {count} files of corpus");
}
