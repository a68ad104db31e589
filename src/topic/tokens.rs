//! Patterns made of whole tokens: what native, `mqtt:` and `nats:` have in common.
//!
//! The three dialects differ in separators and wildcards; each turns its text into the same
//! [`Step`]s, which are matched here and walked by the trie. Nothing here allocates while it
//! matches.
#![forbid(unsafe_code)]

use std::ops::Range;

/// What one place of a pattern asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A token of this text: a range of the pattern's body. If the step before is a literal too,
    /// the range begins with the separator between them, which must then be met as written.
    Literal(Range<usize>),
    /// Any one token.
    One,
    /// Any number of tokens, none included.
    Many,
}

/// What separates tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separators {
    /// `.`, `:` and `/`: native.
    All,
    /// `.`: NATS.
    Dot,
    /// `/`: MQTT.
    Slash,
}

impl Separators {
    fn contain(self, byte: u8) -> bool {
        match self {
            Separators::All => matches!(byte, b'.' | b':' | b'/'),
            Separators::Dot => byte == b'.',
            Separators::Slash => byte == b'/',
        }
    }

    /// The end of the token that begins at `start`; the next one begins one byte after it, and
    /// there is none if that is past the end of the text.
    pub(super) fn end(self, text: &str, start: usize) -> usize {
        let rest = &text.as_bytes()[start..];
        rest.iter().position(|&byte| self.contain(byte)).map_or(text.len(), |length| start + length)
    }

    /// The tokens of a text, as ranges.
    pub(super) fn split(self, text: &str) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            if start > text.len() {
                return None;
            }
            let end = self.end(text, start);
            let token = start..end;
            start = end + 1;
            Some(token)
        })
    }
}

/// Collects steps in the one form in which equal meanings look equal: in a run of wildcards the
/// `One`s come first and at most one `Many` follows. `Many Many` and `Many One` never occur, which
/// the trie relies on.
#[derive(Default)]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    pub(super) fn literal(&mut self, token: Range<usize>) {
        let glued = matches!(self.0.last(), Some(Step::Literal(_)));
        self.0.push(Step::Literal(token.start - usize::from(glued)..token.end));
    }

    pub(super) fn one(&mut self) {
        let behind_many = usize::from(self.0.last() == Some(&Step::Many));
        self.0.insert(self.0.len() - behind_many, Step::One);
    }

    pub(super) fn many(&mut self) {
        if self.0.last() != Some(&Step::Many) {
            self.0.push(Step::Many);
        }
    }

    pub(super) fn has_wildcard(&self) -> bool {
        self.0.iter().any(|step| !matches!(step, Step::Literal(_)))
    }

    pub(super) fn finish(self) -> Vec<Step> {
        self.0
    }
}

/// Told what a match tries, for an explanation.
pub(super) trait Watch {
    /// `step` was given these bytes of the topic; a later call for the same step replaces this one.
    fn took(&mut self, step: usize, bytes: Range<usize>);
    /// `step` (or the pattern's end) did not fit at the token that begins at `at` (or at the
    /// topic's end).
    fn failed(&mut self, step: usize, at: usize);
}

impl Watch for () {
    fn took(&mut self, _step: usize, _bytes: Range<usize>) {}
    fn failed(&mut self, _step: usize, _at: usize) {}
}

/// A pattern's steps with what is needed to read them.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'p> {
    pub(super) body: &'p str,
    pub(super) steps: &'p [Step],
    pub(super) separators: Separators,
}

impl Tokens<'_> {
    pub(super) fn matches(self, topic: &str) -> bool {
        self.watched(topic, &mut ())
    }

    /// Whether the steps fit the whole topic, in at most steps × tokens comparisons.
    ///
    /// A `Many` first stands for nothing; when what follows it does not fit, it takes one token
    /// more. Only the last `Many` met is ever widened: what stands before it was matched as early
    /// as possible, so that a wider earlier `Many` could only leave fewer tokens for the rest
    /// (Krauss, "Matching Wildcards: An Algorithm", 2008).
    pub(super) fn watched(self, topic: &str, watch: &mut impl Watch) -> bool {
        let past_end = topic.len() + 1;
        let (mut step, mut at) = (0, 0);
        // The last `Many`, where it began, and where what follows it begins.
        let mut widen: Option<(usize, usize, usize)> = None;
        loop {
            if let Some(Step::Many) = self.steps.get(step) {
                watch.took(step, at..at);
                widen = Some((step, at, at));
                step += 1;
                continue;
            }
            if at == past_end {
                if step == self.steps.len() {
                    return true;
                }
                watch.failed(step, at);
                return false;
            }
            let end = self.separators.end(topic, at);
            if self.fits(step, topic, at..end) {
                watch.took(step, at..end);
                step += 1;
                at = end + 1;
                continue;
            }
            watch.failed(step, at);
            let Some((many, began, next)) = widen else { return false };
            let taken = self.separators.end(topic, next);
            watch.took(many, began..taken);
            widen = Some((many, began, taken + 1));
            step = many + 1;
            at = taken + 1;
        }
    }

    fn fits(self, step: usize, topic: &str, token: Range<usize>) -> bool {
        match self.steps.get(step) {
            None | Some(Step::Many) => false,
            Some(Step::One) => true,
            Some(Step::Literal(range)) => {
                let wanted = &self.body[range.clone()];
                // A longer range than the token itself begins with a separator; there is one in
                // the topic too, because a literal was matched before it.
                let glued = step > 0 && matches!(self.steps[step - 1], Step::Literal(_));
                wanted == &topic[token.start - usize::from(glued)..token.end]
            }
        }
    }
}
