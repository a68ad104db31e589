//! Where in an event a condition looks: `data.items[0].price`, `subject`.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::str::FromStr;

use super::condition::ConditionError;
use crate::event::json::outline::Outline;
use crate::event::json::scan::{MAX_DEPTH, Scanner};

/// A place in an event: an attribute by its CloudEvents name, or a value inside `data`.
///
/// Written as names with dots between them; `[3]` is an element of an array and `["a.b"]` a name
/// that holds what would mean something else. Where an object has a name twice the last one
/// counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The event's member.
    root: String,
    /// The way inside it.
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Element(usize),
}

impl Path {
    /// A path from its text.
    ///
    /// # Errors
    ///
    /// If it is empty, has an empty name, a bracket that is not closed, or leads into an
    /// attribute other than `data`.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        match Self::read(text)? {
            (path, "") => Ok(path),
            (_, rest) => Err(ConditionError::new(format!("`{rest}` is no part of a path"))),
        }
    }

    /// The path at the start of a text, and what follows it.
    pub(super) fn read(text: &str) -> Result<(Self, &str), ConditionError> {
        let (root, mut rest) = name(text)?;
        let mut steps = Vec::new();
        loop {
            if let Some(inner) = rest.strip_prefix('.') {
                let (name, behind) = name(inner)?;
                steps.push(Step::Name(name.to_owned()));
                rest = behind;
            } else if let Some(inner) = rest.strip_prefix('[') {
                let (step, behind) = bracket(inner)?;
                steps.push(step);
                rest = behind;
            } else {
                break;
            }
        }
        if root != "data" && !steps.is_empty() {
            let told = format!("`{root}` is an attribute: only `data` has something inside");
            return Err(ConditionError::new(told));
        }
        Ok((Self { root: root.to_owned(), steps }, rest))
    }

    /// The last name, if a line has to spell it where there is anything at this place.
    pub(super) fn needle(&self) -> Option<&str> {
        let named = self.steps.iter().rev().find_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Element(_) => None,
        });
        match (named, &*self.root) {
            (Some(name), _) => Some(name),
            // Every event has these, written or not.
            (None, "topic" | "id" | "type" | "source" | "data") => None,
            (None, root) => Some(root),
        }
    }

    /// The JSON value at this place of the event.
    pub(super) fn find<'a>(&self, event: &Outline<'a>) -> Option<&'a str> {
        let root = match &*self.root {
            "data" => event.payload()?,
            attribute => event.member(attribute)?,
        };
        self.steps.iter().try_fold(root, |value, step| match step {
            Step::Name(name) => member(value, name),
            Step::Element(number) => element(value, *number),
        })
    }
}

impl FromStr for Path {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        Self::parse(text)
    }
}

/// A name up to a character that means something else.
fn name(text: &str) -> Result<(&str, &str), ConditionError> {
    let special = |c: char| c.is_whitespace() || ".[]=!<>~".contains(c);
    let (name, rest) = text.split_at(text.find(special).unwrap_or(text.len()));
    if name.is_empty() {
        return Err(ConditionError::new(format!("a name is missing before `{rest}`")));
    }
    Ok((name, rest))
}

/// The inside of a bracket, behind its opening.
fn bracket(text: &str) -> Result<(Step, &str), ConditionError> {
    let unclosed = || ConditionError::new(format!("`[{text}` is not a number or a quoted name"));
    if text.starts_with('"') {
        let mut scanner = Scanner::new(text);
        let name = scanner.string().map_err(|_| unclosed())?.text();
        let rest = &text[text.len() - scanner.left()..];
        let rest = rest.strip_prefix(']').ok_or_else(unclosed)?;
        return Ok((Step::Name(Cow::into_owned(name)), rest));
    }
    let (number, rest) = text.split_once(']').ok_or_else(unclosed)?;
    let number = number.trim().parse().map_err(|_| unclosed())?;
    Ok((Step::Element(number), rest))
}

/// The last member of this name in an object that was scanned before.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut scanner = Scanner::new(object);
    if !scanner.take(b'{') {
        return None;
    }
    scanner.skip_blanks();
    let mut found = None;
    while scanner.peek() == Some(b'"') {
        let key = scanner.key().ok()?;
        let value = scanner.value(MAX_DEPTH).ok()?;
        if key.text() == name {
            found = Some(value);
        }
        scanner.skip_blanks();
        scanner.take(b',');
        scanner.skip_blanks();
    }
    found
}

/// An element of an array that was scanned before.
fn element(array: &str, number: usize) -> Option<&str> {
    let mut scanner = Scanner::new(array);
    if !scanner.take(b'[') {
        return None;
    }
    scanner.skip_blanks();
    for _ in 0..number {
        scanner.value(MAX_DEPTH).ok()?;
        scanner.skip_blanks();
        if !scanner.take(b',') {
            return None;
        }
        scanner.skip_blanks();
    }
    scanner.value(MAX_DEPTH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str) -> Option<&'static str> {
        const LINE: &[u8] = br#"{"id":"1","type":"t","data": { "a" : [ 1 , {"b.c":2,"d":3,"d":4} ], "e\u0066":5, "g":{} }}"#;
        Path::parse(path).unwrap().find(&Outline::of(LINE).unwrap())
    }

    #[test]
    fn paths_lead_into_objects_and_arrays() {
        assert_eq!(find("data.a[0]"), Some("1"));
        assert_eq!(find(r#"data.a[1]["b.c"]"#), Some("2"));
        assert_eq!(find("data.a[1].d"), Some("4"), "the last of a name counts");
        assert_eq!(find("data.ef"), Some("5"));
        assert_eq!(find("data.g"), Some("{}"));
        assert_eq!(find("topic"), Some("\"t\""));
        for missing in ["data.x", "data.a[2]", "data.a.b", "data.g.h", "data[0]", "subject"] {
            assert_eq!(find(missing), None, "{missing}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in
            ["", ".a", "data.", "data..a", "data[", "data[x]", "data[\"a]", "subject.a", "data]"]
        {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
