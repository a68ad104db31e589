//! The names of a journal's files.
//!
//! Used by whoever looks into a journal's directory. A segment is known by its number alone,
//! never by an inode or a time, and a number is never used twice.
#![forbid(unsafe_code)]

use std::fmt;

/// A segment's number: 20 decimal digits in its file's name, counted from 1.
///
/// It says nothing about the sequences inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentNumber(pub(crate) u64);

const DIGITS: usize = 20;
const PLAIN: &str = ".jsonl";
const PACKED: &str = ".jsonl.zst";
const UNFINISHED: &str = ".jsonl.zst.tmp";
const COPY: &str = ".jsonl.tmp";
const INDEX: &str = ".index";
const TORN: &str = ".torn";

impl SegmentNumber {
    /// The segment's file name.
    pub(crate) fn file_name(self) -> String {
        format!("{self}{PLAIN}")
    }

    /// The file name it has once it was sealed and compressed.
    pub(crate) fn packed_name(self) -> String {
        format!("{self}{PACKED}")
    }

    /// The name that its compressed file has until it is whole.
    pub(crate) fn unfinished_name(self) -> String {
        format!("{self}{UNFINISHED}")
    }

    /// The name of a segment that is written again from another one, until it is whole.
    pub(crate) fn copy_name(self) -> String {
        format!("{self}{COPY}")
    }

    /// The file name of its index, which can be made again at any time.
    pub(crate) fn index_name(self) -> String {
        format!("{self}{INDEX}")
    }

    /// The name under which the `nth` torn tail of this segment is kept, counted from 1.
    pub(crate) fn torn_name(self, nth: u32) -> String {
        if nth == 1 { format!("{self}{TORN}") } else { format!("{self}.{nth}{TORN}") }
    }

    /// The number at the start of any of a segment's files, whatever they hold; none of a name that
    /// no journal gives.
    fn of_any(name: &str) -> Option<Self> {
        let (digits, kind) = name.split_at_checked(DIGITS)?;
        if !is_number(digits) {
            return None;
        }
        let is_torn = || {
            let nth = kind.strip_suffix(TORN).map(|nth| nth.strip_prefix('.').unwrap_or(nth));
            nth.is_some_and(|nth| nth.is_empty() || is_number(nth))
        };
        let is_ours = matches!(kind, PLAIN | PACKED | UNFINISHED | COPY | INDEX) || is_torn();
        if is_ours { digits.parse().ok().map(Self) } else { None }
    }

    /// Whether no journal ever gets as far: a segment of this number was put there by somebody, and
    /// those behind it would come to the end of the numbers.
    pub(crate) fn is_out_of_reach(self) -> bool {
        self.0 >= 1 << 63
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$}", self.0)
    }
}

/// What a journal's directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Segments, oldest first.
    pub(crate) segments: Vec<SegmentNumber>,
    /// Sealed and compressed segments, oldest first.
    pub(crate) packed: Vec<SegmentNumber>,
    /// Files that were not finished: of segments that were compressed, or written again.
    pub(crate) unfinished: Vec<String>,
    /// A number that no file here has had.
    pub(crate) next: u64,
    /// A file whose number is [out of reach](SegmentNumber::is_out_of_reach).
    pub(crate) strange: Option<String>,
}

impl Listing {
    /// Sorts out a directory's names; those that are no journal's are ignored.
    pub(crate) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut listing = Self { next: 1, ..Self::default() };
        for name in names {
            let Some(number) = SegmentNumber::of_any(name) else { continue };
            match &name[DIGITS..] {
                PLAIN => listing.segments.push(number),
                PACKED => listing.packed.push(number),
                UNFINISHED | COPY => listing.unfinished.push(name.to_owned()),
                _ => {}
            }
            listing.next = listing.next.max(number.0.saturating_add(1));
            if number.is_out_of_reach() {
                listing.strange = Some(name.to_owned());
            }
        }
        listing.segments.sort_unstable();
        listing.packed.sort_unstable();
        listing
    }

    /// All segments, compressed or not, oldest first. While one is being replaced by its
    /// compressed self, both are there.
    pub(crate) fn readable(mut self) -> Vec<SegmentNumber> {
        self.segments.append(&mut self.packed);
        self.segments.sort_unstable();
        self.segments.dedup();
        self.segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_sorted_into_segments_and_the_rest() {
        let names = [
            "lock",
            "00000000000000000010.jsonl",
            "00000000000000000009.jsonl",
            "00000000000000000001.jsonl.zst",
            "00000000000000000012.torn",
            "notes.jsonl",
            "1.jsonl",
            "0000000000000000001x.jsonl",
            "00000000000000000003.jsonl.tmp",
            "00000000000000000010.jsonl.zst.tmp",
            "ééééééééééé.jsonl",
            "00000000000000000099.bak",
            "00000000000000000099.jsonl.bak",
            "00000000000000000099.x.torn",
            "00000000000000000099torn",
        ];
        let listing = Listing::of(names);
        assert_eq!(listing.segments, [SegmentNumber(9), SegmentNumber(10)]);
        assert_eq!(listing.packed, [SegmentNumber(1)]);
        let unfinished = ["00000000000000000003.jsonl.tmp", "00000000000000000010.jsonl.zst.tmp"];
        assert_eq!(listing.unfinished, unfinished);
        assert_eq!(listing.clone().readable(), [1, 9, 10].map(SegmentNumber));
        assert_eq!(listing.next, 13, "the number of a torn tail is not used again");
        assert_eq!(listing.strange, None);
        assert_eq!(Listing::of([]).next, 1);
        assert_eq!(Listing::of(["00000000000000000007.12.torn"]).next, 8);
        assert_eq!(Listing::of(["00000000000000000007.index"]).next, 8);
    }

    #[test]
    fn names_come_back_as_the_numbers_they_were_made_from() {
        let number = SegmentNumber(u64::MAX);
        assert_eq!(number.file_name(), "18446744073709551615.jsonl");
        assert_eq!(Listing::of([&*number.file_name()]).segments, [number]);
        assert_eq!(SegmentNumber(3).torn_name(1), "00000000000000000003.torn");
        assert_eq!(SegmentNumber(3).torn_name(2), "00000000000000000003.2.torn");
    }
}
