//! The matcher against a naive reference and the trie against the matcher: on the kept corpus of
//! the fuzz target and on generated patterns.

use std::path::Path;

use proptest::prelude::*;

#[path = "../fuzz/checks/match_topic.rs"]
mod match_topic;

#[test]
fn the_kept_corpus_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/match_topic");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the corpus is part of the repository") {
        match_topic::check(&std::fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "only {count} files of corpus");
}

/// Few tokens and all separators, so that patterns and topics often meet.
fn topic() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec!["a", "b", "ab", "$", "é", "*", ""]);
    let separator = prop::sample::select(vec![".", ".", ":", "/"]);
    (token.clone(), prop::collection::vec((separator, token), 0..7)).prop_map(|(first, rest)| {
        rest.iter().fold(first.to_owned(), |text, (separator, token)| text + separator + token)
    })
}

fn pattern() -> impl Strategy<Value = String> {
    let dialect = prop::sample::select(vec!["", "", "", "mqtt:", "nats:"]);
    let token = prop::sample::select(vec![
        "a", "b", "ab", "$", "é", "*", "*", "**", "**", ">", "+", "#", "",
    ]);
    let separator = prop::sample::select(vec![".", ".", ":", "/"]);
    let tokens = (dialect, token.clone(), prop::collection::vec((separator, token), 0..6));
    let tokens = tokens.prop_map(|(dialect, first, rest)| {
        let text = dialect.to_owned() + first;
        rest.iter().fold(text, |text, (separator, token)| text + separator + token)
    });
    let plain = (prop::sample::select(vec!["glob:", "prefix:", "re:"]), "[ab.$?*é\\\\^]{0,7}");
    prop_oneof![3 => tokens, 1 => plain.prop_map(|(dialect, text)| dialect.to_owned() + &text)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn trie_and_matcher_agree_with_the_reference(
        topic in topic(), patterns in prop::collection::vec(pattern(), 1..32)
    ) {
        let input = patterns.iter().fold(topic, |text, pattern| text + "\n" + pattern);
        match_topic::check(input.as_bytes());
    }

    #[test]
    fn any_text_is_safe(lines in prop::collection::vec("[ -~\u{e9}\u{0}]{0,40}", 1..8)) {
        match_topic::check(lines.join("\n").as_bytes());
    }
}
