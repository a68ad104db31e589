//! `--where`: a place in the event, a comparison, and a value.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::decimal::Decimal;
use super::path::Path;
use crate::event::json::outline::Outline;
use crate::event::json::place::string;
use crate::event::json::scan::{MAX_DEPTH, Scanner};

/// A condition on an event, from a text such as `data.price >= 100`.
///
/// | text | holds if the place |
/// |---|---|
/// | `PATH == VALUE`, `PATH != VALUE` | is there and is, or is not, this value |
/// | `PATH < VALUE`, `<=`, `>`, `>=` | holds a number against a number, or a text against a text (by its bytes) |
/// | `PATH =~ REGEX` | holds a text in which the expression is found |
/// | `PATH exists` | is there, `null` included |
/// | `PATH in [VALUE, ...]` | is one of these values |
///
/// A value is JSON (`100`, `"text"`, `true`, `null`), a text in single quotes, or a bare word,
/// which is a text. Numbers are compared exactly, however large or small they are, and by what
/// they mean: `1e2 == 100`. Values of different kinds are never equal. Nothing holds for a place
/// that is not there.
///
/// ```
/// use ringpost::store::journal::query::{Condition, ConditionError};
///
/// let dear: Condition = "data.price >= 9007199254740993".parse()?;
/// assert_eq!(dear.to_string(), "data.price >= 9007199254740993");
/// assert!("data.price >=".parse::<Condition>().is_err());
/// # Ok::<(), ConditionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Condition {
    text: String,
    path: Path,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Compare(Comparison, Value),
    Found(Regex),
    Exists,
    In(Vec<Value>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Null,
    Boolean(bool),
    /// As it is written.
    Number(String),
    Text(String),
}

/// Why a text is no condition or no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConditionError(String);

impl ConditionError {
    pub(super) fn new(told: impl Into<String>) -> Self {
        Self(told.into())
    }
}

impl Condition {
    /// Whether it holds for the event.
    pub(super) fn holds(&self, event: &Outline<'_>) -> bool {
        let Some(raw) = self.path.find(event) else { return false };
        match &self.test {
            Test::Exists => true,
            Test::Found(regex) => string(raw).is_some_and(|text| regex.is_match(&text)),
            Test::In(values) => values.iter().any(|value| value.equals(raw)),
            Test::Compare(Comparison::Equal, value) => value.equals(raw),
            Test::Compare(Comparison::NotEqual, value) => !value.equals(raw),
            Test::Compare(comparison, value) => {
                value.against(raw).is_some_and(|order| comparison.holds(order))
            }
        }
    }

    /// A text that every line for which it holds has to spell, with its quotes.
    pub(super) fn needle(&self) -> Option<&str> {
        let value = match &self.test {
            Test::Compare(Comparison::Equal, Value::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        [value, self.path.needle()].into_iter().flatten().max_by_key(|text| text.len())
    }
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Value {
    fn equals(&self, raw: &str) -> bool {
        match self {
            Self::Null => raw == "null",
            Self::Boolean(value) => raw == if *value { "true" } else { "false" },
            Self::Number(_) | Self::Text(_) => self.against(raw).is_some_and(Ordering::is_eq),
        }
    }

    /// How what stands there compares to this; none where the two cannot be compared.
    fn against(&self, raw: &str) -> Option<Ordering> {
        match self {
            Self::Number(number) => {
                is_number(raw).then(|| Decimal::of(raw).compare(&Decimal::of(number)))
            }
            Self::Text(text) => string(raw).map(|found| (*found).cmp(text.as_str())),
            Self::Null | Self::Boolean(_) => None,
        }
    }

    /// The value at the start of a text, and what follows; a bare word ends at one of `ends`.
    fn read<'a>(text: &'a str, ends: &[char]) -> Result<(Self, &'a str), ConditionError> {
        if text.starts_with('"') {
            let mut scanner = Scanner::new(text);
            let read = scanner.string();
            let read =
                read.map_err(|_| ConditionError::new(format!("{text} is no JSON string")))?;
            return Ok((
                Self::Text(read.text().into_owned()),
                &text[text.len() - scanner.left()..],
            ));
        }
        if let Some(inner) = text.strip_prefix('\'') {
            let (text, rest) = inner
                .split_once('\'')
                .ok_or_else(|| ConditionError::new(format!("`{text}` has no closing quote")))?;
            return Ok((Self::Text(text.to_owned()), rest));
        }
        let (word, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
        let value = match word.trim_end() {
            "" => return Err(ConditionError::new("a value is missing")),
            "null" => Self::Null,
            "true" => Self::Boolean(true),
            "false" => Self::Boolean(false),
            word if is_number(word) && Scanner::new(word).lone_value(MAX_DEPTH).is_ok() => {
                Self::Number(word.to_owned())
            }
            word if word.starts_with(['{', '[']) => {
                let told = format!(
                    "`{word}` is no value to compare with: objects and arrays are not compared"
                );
                return Err(ConditionError::new(told));
            }
            word => Self::Text(word.to_owned()),
        };
        Ok((value, rest))
    }

    fn only(text: &str) -> Result<Self, ConditionError> {
        match Self::read(text, &[])? {
            (value, rest) if rest.trim().is_empty() => Ok(value),
            (_, rest) => Err(ConditionError::new(format!("`{}` follows the value", rest.trim()))),
        }
    }

    fn list(text: &str) -> Result<Vec<Self>, ConditionError> {
        let wrong = || ConditionError::new(format!("`{text}` is no list: write in [1, 2]"));
        let inner = match text.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']'),
            None => text.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')),
        };
        let mut rest = inner.ok_or_else(wrong)?.trim();
        let mut values = Vec::new();
        while !rest.is_empty() {
            let (value, behind) = Self::read(rest, &[','])?;
            values.push(value);
            rest = behind.trim_start();
            if !rest.is_empty() {
                rest = rest.strip_prefix(',').ok_or_else(wrong)?.trim_start();
                if rest.is_empty() {
                    return Err(wrong());
                }
            }
        }
        Ok(values)
    }
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// An expression, with or without `/` or quotes around it.
fn regex(text: &str) -> Result<Regex, ConditionError> {
    let quoted = ['/', '"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote)));
    match quoted.unwrap_or(text) {
        "" => Err(ConditionError::new("an expression is missing behind =~")),
        text => Regex::new(text).map_err(|error| {
            // The library draws the place over several lines; its last one says what is wrong.
            let told = error.to_string();
            let last = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
            ConditionError::new(format!("`{text}` is no regular expression: {last}"))
        }),
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        const OPERATORS: [(&str, Option<Comparison>); 8] = [
            ("==", Some(Comparison::Equal)),
            ("!=", Some(Comparison::NotEqual)),
            ("<=", Some(Comparison::LessOrEqual)),
            (">=", Some(Comparison::GreaterOrEqual)),
            ("=~", None),
            ("<", Some(Comparison::Less)),
            (">", Some(Comparison::Greater)),
            ("=", Some(Comparison::Equal)),
        ];
        let text = text.trim();
        let (path, rest) = Path::read(text)?;
        let rest = rest.trim_start();
        let found = OPERATORS.into_iter().find_map(|(operator, comparison)| {
            rest.strip_prefix(operator).map(|rest| (comparison, rest.trim_start()))
        });
        let test = match found {
            Some((Some(comparison), value)) => Test::Compare(comparison, Value::only(value)?),
            Some((None, expression)) => Test::Found(regex(expression)?),
            None if rest == "exists" => Test::Exists,
            None => match rest.strip_prefix("in").map(str::trim_start) {
                Some(list) if list.starts_with(['[', '(']) => Test::In(Value::list(list)?),
                _ => {
                    let told = format!(
                        "`{rest}` is no comparison: write ==, !=, <, <=, >, >=, =~, exists or in [...]"
                    );
                    return Err(ConditionError::new(told));
                }
            },
        };
        Ok(Self { text: text.to_owned(), path, test })
    }
}

/// The text it was made from.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str) -> bool {
        const LINE: &[u8] = br#"{"id":"7","source":"/s","type":"a.b","data":{"n":100.0,"big":9007199254740993,"t":"caf\u00e9","z":null,"b":true,"o":{}}}"#;
        condition.parse::<Condition>().unwrap().holds(&Outline::of(LINE).unwrap())
    }

    #[test]
    fn every_comparison_does_what_it_says() {
        for yes in [
            "data.n == 1e2",
            "data.n=100",
            "data.n != 100.01",
            "data.n >= 100",
            "data.n <= 100",
            "data.n < 100.5",
            "data.big > 9007199254740992",
            "data.big != 9007199254740992",
            "data.t == \"caf\\u00e9\"",
            "data.t == caf\u{e9}",
            "data.t != 'tea'",
            "data.t > caf",
            "data.t =~ /^c.f/",
            "data.t =~ é$",
            "data.z exists",
            "data.z == null",
            "data.b == true",
            "data.b != \"true\"",
            "data.o != null",
            "data.n in [1, 100, 'x']",
            "data.t in (tea, caf\u{e9})",
            "type == a.b",
            "topic =~ ^a",
            "id == \"7\"",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            "data.n == \"100\"",
            "data.n < 100",
            "data.big == 9007199254740992",
            "data.t < 5",
            "data.b > false",
            "data.z != null",
            "data.x != 1",
            "data.x exists",
            "data.n in []",
            "data.n =~ 100",
            "id == 7",
            "subject exists",
        ] {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "a name is missing"),
            ("data.n", "is no comparison"),
            ("data.n ~ 5", "is no comparison"),
            ("data.n ==", "a value is missing"),
            ("data.n == \"a", "no JSON string"),
            ("data.n == \"a\" b", "follows the value"),
            ("data.n == 'a", "no closing quote"),
            ("data.n == {}", "not compared"),
            ("data.n =~ (", "regular expression"),
            ("data.n =~", "missing"),
            ("data.n in 5", "is no comparison"),
            ("data.n in [1,", "is no list"),
            ("data.n in [1,]", "is no list"),
            ("data.n in [\"a\" 1]", "is no list"),
        ] {
            let error = text.parse::<Condition>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
