//! Finds the lines that may match without taking any of them apart.
//!
//! A prefilter only ever drops lines that surely do not match: it looks for a text that a
//! matching line has to spell, and for the escapes by which JSON could spell it otherwise.
#![forbid(unsafe_code)]

use memchr::memmem::Finder;

/// Texts of which a matching line holds at least one.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefilter {
    finders: Vec<Finder<'static>>,
}

/// More texts than this are looked for more slowly than lines are taken apart.
const MOST: usize = 4;

impl Prefilter {
    /// The best of several groups of texts, of which a matching line holds one each. Nothing is
    /// dropped if there is none.
    pub(super) fn best(groups: impl IntoIterator<Item = Vec<String>>) -> Self {
        let shortest = |group: &Vec<String>| group.iter().map(String::len).min().unwrap_or(0);
        let groups = groups.into_iter().filter(|group| (1..=MOST).contains(&group.len()));
        let Some(group) = groups.max_by_key(shortest) else { return Self::default() };
        let mut texts = group;
        // In a string any character may stand as \uXXXX, and a slash as \/ too.
        if texts.iter().any(|text| text.contains('/')) {
            texts.push(r"\/".into());
        }
        texts.push(r"\u".into());
        Self { finders: texts.iter().map(|text| Finder::new(text).into_owned()).collect() }
    }

    /// Whether every line may match.
    pub(super) fn is_empty(&self) -> bool {
        self.finders.is_empty()
    }

    /// Goes over a text of whole lines.
    pub(super) fn over<'p>(&'p self, text: &'p [u8]) -> Candidates<'p> {
        let next = vec![Some(0); self.finders.len()];
        Candidates { prefilter: self, text, next, at: 0 }
    }
}

/// What a JSON string of this text looks like, if there is one way to write it apart from
/// `\u` and `\/`: with both quotes, or the opening one if only its beginning is known.
pub(super) fn quoted(text: &str, is_whole: bool) -> Option<String> {
    let plain = text.chars().all(|c| !c.is_control() && c != '"' && c != '\\');
    let close = if is_whole { "\"" } else { "" };
    (plain && !text.is_empty()).then(|| format!("\"{text}{close}"))
}

/// Lines that may match, as ranges of the text, without their newlines.
#[derive(Debug)]
pub(super) struct Candidates<'p> {
    prefilter: &'p Prefilter,
    text: &'p [u8],
    /// For each finder where it found its text last, or from where on it has to look.
    next: Vec<Option<usize>>,
    at: usize,
}

impl Iterator for Candidates<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        if self.at >= self.text.len() {
            return None;
        }
        let mut start = self.at;
        let mut within = self.at;
        if !self.next.is_empty() {
            within = self.nearest()?;
            let before = &self.text[start..within];
            start += memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        }
        let newline = memchr::memchr(b'\n', &self.text[within..]);
        let end = newline.map_or(self.text.len(), |newline| within + newline);
        self.at = end + 1;
        Some((start, end))
    }
}

impl Candidates<'_> {
    /// Where the first of the texts is, from the present line on.
    fn nearest(&mut self) -> Option<usize> {
        for (finder, next) in self.prefilter.finders.iter().zip(&mut self.next) {
            let Some(found) = *next else { continue };
            let is_known = found >= self.at && found > 0;
            if !is_known {
                let rest = &self.text[self.at..];
                *next = finder.find(rest).map(|found| self.at + found);
            }
        }
        self.next.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates<'t>(prefilter: &Prefilter, text: &'t str) -> Vec<&'t str> {
        prefilter.over(text.as_bytes()).map(|(start, end)| &text[start..end]).collect()
    }

    #[test]
    fn without_texts_every_line_may_match() {
        let all = Prefilter::default();
        assert_eq!(candidates(&all, "a\n\nb\nc"), ["a", "", "b", "c"]);
        assert_eq!(candidates(&all, ""), [""; 0]);
    }

    #[test]
    fn lines_with_one_of_the_texts_or_an_escape_are_found_once() {
        let group = vec!["\"one\"".to_owned(), "\"two\"".to_owned()];
        let some = Prefilter::best([vec![String::from("\"x\"")], group]);
        let text = "\"one\"\nthree\n\"two\" \"one\"\n\\u0061\n\"one\nx\"two\"\nlast\n";
        assert_eq!(candidates(&some, text), ["\"one\"", "\"two\" \"one\"", "\\u0061", "x\"two\""]);
        assert_eq!(candidates(&some, "x\ny"), [""; 0]);
        assert_eq!(candidates(&some, "x\n\"two\""), ["\"two\""]);
    }

    #[test]
    fn a_slash_may_be_escaped() {
        let some = Prefilter::best([vec![quoted("/a", true).unwrap()]]);
        assert_eq!(candidates(&some, "\"\\/a\"\n\"/a\"\n\"/b\"\n"), ["\"\\/a\"", "\"/a\""]);
        assert_eq!(quoted("a\"b", true), None);
        assert_eq!(quoted("", false), None);
    }
}
