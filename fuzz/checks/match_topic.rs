//! What must hold for any topic and any patterns: one function, called by the fuzz target and by a
//! plain test that replays the kept corpus.

use ringpost::topic::{Pattern, Topic, Trie};

/// The first line is a topic, every further line a pattern.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let topic = lines.next().unwrap_or_default();
    let patterns: Vec<Pattern> =
        lines.take(32).filter_map(|line| Pattern::parse(line).ok()).collect();
    for pattern in &patterns {
        agrees_with_the_reference(pattern, topic);
    }
    // One pattern under each id, then without every other, then without any.
    let mut trie = Trie::new();
    for (id, pattern) in (0..).zip(&patterns) {
        trie = trie.insert(pattern, id, id);
    }
    let full = trie.clone();
    finds_what_matches(&full, &patterns, topic, 1);
    for (id, pattern) in (0..).zip(&patterns).filter(|(id, _)| id % 2 == 1) {
        trie = trie.remove(pattern, id);
    }
    finds_what_matches(&trie, &patterns, topic, 2);
    finds_what_matches(&full, &patterns, topic, 1);
    for (id, pattern) in (0..).zip(&patterns) {
        trie = trie.remove(pattern, id);
    }
    assert!(trie.is_empty());
    trie.for_each_match(topic, |id, _| panic!("{:?} is still there", patterns[id as usize]));
}

fn finds_what_matches(trie: &Trie<u64>, patterns: &[Pattern], topic: &str, step: usize) {
    let ids = (0..patterns.len()).step_by(step);
    assert_eq!(trie.len(), ids.len());
    let expected: Vec<u64> =
        ids.filter(|&id| patterns[id].matches(topic)).map(|id| id as u64).collect();
    let mut found = Vec::new();
    trie.for_each_match(topic, |id, &leaf| {
        assert_eq!(id, leaf);
        found.push(id);
    });
    found.sort_unstable();
    assert_eq!(found, expected, "on {topic:?}, of {patterns:?}");
}

fn agrees_with_the_reference(pattern: &Pattern, topic: &str) {
    let matches = pattern.matches(topic);
    if let Some(expected) = reference(pattern.as_str(), topic) {
        assert_eq!(matches, expected, "{pattern:?} on {topic:?}");
    }
    let explanation = pattern.explain(topic);
    assert_eq!(explanation.matches, matches, "{pattern:?} on {topic:?}: {}", explanation.reason);
    if let Some(literal) = pattern.literal_topic() {
        assert_eq!(matches, literal == topic, "{pattern:?} on {topic:?}");
    }
    if pattern.matches_everything() && Topic::check(topic).is_ok() && !topic.starts_with('$') {
        assert!(matches, "{pattern:?} on {topic:?}");
    }
    let again = Pattern::parse(pattern.as_str()).expect("a pattern's text is a pattern");
    assert_eq!((again.dialect(), again.matches(topic)), (pattern.dialect(), matches));
}

/// The rules once more, by filling a table of what fits what, straight from the text. `None`
/// where it does not know the dialect well enough.
fn reference(pattern: &str, topic: &str) -> Option<bool> {
    let (dialect, body) = match pattern.split_once(':') {
        Some((dialect @ ("glob" | "prefix" | "mqtt" | "nats" | "re"), body)) => (dialect, body),
        _ => ("native", pattern),
    };
    let matches = match dialect {
        "native" => tokens_fit(body, topic, &['.', ':', '/'], ["*", "**", ">"]),
        "nats" => tokens_fit(body, topic, &['.'], ["*", "", ">"]),
        "mqtt" => tokens_fit(body, topic, &['/'], ["+", "#", ""]),
        "prefix" => topic.starts_with(body),
        "glob" if !body.contains('[') => glob_fits(body, topic),
        _ => return None,
    };
    Some(matches && (body.starts_with('$') || !topic.starts_with('$')))
}

/// `wildcards` for one token, for any number and, at the end, for one or more; an empty token is
/// never a wildcard.
fn tokens_fit(pattern: &str, topic: &str, separators: &[char], wildcards: [&str; 3]) -> bool {
    // Each token with the separator before it.
    let cut = |text: &str| -> Vec<(Option<char>, String)> {
        let mut tokens = vec![(None, String::new())];
        for c in text.chars() {
            if separators.contains(&c) {
                tokens.push((Some(c), String::new()));
            } else {
                tokens.last_mut().expect("never empty").1.push(c);
            }
        }
        tokens
    };
    let (pattern, topic) = (cut(pattern), cut(topic));
    let [one, many, rest] = wildcards;
    let is = |token: &str, wildcard: &str| !wildcard.is_empty() && token == wildcard;
    let is_rest = |i: usize| i + 1 == pattern.len() && is(&pattern[i].1, rest);
    let is_wild = |i: usize| is(&pattern[i].1, one) || is(&pattern[i].1, many) || is_rest(i);
    // fits[i][j]: the pattern from token i on fits the topic from token j on.
    let mut fits = vec![vec![false; topic.len() + 1]; pattern.len() + 1];
    fits[pattern.len()][topic.len()] = true;
    for i in (0..pattern.len()).rev() {
        for j in (0..=topic.len()).rev() {
            let left = j < topic.len();
            fits[i][j] = if is_rest(i) {
                left
            } else if is(&pattern[i].1, many) {
                fits[i + 1][j] || (left && fits[i][j + 1])
            } else if is(&pattern[i].1, one) {
                left && fits[i + 1][j + 1]
            } else {
                let joined = |j: usize| i == 0 || is_wild(i - 1) || pattern[i].0 == topic[j].0;
                left && pattern[i].1 == topic[j].1 && joined(j) && fits[i + 1][j + 1]
            };
        }
    }
    fits[0][0]
}

fn glob_fits(pattern: &str, topic: &str) -> bool {
    let (pattern, topic): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), topic.chars().collect());
    let mut fits = vec![vec![false; topic.len() + 1]; pattern.len() + 1];
    fits[pattern.len()][topic.len()] = true;
    for i in (0..pattern.len()).rev() {
        for j in (0..=topic.len()).rev() {
            let left = j < topic.len();
            fits[i][j] = match pattern[i] {
                '*' => fits[i + 1][j] || (left && fits[i][j + 1]),
                '?' => left && fits[i + 1][j + 1],
                c => left && c == topic[j] && fits[i + 1][j + 1],
            };
        }
    }
    fits[0][0]
}
