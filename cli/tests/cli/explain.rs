//! `explain`, `completions`, `man`, and the command line itself.

use std::fs;

use serde_json::json;

use crate::support::Place;

#[test]
fn explain_says_whether_and_why() {
    let place = Place::new();
    let matches = place.run(&["explain", "registry:*:config", "registry:bots:config"]);
    assert_eq!((matches.code, &*matches.err), (Some(0), ""));
    let (sentence, end) = matches.out.split_at(matches.out.len() - 2);
    assert!(sentence.starts_with("`registry:*:config` (native) matches `registry:bots:config`: "));
    assert!(end == ".\n" && !sentence.contains('\n'), "{}", matches.out);
    let not = place.run(&["explain", "mqtt:a/+", "a/b/c"]);
    assert_eq!(not.code, Some(3));
    assert!(not.out.starts_with("`mqtt:a/+` (mqtt) does not match `a/b/c`: "), "{}", not.out);
}

#[test]
fn explain_answers_programs() {
    let place = Place::new();
    let matches = place.run(&["explain", "--json", "re:^llm\\.", "llm.call"]);
    assert_eq!(
        (matches.code, matches.keys()),
        (Some(0), vec!["matches".into(), "dialect".into(), "reason".into()])
    );
    let answer = matches.json();
    assert_eq!((&answer["matches"], &answer["dialect"]), (&json!(true), &json!("re")));
    let not = place.run(&["explain", "a", "b", "--json"]);
    assert_eq!((not.code, &not.json()["matches"]), (Some(3), &json!(false)));
}

#[test]
fn explain_refuses_what_is_no_pattern_or_no_topic() {
    let place = Place::new();
    let pattern = place.fails(&["explain", "a..b", "a"], 2);
    assert!(pattern.starts_with("error: `a..b` is no pattern: "), "{pattern}");
    let topic = place.fails(&["explain", "a.*", "a..b"], 2);
    assert!(topic.starts_with("error: `a..b` is no topic: "), "{topic}");
    // A dialect's own rules decide what a topic is.
    assert_eq!(place.run(&["explain", "mqtt:a//+", "a//b"]).code, Some(0));
}

#[test]
fn nothing_foreign_reaches_a_terminal_unescaped() {
    let place = Place::new();
    let told = place.fails(&["explain", "a", "x\u{1b}]0;t\u{7}\n\u{202e}\u{9b}2J"], 2);
    assert_eq!(told.matches('\n').count(), 1, "{told:?}");
    assert!(!told.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}']), "{told:?}");
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    let place = Place::new();
    for arguments in [
        &[][..],
        &["nonsense"],
        &["explain", "a"],
        &["pub", "--nonsense"],
        &["pub", "--source", "/only/with/type"],
        &["tail", "--from", "yesterday", "j"],
        &["tail", "--from", "first", "-n", "1", "j"],
        &["tail", "--type", "a..b", "j"],
        &["tail", "--subject", "re:(", "j"],
        &["bench", "--mailbox", "0"],
        &["bench", "--rate", "0"],
        &["bench", "--overflow", "explode"],
        &["man", "nonsense"],
    ] {
        let ended = place.run(arguments);
        assert_eq!((ended.code, &*ended.out), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(!ended.err.is_empty(), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["pub", "-h"], &["bench", "--help"]] {
        let ended = place.run(arguments);
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{arguments:?}");
        assert!(!ended.out.is_empty() && !ended.out.contains('\u{1b}'), "{arguments:?}");
    }
}

const VERBS: [&str; 8] =
    ["pub", "tail", "stats", "verify", "bench", "explain", "completions", "man"];

#[test]
fn completions_know_every_verb() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = place.run(&["completions", shell]);
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{shell}");
        for verb in VERBS {
            assert!(ended.out.contains(verb), "{shell} does not know {verb}");
        }
    }
    assert_eq!(place.run(&["completions", "csh"]).code, Some(2));
}

#[test]
fn there_is_a_manual_page_for_the_command_and_each_verb() {
    let place = Place::new();
    let page = place.run(&["man"]);
    assert_eq!((page.code, &*page.err), (Some(0), ""));
    assert!(page.out.contains(".TH ringpost 1") && page.out.contains("Exit codes"), "{}", page.out);
    let page = place.run(&["man", "tail"]);
    assert!(page.out.contains("\\-\\-no\\-follow"), "{}", page.out);
    assert_eq!(place.run(&["man", "--dir", "pages"]).code, Some(0));
    for verb in VERBS {
        let page = fs::read_to_string(place.path(&format!("pages/ringpost-{verb}.1"))).unwrap();
        assert!(
            page.contains(&format!("ringpost {verb}"))
                || page.contains(&format!("ringpost\\-{verb}")),
            "{page}"
        );
    }
    assert!(place.path("pages/ringpost.1").exists());
}
