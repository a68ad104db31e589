//! Text from elsewhere, made harmless for a terminal.
//!
//! Every message on standard error passes through here, and whatever goes to standard output
//! while that is a terminal. An event's topic must not be able to move a cursor, set a title,
//! forge a line or turn the reading direction.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Control characters (C0, DEL, C1), line separators and marks of writing direction.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Displays a text on one line, with escapes for what a terminal might obey.
pub(crate) struct Visible<'a>(pub(crate) &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (at, c) in self.0.char_indices().filter(|(_, c)| is_hostile(*c)) {
            f.write_str(&self.0[plain..at])?;
            write!(f, "{}", c.escape_default())?;
            plain = at + c.len_utf8();
        }
        f.write_str(&self.0[plain..])
    }
}

/// The same JSON, with escapes inside its strings for what a terminal might obey.
pub(crate) fn visible_json(json: &str) -> Cow<'_, str> {
    // A tab may stand between tokens, where an escape must not; the rest stands only in strings.
    let hostile = |c: char| is_hostile(c) && !matches!(c, '\t' | '\n' | '\r');
    if !json.contains(hostile) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if hostile(c) {
            // All of them lie in the basic plane: one escape each. Writing to a string can't fail.
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\n{\"seq\":1}\u{1b}]0;x\u{7}\u{9b}2J\u{202e}b\u{2028}\u{7f}";

    #[test]
    fn a_hostile_text_is_one_line_without_a_raw_escape() {
        let shown = Visible(HOSTILE).to_string();
        assert_eq!(shown, r#"a\n{"seq":1}\u{1b}]0;x\u{7}\u{9b}2J\u{202e}b\u{2028}\u{7f}"#);
        assert_eq!(Visible("plain é ✓").to_string(), "plain é ✓");
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let raw = "{\"a\":\"\u{9b}2J\u{202e}\u{7f}é\",\t\"b\":1}";
        let safe = visible_json(raw);
        assert!(!safe.contains(['\u{9b}', '\u{202e}', '\u{7f}']), "{safe}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&safe), parse(raw));
        assert!(matches!(visible_json("{\"a\":\t\"é\"}"), Cow::Borrowed(_)));
    }
}
