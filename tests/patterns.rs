//! Tables of patterns and topics: our own in `tests/tables`, and those that other projects test
//! their matchers with in `../shared/data/matching`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ringpost::topic::{Pattern, Topic, Trie};
use serde_json::Value;

/// A line of a table.
struct Case(Value, String);

impl Case {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("{self}: no {key}"))
    }

    fn expect(&self) -> bool {
        self.0["expect"].as_bool().unwrap_or_else(|| panic!("{self}: neither true nor false"))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.1, self.0)
    }
}

fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let cases = text.lines().zip(1..).map(|(line, number)| {
        Case(serde_json::from_str(line).expect("a line is an object"), format!("{name}:{number}"))
    });
    cases.collect()
}

fn own(name: &str) -> Vec<Case> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(name))
}

/// The shared table, or none (said aloud) where the shared data is not laid out beside us.
fn shared(name: &str) -> Option<Vec<Case>> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/matching"));
    let path = path.join(name);
    if path.exists() {
        return Some(read(&path));
    }
    let must = std::env::var_os("RINGPOST_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(!must, "{} is not there", path.display());
    eprintln!("skipped: {} not present", path.display());
    None
}

/// What we say about a pattern and a topic, with the trie and the explanation asked too: `None` if
/// either is refused.
fn ask(pattern: &str, topic: &str, case: &Case) -> Option<bool> {
    let pattern = Pattern::parse(pattern).ok()?;
    pattern.check_topic(topic).ok()?;
    let matches = pattern.matches(topic);
    let mut found = false;
    let trie = Trie::new().insert(&pattern, 1, ());
    trie.for_each_match(topic, |_, ()| found = true);
    assert_eq!(found, matches, "{case}: the trie says otherwise");
    let explanation = pattern.explain(topic);
    assert_eq!(explanation.matches, matches, "{case}: {}", explanation.reason);
    assert!(!explanation.reason.contains('\n') || topic.contains('\n'), "{case}: one sentence");
    Some(matches)
}

fn expected(case: &Case) -> Option<bool> {
    if case.0["expect"] == "error" { None } else { Some(case.expect()) }
}

fn check_own(name: &str) {
    for case in own(name) {
        assert_eq!(ask(case.text("pattern"), case.text("topic"), &case), expected(&case), "{case}");
    }
}

#[test]
fn native_patterns_match_as_our_table_says() {
    check_own("native.jsonl");
}

#[test]
fn reserved_topics_are_seen_only_by_patterns_that_start_with_a_dollar() {
    check_own("reserved.jsonl");
}

#[test]
fn mqtt_patterns_match_as_our_table_says() {
    check_own("mqtt.jsonl");
}

#[test]
fn nats_patterns_match_as_our_table_says() {
    check_own("nats.jsonl");
}

#[test]
fn prefixes_and_regular_expressions_match_as_our_table_says() {
    check_own("other.jsonl");
}

/// The answers in this table are those of Python 3.11's `fnmatch.fnmatchcase`.
#[test]
fn globs_match_as_python_says() {
    check_own("glob.jsonl");
}

#[test]
fn a_refused_pattern_says_where_and_what_to_do() {
    for case in own("refused.jsonl") {
        let error = Pattern::parse(case.text("pattern")).expect_err(&case.to_string());
        assert_eq!(error.at().map(|at| at as u64), case.0["at"].as_u64(), "{case}: {error}");
        let message = error.to_string();
        assert!(message.contains(case.text("says")), "{case}: {message}");
        assert!(!message.contains('\n') && !message.ends_with('.'), "{case}: {message}");
    }
}

#[test]
fn a_refused_topic_says_where_and_what_to_do() {
    for case in own("topics.jsonl") {
        let result = Topic::new(case.text("topic"));
        assert_eq!(result.is_ok(), case.expect(), "{case}");
        let Err(error) = result else { continue };
        assert_eq!(error.at().map(|at| at as u64), case.0["at"].as_u64(), "{case}: {error}");
        assert!(error.to_string().contains(case.text("says")), "{case}: {error}");
    }
}

#[test]
fn nats_server_agrees() {
    let Some(cases) = shared("nats.jsonl") else { return };
    let any = Pattern::parse("nats:>").unwrap();
    for case in &cases {
        let parse = || Pattern::parse(&format!("nats:{}", case.text("pattern")));
        let ours = match case.text("op") {
            "valid_publish_subject" => any.check_topic(case.text("subject")).is_ok(),
            "valid_subscribe_pattern" => parse().is_ok(),
            "is_literal" => {
                // The table calls the text a subject; we ask it of the pattern it would make.
                let text = case.0["pattern"].as_str().unwrap_or_else(|| case.text("subject"));
                Pattern::parse(&format!("nats:{text}")).unwrap().literal_topic().is_some()
            }
            // The server matches subjects that it would not let be published, such as `*bar`.
            "match" => parse().unwrap().matches(case.text("subject")),
            op => panic!("{case}: unknown {op}"),
        };
        assert_eq!(ours, case.expect(), "{case}");
    }
}

#[test]
fn mosquitto_and_paho_agree() {
    for name in ["mqtt-mosquitto.jsonl", "mqtt-paho.jsonl"] {
        for case in shared(name).unwrap_or_default() {
            let ours = ask(&format!("mqtt:{}", case.text("pattern")), case.text("subject"), &case);
            assert_eq!(ours, expected(&case), "{case}");
        }
    }
}

#[test]
fn python_agrees() {
    for case in shared("fnmatch-cpython.jsonl").unwrap_or_default() {
        let ours = ask(&format!("glob:{}", case.text("pattern")), case.text("subject"), &case);
        assert_eq!(ours, expected(&case), "{case}");
    }
}

/// Why `glob:`, which is Python's, answers some of globset's cases differently.
const GLOBSET: [(&str, &[&str]); 6] = [
    (
        "between slashes `**` is zero or more folders; in Python it is `*`, and the slashes stay",
        &[
            "matchrec1",
            "matchrec9",
            "matchrec10",
            "matchrec12",
            "matchrec15",
            "matchrec18",
            "matchrec19",
            "matchrec21",
        ],
    ),
    (
        "`{a,b}` are alternatives; in Python braces are plain",
        &[
            "matchalt3",
            "matchalt4",
            "matchalt5",
            "matchalt6",
            "matchalt7",
            "matchalt8",
            "matchalt9",
            "matchalt10",
            "matchalt11",
            "matchalt12",
            "matchalt13",
            "matchalt14",
            "matchalt16",
            "matchalt17",
            "matchalt18",
            "matchalt19",
        ],
    ),
    (
        "`[^a]` negates like `[!a]`; in Python `^` is plain",
        &["matchrange12", "matchnot27", "matchnot28", "matchnot29"],
    ),
    (
        "a backslash makes the next character plain; in Python it is plain itself",
        &["matchbackslash1", "matchbackslash2", "matchbackslash3", "matchbackslash7"],
    ),
    (
        "with its option `case_insensitive`; fnmatchcase has none",
        &["matchcasei2", "matchcasei3", "matchcasei4"],
    ),
    (
        "with its option `literal_separator`; Python's wildcards cross slashes",
        &["matchslash2", "matchslash3", "matchnot25", "matchrec31", "matchrec32"],
    ),
];

/// globset is another dialect: this pins down where it and `glob:` part, so that neither is
/// mistaken for the other.
#[test]
fn globset_differs_only_where_its_language_does() {
    let Some(cases) = shared("glob-globset.jsonl") else { return };
    let mut reasons: BTreeMap<&str, &str> = BTreeMap::new();
    for (reason, names) in GLOBSET {
        names
            .iter()
            .for_each(|name| assert_eq!(reasons.insert(name, reason), None, "{name} twice"));
    }
    for case in &cases {
        let ours = ask(&format!("glob:{}", case.text("pattern")), case.text("subject"), case);
        let agrees = ours == expected(case);
        match reasons.remove(case.text("name")) {
            None => assert!(agrees, "{case}: we say {ours:?}, and no reason is listed"),
            Some(reason) => assert!(!agrees, "{case}: listed as different ({reason})"),
        }
    }
    assert!(reasons.is_empty(), "not in the table: {reasons:?}");
}
