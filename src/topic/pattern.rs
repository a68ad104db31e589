//! A pattern over topics, in any of the dialects, and whether it matches.
//!
//! Called by the bus for subscriptions, by filters, and by the trie's tests as the oracle: the
//! match here looks at one pattern and one topic and knows nothing of the trie. It never checks
//! the topic; [`Pattern::check_topic`] does.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use regex::Regex;

use super::glob::Glob;
use super::name::{is_reserved, is_surely_topic};
use super::tokens::{Separators, Step, Steps, Tokens};
use super::{PatternError, Topic, TopicError, mqtt, native, nats, regexp};

/// The language a pattern is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// A topic itself.
    Exact,
    /// `*`, `**` and `>` as tokens.
    Native,
    /// Python's `fnmatchcase`.
    Glob,
    /// The topic's beginning.
    Prefix,
    /// MQTT 3.1.1 topic filters.
    Mqtt,
    /// NATS subjects.
    Nats,
    /// A regular expression.
    Regex,
}

impl Dialect {
    /// Its name: `exact`, `native`, or the word before the colon (`glob`, `prefix`, `mqtt`,
    /// `nats`, `re`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Exact => "exact",
            Dialect::Native => "native",
            Dialect::Glob => "glob",
            Dialect::Prefix => "prefix",
            Dialect::Mqtt => "mqtt",
            Dialect::Nats => "nats",
            Dialect::Regex => "re",
        }
    }

    fn from_prefix(word: &str) -> Option<Self> {
        let named = [Dialect::Glob, Dialect::Prefix, Dialect::Mqtt, Dialect::Nats, Dialect::Regex];
        named.into_iter().find(|dialect| dialect.name() == word)
    }

    pub(super) fn separators(self) -> Separators {
        match self {
            Dialect::Mqtt => Separators::Slash,
            Dialect::Nats => Separators::Dot,
            _ => Separators::All,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a pattern decides. One pointer at most, because every subscription keeps its pattern.
#[derive(Clone)]
pub(super) enum Shape {
    /// The body is the only topic that matches.
    Literal,
    /// Whole tokens: native, `mqtt:` and `nats:`.
    Steps(Arc<Box<[Step]>>),
    Glob(Arc<Glob>),
    Prefix,
    Regex(Arc<Regex>),
}

/// A valid pattern: which topics somebody wants.
///
/// Cheap to clone; equal to another if their texts are. The dialects, and what a wildcard means in
/// each, are in the [module's documentation](super).
///
/// ```
/// use ringpost::topic::{Pattern, PatternError};
///
/// let pattern = Pattern::parse("registry:*:config")?;
/// assert!(pattern.matches("registry:bots:config"));
/// assert!(!pattern.matches("registry:bots:state"));
/// # Ok::<(), PatternError>(())
/// ```
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    /// Where the text after the dialect begins.
    start: u16,
    dialect: Dialect,
    shape: Shape,
}

impl Pattern {
    /// The longest pattern, in bytes, its dialect included.
    pub const MAX_BYTES: usize = 1024;
    /// The most tokens a pattern with wildcards may ask for, where neighbouring `**` count as one.
    /// No topic of a bus has more than half as many; the trie is as deep as that.
    pub const MAX_TOKENS: usize = 256;

    /// A pattern from its text.
    ///
    /// # Errors
    ///
    /// If the text is too long or breaks a rule of its dialect; the error says which, where, and
    /// what to write instead.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(PatternError::TooLong { bytes: text.len() });
        }
        // Most patterns are.
        if is_surely_topic(text) {
            let (dialect, shape) = (Dialect::Exact, Shape::Literal);
            return Ok(Self { text: text.into(), start: 0, dialect, shape });
        }
        let named = text
            .split_once(':')
            .and_then(|(word, body)| Some((Dialect::from_prefix(word)?, text.len() - body.len())));
        let (mut dialect, start) = named.unwrap_or((Dialect::Native, 0));
        let body = &text[start..];
        let shape = match dialect {
            Dialect::Native | Dialect::Exact => {
                let shape = from_steps(native::parse(body)?)?;
                if let Shape::Literal = shape {
                    Topic::check(body).map_err(PatternError::Name)?;
                    dialect = Dialect::Exact;
                }
                shape
            }
            Dialect::Mqtt => from_steps(mqtt::parse(body, start)?)?,
            Dialect::Nats => from_steps(nats::parse(body, start)?)?,
            Dialect::Glob => {
                let glob = Glob::parse(body);
                if glob.is_plain() { Shape::Literal } else { Shape::Glob(Arc::new(glob)) }
            }
            Dialect::Prefix => Shape::Prefix,
            Dialect::Regex => Shape::Regex(Arc::new(regexp::parse(body, start)?)),
        };
        // The longest dialect and its colon are seven bytes.
        Ok(Self { text: text.into(), start: start as u16, dialect, shape })
    }

    /// Its text, dialect included, as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, to be kept.
    pub(crate) fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The language it is written in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The one text that it matches, if its dialect shows no wildcard. Exact patterns give their
    /// topic; so do those of other dialects without wildcards, except `prefix:` and `re:`.
    #[must_use]
    pub fn literal_topic(&self) -> Option<&str> {
        matches!(self.shape, Shape::Literal).then(|| self.body())
    }

    /// The text that every topic which it matches begins with, as far as that is plain to see.
    #[must_use]
    pub fn literal_beginning(&self) -> Option<&str> {
        let beginning = match &self.shape {
            Shape::Literal | Shape::Prefix => self.body(),
            Shape::Steps(steps) => {
                let literals = steps.iter().map_while(|step| match step {
                    Step::Literal(range) => Some(range.end),
                    Step::One | Step::Many => None,
                });
                self.body().get(..literals.last()?)?
            }
            Shape::Glob(_) | Shape::Regex(_) => return None,
        };
        (!beginning.is_empty()).then_some(beginning)
    }

    /// Whether it surely matches every topic that does not start with `$`.
    ///
    /// `false` proves nothing for `re:`, where only the usual ways to write it are recognised.
    #[must_use]
    pub fn matches_everything(&self) -> bool {
        match &self.shape {
            Shape::Literal => false,
            // A topic has at least one token and one character.
            Shape::Steps(steps) => matches!(***steps, [Step::Many] | [Step::One, Step::Many]),
            Shape::Glob(glob) => glob.fits_all(),
            Shape::Prefix => self.body().is_empty(),
            Shape::Regex(_) => regexp::fits_all(self.body()),
        }
    }

    /// Whether it matches `topic`, in at most (its length) × (the topic's) steps, and without
    /// allocating (`re:` uses the caches of its engine).
    ///
    /// The topic's own validity is not looked at: any text is cut into tokens as it is.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if is_reserved(topic) && !self.sees_reserved() {
            return false;
        }
        match &self.shape {
            Shape::Literal => self.body() == topic,
            Shape::Steps(steps) => self.tokens(steps).matches(topic),
            Shape::Glob(glob) => glob.matches(topic),
            Shape::Prefix => topic.starts_with(self.body()),
            Shape::Regex(regex) => regex.is_match(topic),
        }
    }

    /// Whether `topic` follows the rules that this pattern's dialect has for topics.
    ///
    /// Exact and native ask for a valid [`Topic`]; `nats:` refuses empty tokens and wildcard
    /// tokens; `mqtt:` allows empty levels but no `+` and `#`; `glob:`, `prefix:` and `re:` take
    /// any text.
    ///
    /// # Errors
    ///
    /// If it breaks one of them; the error says which, and where.
    pub fn check_topic(&self, topic: &str) -> Result<(), TopicError> {
        match self.dialect {
            Dialect::Exact | Dialect::Native => Topic::check(topic),
            Dialect::Nats => nats::check_topic(topic),
            Dialect::Mqtt => mqtt::check_topic(topic),
            Dialect::Glob | Dialect::Prefix | Dialect::Regex => Ok(()),
        }
    }

    /// Whether it looks at the bus's own topics, those that start with `$`: it starts with `$`
    /// itself (a regular expression with `\$` or `^\$`).
    #[must_use]
    pub fn sees_reserved(&self) -> bool {
        match self.dialect {
            Dialect::Regex => regexp::is_reserved(self.body()),
            _ => is_reserved(self.body()),
        }
    }

    /// The text after the dialect.
    pub(super) fn body(&self) -> &str {
        &self.text[usize::from(self.start)..]
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn tokens<'p>(&'p self, steps: &'p [Step]) -> Tokens<'p> {
        Tokens { body: self.body(), steps, separators: self.dialect.separators() }
    }
}

fn from_steps(steps: Steps) -> Result<Shape, PatternError> {
    if !steps.has_wildcard() {
        return Ok(Shape::Literal);
    }
    let steps = steps.finish();
    if steps.len() > Pattern::MAX_TOKENS {
        return Err(PatternError::TooManyTokens { tokens: steps.len() });
    }
    Ok(Shape::Steps(Arc::new(steps.into())))
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Pattern {
    type Error = PatternError;

    fn try_from(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::name::check_tokens;

    proptest! {
        /// The short way for plain topics says nothing else than the long one.
        #[test]
        fn what_is_surely_a_topic_is_one(text in "[a-c*>:./ $é?\\[]{0,9}") {
            if is_surely_topic(&text) {
                prop_assert!(check_tokens(&text).is_ok());
                prop_assert!(matches!(from_steps(native::parse(&text)?)?, Shape::Literal));
                prop_assert!(!text.contains(':'), "it may have a dialect");
            }
        }
    }

    #[test]
    fn what_matches_everything_says_so() {
        let everything = [
            "**", ">", "**.**", "*.**", "**.*", "**:>", "mqtt:#", "mqtt:+/#", "nats:>", "glob:*",
            "glob:**", "glob:?*", "prefix:", "re:", "re:.*", "re:^",
        ];
        let less = [
            "a",
            "*",
            "*.*",
            "*.>",
            "a.**",
            "**.a",
            "$a.**",
            "mqtt:+",
            "mqtt:/#",
            "mqtt:+/+/#",
            "nats:*",
            "nats:**",
            "glob:??*",
            "glob:?",
            "glob:",
            "glob:*a",
            "glob:$*",
            "prefix:a",
            "prefix:$",
            "re:a",
            "re:..",
        ];
        for text in everything {
            assert!(Pattern::parse(text).unwrap().matches_everything(), "{text}");
        }
        for text in less {
            assert!(!Pattern::parse(text).unwrap().matches_everything(), "{text}");
        }
    }

    #[test]
    fn a_pattern_without_wildcards_is_its_own_topic() {
        for (text, topic, dialect) in [
            ("a:b", Some("a:b"), Dialect::Exact),
            ("$errors", Some("$errors"), Dialect::Exact),
            ("a.*", None, Dialect::Native),
            ("mqtt:a//b", Some("a//b"), Dialect::Mqtt),
            ("mqtt:a/#", None, Dialect::Mqtt),
            ("nats:a*.b", Some("a*.b"), Dialect::Nats),
            ("glob:re:x", Some("re:x"), Dialect::Glob),
            ("glob:a[*]", None, Dialect::Glob),
            ("prefix:a", None, Dialect::Prefix),
            ("re:^a$", None, Dialect::Regex),
        ] {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!((pattern.literal_topic(), pattern.dialect()), (topic, dialect), "{text}");
            assert_eq!(pattern.as_str(), text);
        }
    }
}
