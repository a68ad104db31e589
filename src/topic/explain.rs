//! Why a pattern matches a topic, or why it does not, in one sentence.
//!
//! Called by the command line and by whoever asks a subscription why it is silent. It never
//! decides: it runs the same match as [`Pattern::matches`] and tells what that met.
#![forbid(unsafe_code)]

use std::ops::Range;

use super::name::is_reserved;
use super::pattern::{Dialect, Pattern, Shape};
use super::tokens::{Step, Steps, Tokens, Watch};

/// The answer to "does this pattern match this topic, and why".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// What [`Pattern::matches`] says.
    pub matches: bool,
    /// The pattern's language.
    pub dialect: Dialect,
    /// One sentence, lower case, without a full stop.
    pub reason: String,
}

impl Pattern {
    /// Whether it matches `topic`, and why: for a match, what the wildcards stand for; otherwise
    /// the token or byte that did not fit.
    ///
    /// As for [`matches`](Pattern::matches), the topic's own validity is not looked at:
    /// [`check_topic`](Pattern::check_topic) comes first where the topic comes from a person.
    #[must_use]
    pub fn explain(&self, topic: &str) -> Explanation {
        let (matches, reason) = reason(self, topic);
        Explanation { matches, dialect: self.dialect(), reason }
    }
}

fn reason(pattern: &Pattern, topic: &str) -> (bool, String) {
    let body = pattern.body();
    if is_reserved(topic) && !pattern.sees_reserved() {
        let dollar = if pattern.dialect() == Dialect::Regex { r"\$" } else { "$" };
        let reason = format!(
            "the topic starts with `$`, and only a pattern that starts with `{dollar}` sees the bus's own topics"
        );
        return (false, reason);
    }
    match pattern.shape() {
        Shape::Literal if body == topic => {
            (true, "the topic is the pattern, character for character".to_owned())
        }
        Shape::Literal if pattern.dialect() == Dialect::Glob => {
            let at = common_prefix(body, topic);
            (false, format!("the glob has no wildcard, and the topic differs from it at byte {at}"))
        }
        Shape::Literal => {
            let separators = pattern.dialect().separators();
            let mut steps = Steps::default();
            separators.split(body).for_each(|token| steps.literal(token));
            tokens_reason(Tokens { body, steps: &steps.finish(), separators }, topic)
        }
        Shape::Steps(steps) => tokens_reason(pattern.tokens(steps), topic),
        Shape::Glob(glob) => match glob.reach(topic) {
            None => (true, format!("the whole topic fits the glob `{body}`")),
            Some(at) if at == topic.len() => {
                (false, format!("the topic ends where the glob `{body}` asks for more"))
            }
            Some(at) => {
                (false, format!("the topic fits the glob `{body}` no further than byte {at}"))
            }
        },
        Shape::Prefix if topic.starts_with(body) => {
            (true, format!("the topic starts with `{body}`"))
        }
        Shape::Prefix => {
            let at = common_prefix(body, topic);
            (false, format!("the topic does not start with `{body}`: it differs at byte {at}"))
        }
        Shape::Regex(regex) => match regex.find(topic) {
            Some(found) if found.is_empty() => {
                (true, format!("the regular expression fits at byte {}", found.start()))
            }
            Some(found) => {
                let (text, at) = (found.as_str(), found.start());
                (true, format!("the regular expression finds `{text}` at byte {at}"))
            }
            None => (false, "the regular expression finds nothing in the topic".to_owned()),
        },
    }
}

fn common_prefix(one: &str, two: &str) -> usize {
    let mut pairs = one.char_indices().zip(two.chars());
    let same = |&((_, a), b): &((usize, char), char)| a == b;
    let differ = pairs.find(|pair| !same(pair)).map(|((at, _), _)| at);
    differ.unwrap_or(one.len().min(two.len()))
}

/// Notes what each step was given, and where the match got furthest before it failed.
struct Notes {
    taken: Vec<Range<usize>>,
    failure: Option<(usize, usize)>,
}

impl Watch for Notes {
    fn took(&mut self, step: usize, bytes: Range<usize>) {
        self.taken[step] = bytes;
    }

    fn failed(&mut self, step: usize, at: usize) {
        if self.failure.is_none_or(|(_, furthest)| at > furthest) {
            self.failure = Some((step, at));
        }
    }
}

fn tokens_reason(tokens: Tokens<'_>, topic: &str) -> (bool, String) {
    let mut notes = Notes { taken: vec![0..0; tokens.steps.len()], failure: None };
    let matches = tokens.watched(topic, &mut notes);
    let reason = match notes.failure {
        Some((step, at)) if !matches => misfit(tokens, topic, step, at),
        _ => stand_ins(tokens, topic, &notes.taken),
    };
    (matches, reason)
}

/// What each run of wildcards stands for. Runs are named as they were written: steps have them in
/// another order.
fn stand_ins(tokens: Tokens<'_>, topic: &str, taken: &[Range<usize>]) -> String {
    let mut parts = Vec::new();
    let mut step = 0;
    while step < tokens.steps.len() {
        let run = tokens.steps[step..].iter().take_while(|step| is_wildcard(step)).count();
        if run == 0 {
            step += 1;
            continue;
        }
        let written = written(tokens, step, step + run);
        let stands = if parts.is_empty() { " stands" } else { "" };
        // A `One` has a token, though it may be an empty one; a `Many` may have none.
        let mut spans = (step..step + run)
            .filter(|&step| tokens.steps[step] == Step::One || !taken[step].is_empty())
            .map(|step| taken[step].clone());
        let stand_in = spans.next().map_or("", |first| {
            let last = spans.next_back().unwrap_or(first.clone());
            &topic[first.start..last.end]
        });
        parts.push(match stand_in {
            "" => format!("`{written}`{stands} for nothing"),
            text => format!("`{written}`{stands} for `{text}`"),
        });
        step += run;
    }
    let plain = tokens.steps.iter().any(|step| !is_wildcard(step));
    let start = if plain { "every plain token fits, and " } else { "" };
    match &parts[..] {
        [most @ .., last] if !most.is_empty() => format!("{start}{} and {last}", most.join(", ")),
        _ => start.to_owned() + &parts.concat(),
    }
}

fn is_wildcard(step: &Step) -> bool {
    !matches!(step, Step::Literal(_))
}

/// The text between the plain tokens around the wildcards `from..to`.
fn written<'p>(tokens: Tokens<'p>, from: usize, to: usize) -> &'p str {
    let literal = |step: usize| match tokens.steps.get(step) {
        Some(Step::Literal(range)) => Some(range.clone()),
        _ => None,
    };
    let start = from.checked_sub(1).and_then(literal).map_or(0, |range| range.end + 1);
    let end = literal(to).map_or(tokens.body.len(), |range| range.start - 1);
    &tokens.body[start..end]
}

/// Why `step` did not fit at the token that begins at `at`.
fn misfit(tokens: Tokens<'_>, topic: &str, step: usize, at: usize) -> String {
    let found = topic.get(at..).map(|rest| &rest[..tokens.separators.end(rest, 0)]);
    let number = tokens.separators.split(topic).take_while(|token| token.start < at).count() + 1;
    match (tokens.steps.get(step), found) {
        (Some(Step::Literal(range)), found) => {
            let glued = step > 0 && !is_wildcard(&tokens.steps[step - 1]);
            let (before, wanted) = tokens.body[range.clone()].split_at(usize::from(glued));
            match found {
                None => format!("the topic ends where the pattern asks for `{wanted}`"),
                Some(found) if found == wanted => format!(
                    "token {number} of the topic, `{found}`, follows a `{}` where the pattern has `{before}`",
                    &topic[at - 1..at]
                ),
                Some(found) => format!(
                    "token {number} of the topic is `{found}` where the pattern asks for `{wanted}`"
                ),
            }
        }
        (None, Some(found)) => {
            format!("the pattern ends before token {number} of the topic, `{found}`")
        }
        // A wildcard takes any token, so there was none.
        _ => "the topic ends where the pattern asks for one more token".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_says_what_fitted_or_what_did_not() {
        let table = [
            ("a.b", "a.b", "the topic is the pattern, character for character"),
            ("a.b", "a:b", "token 2 of the topic, `b`, follows a `:` where the pattern has `.`"),
            ("a.b", "a.c", "token 2 of the topic is `c` where the pattern asks for `b`"),
            ("a.b", "a", "the topic ends where the pattern asks for `b`"),
            ("a.b", "a.b.c", "the pattern ends before token 3 of the topic, `c`"),
            (
                "registry:*:config",
                "registry:bots:state",
                "token 3 of the topic is `state` where the pattern asks for `config`",
            ),
            (
                "registry:*:config",
                "registry:bots:config",
                "every plain token fits, and `*` stands for `bots`",
            ),
            (
                "a.**.x.>",
                "a.x.b:c",
                "every plain token fits, and `**` stands for nothing and `>` for `b:c`",
            ),
            (
                "*.a.**.*",
                "q/a.1.2.3",
                "every plain token fits, and `*` stands for `q` and `**.*` for `1.2.3`",
            ),
            ("a.>", "a", "the topic ends where the pattern asks for one more token"),
            ("a.**.z", "a.b.c", "the topic ends where the pattern asks for `z`"),
            ("mqtt:a/+", "a/", "every plain token fits, and `+` stands for nothing"),
            ("mqtt:a/#", "b/c", "token 1 of the topic is `b` where the pattern asks for `a`"),
            ("nats:a.b", "a.b.c", "the pattern ends before token 3 of the topic, `c`"),
            (
                "**",
                "$errors",
                "the topic starts with `$`, and only a pattern that starts with `$` sees the bus's own topics",
            ),
            (
                "re:errors",
                "$errors",
                r"the topic starts with `$`, and only a pattern that starts with `\$` sees the bus's own topics",
            ),
            ("glob:a*z", "a.b", "the topic ends where the glob `a*z` asks for more"),
            ("glob:a?c", "a.d", "the topic fits the glob `a?c` no further than byte 2"),
            ("glob:a?c", "a.c", "the whole topic fits the glob `a?c`"),
            (
                "glob:abc",
                "abd",
                "the glob has no wildcard, and the topic differs from it at byte 2",
            ),
            ("prefix:term.", "term.x", "the topic starts with `term.`"),
            (
                "prefix:term.",
                "team.x",
                "the topic does not start with `term.`: it differs at byte 2",
            ),
            ("prefix:term.", "term", "the topic does not start with `term.`: it differs at byte 4"),
            ("re:l+m", "an.llm", "the regular expression finds `llm` at byte 3"),
            ("re:x*", "abc", "the regular expression fits at byte 0"),
            ("re:^l", "an.llm", "the regular expression finds nothing in the topic"),
        ];
        for (pattern, topic, reason) in table {
            let pattern = Pattern::parse(pattern).unwrap();
            let explanation = pattern.explain(topic);
            assert_eq!(explanation.reason, reason, "{pattern} on {topic}");
            assert_eq!(explanation.matches, pattern.matches(topic), "{pattern} on {topic}");
            assert_eq!(explanation.dialect, pattern.dialect());
        }
    }
}
