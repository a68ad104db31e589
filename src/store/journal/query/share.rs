//! What there is to search: ranges, and segments of which an index may say that most is not wanted.
#![forbid(unsafe_code)]

use std::collections::{BTreeSet, VecDeque};
use std::iter;

use super::Order;
use super::search::{RANGE, Range};
use crate::store::StoreError;
use crate::store::journal::index::{Index, Window};
use crate::store::journal::read::Target;
use crate::store::journal::segment::SegmentNumber;

/// A part of a journal that is to be searched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Share {
    /// All of this.
    Range(Range),
    /// What a window leaves of a sealed segment.
    Sealed(Sealed),
}

/// A segment that a newer one follows: its index stays true.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed {
    segment: SegmentNumber,
    length: u64,
    /// Who comes from the front need not unpack it once a range.
    in_one: bool,
}

/// All of a journal, in the order of the search, and how many bytes that is; also the segments that
/// were listed and are gone.
pub(super) fn shares(
    target: &Target,
    order: Order,
    window: Window,
) -> Result<(VecDeque<Share>, u64, BTreeSet<SegmentNumber>), StoreError> {
    let mut shares = VecDeque::new();
    let mut total = 0;
    let mut gone = BTreeSet::new();
    let segments = target.segments()?;
    for &segment in &segments {
        let Some(file) = target.open(segment)? else {
            gone.insert(segment);
            continue;
        };
        let length = file.length();
        let length = length.map_err(|error| target.failed("look at", Some(segment), error))?;
        total += length;
        let in_one = order == Order::Ascending && file.is_stream();
        let sealed = Sealed { segment, length, in_one };
        if window.is_open() || segments.last() == Some(&segment) {
            shares.extend(sealed.all(Order::Ascending).into_iter().map(Share::Range));
        } else {
            shares.push_back(Share::Sealed(sealed));
        }
    }
    if order == Order::Descending {
        shares.make_contiguous().reverse();
    }
    Ok((shares, total, gone))
}

impl Sealed {
    pub(super) fn segment(&self) -> SegmentNumber {
        self.segment
    }

    /// All of it.
    pub(super) fn all(&self, order: Order) -> Vec<Range> {
        self.cut(iter::once(0..self.length), order)
    }

    /// What is left of it by its index, and how many bytes are not.
    pub(super) fn wanted(&self, index: &Index, window: Window, order: Order) -> (Vec<Range>, u64) {
        let mut within = index.within(window);
        if self.in_one
            && let (Some(first), Some(last)) = (within.first(), within.last())
        {
            within = iter::once(first.start..last.end).collect();
        }
        let wanted: u64 = within.iter().map(|range| range.end - range.start).sum();
        (self.cut(within, order), index.length.saturating_sub(wanted))
    }

    fn cut(
        &self,
        ranges: impl IntoIterator<Item = std::ops::Range<u64>>,
        order: Order,
    ) -> Vec<Range> {
        let mut pieces = Vec::new();
        for range in ranges {
            let step = if self.in_one { range.end - range.start } else { RANGE };
            let mut from = range.start;
            while from < range.end {
                let to = range.end.min(from + step);
                pieces.push(Range { segment: self.segment, from, to });
                from = to;
            }
        }
        if order == Order::Descending {
            pieces.reverse();
        }
        pieces
    }
}
