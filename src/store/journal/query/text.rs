//! A filter on free text, such as a source or an id.
#![forbid(unsafe_code)]

use std::str::FromStr;

use regex::Regex;

use crate::topic::Pattern;

/// Which texts somebody wants: one text, or those that `glob:`, `prefix:` or `re:` describe.
///
/// Unlike in a [`Pattern`] over topics nothing is special about separators or a `$`.
#[derive(Clone, Debug)]
pub struct TextPattern(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Literal(String),
    Prefix(String),
    Glob(Pattern),
    Regex(Regex),
}

/// Why a text is no [`TextPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextPatternError(String);

/// Put before a glob and before what it is held against, so that a text that starts with `$` is
/// no topic of the bus's own.
const GUARD: &str = "=";

impl FromStr for TextPattern {
    type Err = TextPatternError;

    fn from_str(text: &str) -> Result<Self, TextPatternError> {
        let kind = if let Some(glob) = text.strip_prefix("glob:") {
            let glob = Pattern::parse(&format!("glob:{GUARD}{glob}"));
            Kind::Glob(glob.map_err(|error| TextPatternError(error.to_string()))?)
        } else if let Some(prefix) = text.strip_prefix("prefix:") {
            Kind::Prefix(prefix.to_owned())
        } else if let Some(regex) = text.strip_prefix("re:") {
            let regex = Regex::new(regex);
            Kind::Regex(regex.map_err(|error| TextPatternError(error.to_string()))?)
        } else {
            Kind::Literal(text.to_owned())
        };
        Ok(Self(kind))
    }
}

impl TextPattern {
    /// Whether the text is one of those.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Literal(literal) => literal == text,
            Kind::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Kind::Glob(glob) => glob.matches(&format!("{GUARD}{text}")),
            Kind::Regex(regex) => regex.is_match(text),
        }
    }

    /// The text that all of those begin with, and whether it is all of it.
    pub(super) fn beginning(&self) -> Option<(&str, bool)> {
        match &self.0 {
            Kind::Literal(text) => Some((text, true)),
            Kind::Prefix(text) => Some((text, false)),
            Kind::Glob(_) | Kind::Regex(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, value: &str) -> bool {
        text.parse::<TextPattern>().unwrap().matches(value)
    }

    #[test]
    fn free_text_is_literal_unless_it_says_otherwise() {
        assert!(matches("a*", "a*") && !matches("a*", "ab"));
        assert!(matches("prefix:/market/", "/market/fx") && !matches("prefix:/market/", "/m"));
        assert!(matches("glob:*[ab]", "xb") && !matches("glob:*[ab]", "xc"));
        assert!(matches("re:^o.*e$", "one") && !matches("re:^o.*e$", "two"));
        assert!("re:(".parse::<TextPattern>().is_err());
    }

    #[test]
    fn a_dollar_at_the_start_is_nothing_special() {
        for text in ["glob:*", "glob:$*", "prefix:", "prefix:$1", "re:.", r"re:^\$1", "$15"] {
            assert!(matches(text, "$15"), "{text}");
        }
    }
}
