//! Entries that can be no extension attribute: they travel as JSON text in the extension `metadata`.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use super::members::Members;

/// The object of such entries, being written.
#[derive(Debug, Default)]
pub(super) struct Remainder {
    names: Vec<String>,
    text: String,
}

impl Remainder {
    /// The extension that carries it.
    pub(super) const NAME: &'static str = "metadata";

    /// Adds an entry; `value` is JSON. Fails if the name is there already.
    pub(super) fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.names.iter().any(|known| known == name) {
            return Err(format!("`{name}` is there twice, as a member and in metadata"));
        }
        self.names.push(name.to_owned());
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        push_legal(&mut self.text, &quoted(name));
        self.text.push(':');
        push_legal(&mut self.text, value);
        Ok(())
    }

    /// The object's text, if there are entries.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push('}');
        Some(self.text)
    }
}

/// The entries of the attribute's value, if it is a text that holds an object.
pub(super) fn entries(value: &str) -> Option<Vec<(String, String)>> {
    let text: String = serde_json::from_str(value).ok()?;
    let members = Members::read(text.as_bytes()).ok()?;
    Some(members.all().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON without the characters that an attribute must not hold: the same JSON with escapes.
fn push_legal(out: &mut String, json: &str) {
    for c in json.chars() {
        let is_noncharacter =
            matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
        match c {
            // Only between tokens, where a space is as good.
            '\t' | '\n' | '\r' => out.push(' '),
            _ if c.is_control() || is_noncharacter => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(c),
        }
    }
}
