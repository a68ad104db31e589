//! The scanner, with serde_json as its oracle.
#![forbid(unsafe_code)]

use super::*;
use proptest::prelude::*;

fn is_json(text: &str) -> bool {
    Scanner::new(text).lone_value(MAX_DEPTH).is_ok()
}

#[test]
fn depth_is_counted_exactly() {
    let nested = |n: usize| format!("{}1{}", "[{\"a\":".repeat(n), "}]".repeat(n));
    assert!(Scanner::new(&nested(4)).value(8).is_ok());
    let fault = Scanner::new(&nested(4)).value(7).unwrap_err();
    assert_eq!(fault.kind, FaultKind::TooDeep);
    assert!(is_json(&nested(64)));
    assert_eq!(Scanner::new(&nested(65)).value(1000).unwrap_err().kind, FaultKind::TooDeep);
    assert_eq!(Scanner::new(&"[".repeat(100_000)).value(9).unwrap_err().offset, 9);
}

#[test]
fn surrogates_come_in_pairs_or_not_at_all() {
    assert_eq!(unescape(r"a\ud834\udd1e\/\u00e9"), "a𝄞/é");
    for lone in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\n""#, r#"["\ud800\ud800"]"#] {
        let kind = Scanner::new(lone).value(9).unwrap_err().kind;
        assert_eq!(kind, FaultKind::LoneSurrogate, "{lone}");
    }
    assert_eq!(Scanner::new(r#""\ud80""#).value(9).unwrap_err().kind, FaultKind::BadEscape);
}

/// Fragments that make JSON, or nearly.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u00e9\\n\"",
        "1",
        "-0.5e+3",
        "01",
        "-",
        "true",
        "false",
        "null",
        "nul",
        " ",
        "\n",
        "\"",
        "\\",
        "é",
        "\u{1}",
        "1e400",
        "\"\u{7f}\"",
        "{}",
        "\"long enough for a word or two\"",
        "[]",
        "{\"k\":[1,2]}",
    ]);
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

proptest! {
    /// serde_json is the oracle; it alone minds a number's size.
    #[test]
    fn the_scanner_accepts_what_serde_json_accepts(text in nearly_json()) {
        let oracle = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(is_json(&text), oracle);
    }

    #[test]
    fn values_are_accepted_and_strings_read_as_serde_json_does(text in any::<String>()) {
        let raw = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(Scanner::new(&raw).string().unwrap().text(), &*text);
        let ascii: String = text.encode_utf16().map(|u| format!("\\u{u:04x}")).collect();
        prop_assert_eq!(unescape(&ascii), &*text);
    }
}
