//! The `glob:` dialect: shell patterns exactly as Python's `fnmatch.fnmatchcase` reads them.
//!
//! Called by `Pattern::parse` and by the match itself. It knows no separators and no files: `*`
//! matches any text, and a backslash is an ordinary character.
//!
//! The corners follow the translation in CPython's `Lib/fnmatch.py`: a `[` without its `]` is
//! plain; a `]` first in a set is plain; `^` does not negate; a range that runs backwards is empty,
//! a set with nothing left matches nothing, and its negation any character; of `a-c-e` only `a-c`
//! is a range.
#![forbid(unsafe_code)]

/// What one place of a glob asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unit {
    /// Any text, none included.
    Any,
    /// Any one character.
    One,
    /// This character.
    Char(char),
    /// One character in (or, if negated, not in) these ranges.
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Unit {
    fn fits(&self, found: char) -> bool {
        match self {
            Unit::Any => false,
            Unit::One => true,
            Unit::Char(wanted) => *wanted == found,
            Unit::Set { negated, ranges } => {
                ranges.iter().any(|&(low, high)| low <= found && found <= high) != *negated
            }
        }
    }
}

/// A parsed glob. Every text is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<Unit>);

impl Glob {
    pub(super) fn parse(body: &str) -> Self {
        let chars: Vec<char> = body.chars().collect();
        let mut units = Vec::with_capacity(chars.len());
        let mut i = 0;
        while let Some(&c) = chars.get(i) {
            i += 1;
            match c {
                '*' if units.last() == Some(&Unit::Any) => {}
                '*' => units.push(Unit::Any),
                '?' => units.push(Unit::One),
                '[' => match set_end(&chars, i) {
                    Some(end) => {
                        units.push(parse_set(&chars[i..end]));
                        i = end + 1;
                    }
                    None => units.push(Unit::Char('[')),
                },
                c => units.push(Unit::Char(c)),
            }
        }
        Self(units)
    }

    /// Whether it holds no wildcard and no set, so that it means its own text.
    pub(super) fn is_plain(&self) -> bool {
        self.0.iter().all(|unit| matches!(unit, Unit::Char(_)))
    }

    /// Whether every non-empty text fits.
    pub(super) fn fits_all(&self) -> bool {
        let ones = self.0.iter().filter(|unit| **unit == Unit::One).count();
        let anys = self.0.iter().filter(|unit| **unit == Unit::Any).count();
        ones <= 1 && anys >= 1 && ones + anys == self.0.len()
    }

    /// How many bytes at the front of the body mean themselves.
    pub(super) fn plain_prefix(&self) -> usize {
        let plain = self.0.iter().map_while(|unit| match unit {
            Unit::Char(c) => Some(c.len_utf8()),
            _ => None,
        });
        plain.sum()
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        self.reach(topic).is_none()
    }

    /// `None` if the whole topic fits, else the furthest byte up to which it does.
    ///
    /// As in `tokens`, only the last `*` is ever widened, so the cost is at most units × characters.
    pub(super) fn reach(&self, topic: &str) -> Option<usize> {
        let (mut unit, mut at, mut furthest) = (0, 0, 0);
        let mut widen: Option<(usize, usize)> = None;
        loop {
            furthest = furthest.max(at);
            if let Some(Unit::Any) = self.0.get(unit) {
                unit += 1;
                if unit == self.0.len() {
                    return None;
                }
                widen = Some((unit, at));
                continue;
            }
            let found = topic[at..].chars().next();
            match (self.0.get(unit), found) {
                (None, None) => return None,
                (Some(_), None) => return Some(furthest),
                (Some(wanted), Some(c)) if wanted.fits(c) => {
                    unit += 1;
                    at += c.len_utf8();
                    continue;
                }
                _ => {}
            }
            let Some((after, from)) = widen else { return Some(furthest) };
            // There is a character at `from`: it is at or before `at`, where one was found.
            at = from + topic[from..].chars().next().map_or(1, char::len_utf8);
            unit = after;
            widen = Some((after, at));
        }
    }
}

/// The place of the `]` that ends the set whose inside begins at `start`.
fn set_end(chars: &[char], start: usize) -> Option<usize> {
    let mut end = start;
    if chars.get(end) == Some(&'!') {
        end += 1;
    }
    if chars.get(end) == Some(&']') {
        end += 1;
    }
    (end..chars.len()).find(|&i| chars[i] == ']')
}

/// The inside of a set: cut at the hyphens that make ranges, then read piece by piece.
fn parse_set(inside: &[char]) -> Unit {
    let mut negated = inside.first() == Some(&'!');
    let inside = &inside[usize::from(negated)..];
    let mut pieces: Vec<Vec<char>> = Vec::new();
    let (mut begin, mut search) = (0, 1);
    // A hyphen makes a range if a character stands on both sides that no other range has used.
    while let Some(hyphen) = (search..inside.len()).find(|&i| inside[i] == '-') {
        pieces.push(inside[begin..hyphen].to_vec());
        begin = hyphen + 1;
        search = hyphen + 3;
    }
    match (&inside[begin..], pieces.last_mut()) {
        ([], Some(last)) => last.push('-'),
        (rest, _) => pieces.push(rest.to_vec()),
    }
    // A range that runs backwards vanishes together with its two ends.
    for i in (1..pieces.len()).rev() {
        if pieces[i - 1].last() > pieces[i].first() {
            let rest = pieces.remove(i);
            pieces[i - 1].pop();
            pieces[i - 1].extend(rest.into_iter().skip(1));
        }
    }
    // Python looks for the `!` only now, so one that became the first character counts too; a
    // hyphen that then comes first is plain.
    if !negated && pieces[0].first() == Some(&'!') {
        negated = true;
        pieces[0].remove(0);
        if pieces[0].is_empty() && pieces.len() > 1 {
            pieces.remove(0);
            pieces[0].insert(0, '-');
        }
    }
    let mut ranges: Vec<(char, char)> = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        for (j, &c) in piece.iter().enumerate() {
            match ranges.last_mut() {
                Some(range) if i > 0 && j == 0 => range.1 = c,
                _ => ranges.push((c, c)),
            }
        }
    }
    Unit::Set { negated, ranges }
}
