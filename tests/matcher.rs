//! The matcher against a naive reference and the trie against the matcher: on the kept corpus of
//! the fuzz target and on generated patterns.

use std::path::Path;

use proptest::prelude::*;
use ringpost::topic::{Pattern, Trie};

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

/// Each of these takes longer than anybody waits if a wildcard is tried in every way. The reference
/// fills a table, so it ends; the pattern and the trie must too.
#[test]
fn hostile_patterns_end() {
    let topic = vec!["a"; 127].join(".");
    let text = "a".repeat(255);
    let many = vec!["**.a"; 120].join(".");
    let mut hostile = vec![
        format!("{many}.b"),
        format!("{many}.**.b"),
        format!("**.{}.b", vec!["*"; 120].join(".")),
        format!("{}.b", vec!["**"; 300].join(".")),
        vec!["*.**"; 100].join("."),
        format!("mqtt:{}/#", vec!["+"; 200].join("/")),
        format!("mqtt:{}", "/".repeat(1000)),
        format!("nats:{}.>", vec!["*"; 126].join(".")),
        format!("glob:{}b", "*a".repeat(500)),
        format!("glob:{}b", "?*".repeat(120)),
        format!("glob:{}b", "*[!b]".repeat(120)),
        "re:(a*)*b".to_owned(),
        "re:^(a|aa|a.a)+$".to_owned(),
    ];
    // A trie of patterns that have all beginnings in common.
    hostile.extend((1..18).map(|n| vec!["**.a"; n].join(".")));
    for part in hostile.chunks(30) {
        for topic in [&topic, &text] {
            let input = part.iter().fold(topic.clone(), |text, pattern| text + "\n" + pattern);
            match_topic::check(input.as_bytes());
        }
    }
}

/// Every way to put `a`, `*` and `**` in six places: most beginnings are shared, and at each token
/// of the topic most nodes are reached again.
#[test]
fn a_trie_of_everything_finds_each_match_once() {
    let mut patterns = vec![String::new()];
    let mut all = Vec::new();
    for _ in 0..6 {
        patterns = patterns
            .iter()
            .flat_map(|start| ["a", "*", "**"].map(|token| format!("{start}.{token}")))
            .collect();
        all.extend(patterns.iter().map(|text| Pattern::parse(&text[1..]).unwrap()));
    }
    let mut trie = Trie::new();
    for (id, pattern) in (0..).zip(&all) {
        trie = trie.insert(pattern, id, ());
    }
    for topic in ["a", "a.a.a", "a.b:a/a.a", "b.b.b.b.b", "a.a.a.a.a.a.a.a.a.a.a.a"] {
        let mut found = Vec::new();
        trie.for_each_match(topic, |id, ()| found.push(id));
        found.sort_unstable();
        let expected = (0..).zip(&all).filter(|(_, pattern)| pattern.matches(topic));
        assert_eq!(found, expected.map(|(id, _)| id).collect::<Vec<u64>>(), "{topic}");
    }
}

#[test]
fn one_id_may_have_many_patterns_and_one_pattern_many_ids() {
    let [star, colon, all, glob] =
        ["a.*", "a:*", "**", "glob:a*"].map(|text| Pattern::parse(text).unwrap());
    let mut trie = Trie::new();
    for (pattern, id, leaf) in
        [(&star, 1, 'x'), (&all, 1, 'y'), (&glob, 1, 'z'), (&star, 2, 'v'), (&star, 2, 'w')]
    {
        trie = trie.insert(pattern, id, leaf);
    }
    let found = |trie: &Trie<char>| {
        let mut found = Vec::new();
        trie.for_each_match("a.b", |id, &leaf| found.push((id, leaf)));
        found.sort_unstable();
        found
    };
    assert_eq!(found(&trie), [(1, 'x'), (1, 'y'), (1, 'z'), (2, 'w')]);
    assert_eq!(trie.len(), 4);
    // The other way to write `a.*` is the same pattern; what is not there changes nothing.
    let fewer = trie.remove(&colon, 1).remove(&colon, 3).remove(&all, 2).remove(&glob, 9);
    assert_eq!(found(&fewer), [(1, 'y'), (1, 'z'), (2, 'w')]);
    assert_eq!((fewer.len(), trie.len()), (3, 4));
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
    #![proptest_config(ProptestConfig::with_cases(1_000))]

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
