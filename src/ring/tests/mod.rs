//! The ring step by step, on one thread: every state that `stress` and `models` can only hope to
//! meet is made here on purpose.

mod each;
mod memory;

use super::log::Shape;
use super::reader::Overrun;
use super::writer::Claim;
use super::*;
use crate::Sequence;
use crate::sync::Arc;

/// A ring of `blocks` blocks of `block` slots, with tags that are about to wrap.
fn tiny<T: Send + Sync + 'static>(block: usize, blocks: usize, start: u64) -> Arc<Log<T>> {
    Log::with_shape(Shape { block, blocks, most: 1000, tag: u32::MAX - 3 }, start)
}

fn publish<T: Send + Sync + 'static>(writer: &mut Writer<T>, value: T) -> u64 {
    let claim = writer.claim(1).unwrap();
    let position = claim.first();
    claim.commit(|| value);
    writer.reclaim();
    position
}

fn publish_all<T: Send + Sync + 'static>(
    writer: &mut Writer<T>,
    values: impl IntoIterator<Item = T>,
) {
    for value in values {
        publish(writer, value);
    }
}

/// Items with their positions, and gaps.
type Seen<T> = (Vec<(u64, T)>, Vec<(u64, u64)>);

/// Reads to the end: the values with their positions, and all gaps.
fn read<T: Copy + Send + Sync + 'static>(reader: &mut Reader<T>) -> Seen<T> {
    let (mut items, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match reader.next() {
            Next::Item(position, value) => {
                items.push((position, *value));
                reader.advance();
            }
            Next::Gap { from, to } => gaps.push((from, to)),
            Next::Empty | Next::Closed => return (items, gaps),
        }
    }
}

#[test]
fn measures_follow_from_the_slots() {
    for (slots, rounded, capacity) in [
        (0, 8, 6),
        (8, 8, 6),
        (9, 16, 12),
        (512, 512, 384),
        (1000, 1024, 768),
        (8192, 8192, 7936),
        (1 << 21, 1 << 21, (1 << 21) - 512),
    ] {
        let log = Log::<u8>::new(slots, 1);
        assert_eq!((log.slots(), log.capacity()), (rounded, capacity), "of {slots}");
    }
    assert_eq!(Log::<u8>::new(8192, 1).largest_claim(), 64);
    assert_eq!(Log::<u8>::new(8, 1).largest_claim(), 2);
}

#[test]
fn who_is_overrun_passes_over_nothing_that_a_required_reader_has_not_read() {
    for behind in 0..12 {
        let log = tiny(4, 4, 1);
        let mut writer = Log::writer(&log);
        let (mut lossy, mut required) = (Log::reader(&log, 1), Log::required(&log, log.capacity()));
        for lap in 1..200 {
            publish(&mut writer, lap);
            while required.position() + behind < log.tail() {
                assert!(matches!(required.next(), Next::Item(..)));
                required.advance();
            }
            required.publish();
            if lap % 23 == 0 {
                let (items, gaps) = read(&mut lossy);
                let lost: u64 = gaps.iter().map(|(from, to)| to - from + 1).sum();
                assert!(lost > 0 && items.len() as u64 + lost == 23, "{behind} {gaps:?}");
                let unread = required.position();
                assert!(gaps.iter().all(|&(_, to)| to < unread), "{gaps:?} before {unread}");
            }
        }
    }
}

#[test]
fn messages_are_read_in_the_order_of_their_claims() {
    for start in [1, 2, 3, 6, 1 << 40, (1 << 50) - 1] {
        let log = tiny(4, 4, start);
        let mut writer = Log::writer(&log);
        let mut reader = Log::reader(&log, start);
        assert_eq!(reader.next(), Next::Empty);
        for lap in 0..10 {
            let begin = start + lap * 10;
            assert_eq!(reader.lag(), 0);
            for position in begin..begin + 10 {
                assert_eq!(publish(&mut writer, position * 3), position);
            }
            assert_eq!(reader.lag(), 10);
            let expected: Vec<_> = (begin..begin + 10).map(|p| (p, p * 3)).collect();
            assert_eq!(read(&mut reader), (expected, vec![]));
        }
        assert_eq!((log.start(), log.tail()), (start, start + 100));
    }
}

#[test]
fn a_batch_takes_what_it_claimed_and_crosses_blocks() {
    let log = tiny(4, 4, 3);
    let mut writer = Log::writer(&log);
    let mut reader = Log::reader(&log, 3);
    let mut values: Vec<u32> = (0..12).collect();
    let room = values.capacity();
    for first in [3, 7, 11] {
        let claim = writer.claim(4).unwrap();
        assert_eq!(claim.first(), first);
        claim.commit_all(&mut values);
    }
    assert_eq!((values.len(), values.capacity()), (0, room));
    let (items, gaps) = read(&mut reader);
    assert_eq!(items, (3..15).zip(0..12).collect::<Vec<_>>());
    assert_eq!(gaps, []);
}

#[test]
fn nothing_is_seen_before_what_was_claimed_earlier() {
    let log = tiny(4, 4, 1);
    let (mut a, mut b) = (Log::writer(&log), Log::writer(&log));
    let mut reader = Log::reader(&log, 1);
    let claim = a.claim(1).unwrap();
    publish(&mut b, 'b');
    assert_eq!(reader.next(), Next::Empty);
    assert!(!reader.is_ready());
    claim.commit(|| 'a');
    assert!(reader.is_ready());
    assert_eq!(read(&mut reader).0, [(1, 'a'), (2, 'b')]);
}

#[test]
fn an_overrun_reader_gets_one_exact_gap() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    let mut reader = Log::reader(&log, 1);
    for n in 1..=40_u64 {
        publish(&mut writer, n);
    }
    assert!(reader.is_ready());
    // The last message is in block 10; block 7 goes when block 11 comes; 8 begins with 32.
    assert_eq!(reader.next(), Next::Gap { from: 1, to: 31 });
    assert_eq!(reader.position(), 32);
    let (items, gaps) = read(&mut reader);
    assert_eq!(items, (32..=40).map(|n| (n, n)).collect::<Vec<_>>());
    assert_eq!(gaps, []);
}

#[test]
fn a_reader_from_before_the_start_begins_with_a_gap() {
    for published in [0, 3, 40] {
        let log = tiny(4, 4, 102);
        let mut writer = Log::writer(&log);
        for _ in 0..published {
            publish(&mut writer, ());
        }
        // 88: what its block's entry in the directory names before the first block is installed.
        for from in [1, 88, 101] {
            let mut reader = Log::reader(&log, from);
            assert!(reader.is_ready());
            let (items, gaps) = read(&mut reader);
            let to = gaps[0].1;
            assert_eq!(gaps, [(from, to)]);
            assert!(if published == 40 { to > 101 } else { to == 101 });
            assert_eq!(items.len() as u64, 101 + published - to);
            assert_eq!(reader.position(), log.tail());
        }
    }
}

#[test]
fn skipping_says_what_was_left_out() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    for n in 1..=12_u64 {
        publish(&mut writer, n);
    }
    let mut reader = Log::reader(&log, 1);
    assert_eq!(reader.next(), Next::Item(1, &1));
    assert_eq!(reader.skip_to(1), None);
    assert_eq!(reader.skip_to(3), Some((1, 2)));
    assert_eq!(reader.next(), Next::Item(3, &3));
    assert_eq!(reader.skip_to(9), Some((3, 8)));
    assert_eq!(reader.next(), Next::Item(9, &9));
    assert_eq!(reader.skip_to(8), None);
}

#[test]
fn a_required_reader_is_not_overrun_and_its_window_is_exact() {
    for (block, blocks) in [(1, 2), (2, 2), (4, 4)] {
        for window in 0..=block * blocks {
            let log = tiny(block, blocks, 1);
            let allowed = window.clamp(1, log.capacity()) as u64;
            let mut writer = Log::writer(&log);
            publish(&mut writer, 1);
            let mut reader = Log::required(&log, window);
            assert!(reader.is_required());
            assert_eq!(reader.position(), 2);
            for n in 0..30 {
                while log.tail() < reader.position() + allowed {
                    let tail = log.tail();
                    publish(&mut writer, tail);
                }
                assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
                assert_eq!(reader.next(), Next::Item(n + 2, &(n + 2)));
                reader.advance();
                assert_eq!(writer.claim(1).unwrap_err(), Refused::Full, "not published");
                reader.publish();
            }
        }
    }
}

#[test]
fn a_batch_goes_as_a_whole_or_not_at_all() {
    let log = tiny(4, 2, 1);
    let mut writer = Log::writer(&log);
    let _reader = Log::required(&log, 4);
    assert_eq!(log.largest_claim(), 4);
    publish(&mut writer, 0);
    assert_eq!(writer.claim(4).unwrap_err(), Refused::Full);
    assert_eq!(log.tail(), 2);
    writer.claim(3).unwrap().commit_all(&mut vec![0; 3]);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
}

#[test]
fn a_batch_is_cut_to_the_smallest_window() {
    let log = tiny::<u8>(4, 4, 1);
    let wide = Log::required(&log, 3);
    let narrow = Log::required(&log, 2);
    assert_eq!(log.largest_claim(), 2);
    drop(narrow);
    assert_eq!(log.largest_claim(), 3);
    drop(wide);
    assert_eq!(log.largest_claim(), 4);
}

#[test]
fn a_required_reader_that_leaves_makes_room() {
    let log = tiny(4, 2, 1);
    let mut writer = Log::writer(&log);
    let (near, far) = (Log::required(&log, 2), Log::required(&log, 4));
    publish_all(&mut writer, 0..2);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    drop(near);
    publish_all(&mut writer, 0..2);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    drop(far);
    publish_all(&mut writer, 0..50);
}

#[test]
fn a_publisher_notices_a_reader_that_registers_late() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    publish_all(&mut writer, 0..100);
    let mut reader = Log::required(&log, 3);
    assert_eq!(reader.position(), 101);
    publish_all(&mut writer, 0..3);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    assert_eq!(read(&mut reader).0, [(101, 0), (102, 1), (103, 2)]);
}

#[test]
fn a_required_reader_may_begin_where_the_ring_still_holds() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    for n in 1..=40_u64 {
        publish(&mut writer, n);
    }
    let overrun = Log::required_from(&log, 31, 12).unwrap_err();
    assert_eq!(overrun, Overrun { oldest: 32 });
    assert_eq!(publish(&mut writer, 41), 41, "a reader that did not begin limits nobody");
    let mut reader = Log::required_from(&log, 33, 2).unwrap();
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    assert_eq!(read(&mut reader).0.len(), 9);
    reader.publish();
    publish(&mut writer, 42);
    assert_eq!(read(&mut reader), (vec![(42, 42)], vec![]));
    assert!(Log::required_from(&tiny::<u8>(4, 4, 9), 8, 1).is_err());
}

#[test]
fn places_that_are_held_are_the_holders_until_it_commits_them() {
    let log = tiny(4, 4, 1);
    let (mut holder, mut writer) = (Holder::new(&log), Log::writer(&log));
    assert!(holder.held().is_none());
    holder.hold(3).unwrap();
    let mut reader = Log::reader(&log, 1);
    publish(&mut writer, 4);
    assert_eq!(reader.next(), Next::Empty, "what is held is not there yet");
    // Whatever others do meanwhile, the block that is held stays.
    publish_all(&mut writer, 5..40);
    let held = holder.held().unwrap();
    assert_eq!((held.first(), held.len()), (1, 3));
    held.commit_all(&mut vec![1, 2, 3]);
    assert!(holder.held().is_none());
    holder.pen().reclaim();
    holder.hold(1).unwrap();
    holder.held().unwrap().commit(|| 40);
    assert_eq!(read(&mut reader).0.last(), Some(&(40, 40)));
    log.close();
    assert_eq!(holder.hold(1), Err(Refused::Closed));
    assert!(holder.held().is_none());
}

#[test]
#[should_panic(expected = "committed before anything else")]
fn a_holder_gives_no_pen_while_it_holds_places() {
    let log = tiny::<u8>(4, 4, 1);
    let mut holder = Holder::new(&log);
    holder.hold(1).unwrap();
    holder.pen().reclaim();
}

#[test]
fn what_a_reader_has_in_hand_leaves_room_for_its_whole_window() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    let mut reader = Log::required(&log, 4);
    publish_all(&mut writer, 0..4);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    assert_eq!(log.read_by_all(4), Some(1));
    reader.publish_ahead(3);
    assert_eq!(log.read_by_all(4), Some(4));
    publish_all(&mut writer, 4..7);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    // Never more than the ring can keep for it.
    reader.publish_ahead(100);
    publish_all(&mut writer, 7..12);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    assert_eq!(read(&mut reader).0.len(), 12);
}

#[test]
fn what_a_reader_has_read_and_not_told_leaves_no_room() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    let mut reader = Log::required(&log, 4);
    publish_all(&mut writer, 0..4);
    assert_eq!(read(&mut reader).0.len(), 4);
    reader.publish_to(reader.position() - 1);
    publish_all(&mut writer, 4..7);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    reader.publish();
    publish_all(&mut writer, 7..8);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
}

#[test]
fn a_reader_that_is_let_go_of_limits_nobody_and_has_a_gap() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    let mut reader = Log::required(&log, 2);
    let stake = reader.stake().unwrap();
    publish_all(&mut writer, 0..2);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    stake.lift();
    assert_eq!(log.read_by_all(2), None);
    publish_all(&mut writer, 2..100);
    let (items, gaps) = read(&mut reader);
    assert_eq!(gaps, [(1, 91)]);
    assert_eq!(items.len(), 9);
    assert!(Log::reader(&log, 1).stake().is_none());
}

#[test]
fn a_closed_ring_is_read_to_its_end() {
    let log = tiny(4, 4, 1);
    let (mut a, mut b) = (Log::writer(&log), Log::writer(&log));
    let mut reader = Log::reader(&log, 1);
    publish(&mut a, 1);
    let claim = a.claim(1).unwrap();
    assert!(!log.is_closed());
    assert_eq!((log.close(), log.close()), (3, 3));
    assert!(log.is_closed());
    assert_eq!((log.tail(), log.join()), (3, 3));
    assert_eq!(b.claim(1).unwrap_err(), Refused::Closed);
    assert_eq!(read(&mut reader).0, [(1, 1)]);
    assert_eq!(reader.next(), Next::Empty, "one is still under way");
    claim.commit(|| 2);
    assert_eq!(read(&mut reader).0, [(2, 2)]);
    assert_eq!(reader.next(), Next::Closed);
    assert!(reader.is_ready());
}

#[test]
fn a_disabled_ring_takes_nothing_until_it_is_enabled() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    assert!(log.is_enabled());
    log.set_enabled(false);
    assert!(!log.is_enabled());
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Disabled);
    assert_eq!(log.tail(), 1);
    log.set_enabled(true);
    assert_eq!(publish(&mut writer, 0), 1);
    log.set_enabled(false);
    log.close();
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Closed);
}

#[test]
fn at_the_end_of_the_numbers_the_ring_closes() {
    let last = Sequence::LIMIT - 2;
    let log = tiny(4, 4, last - 4);
    let mut writer = Log::writer(&log);
    let mut reader = Log::required(&log, 8);
    writer.claim(4).unwrap().commit_all(&mut vec![7; 4]);
    assert_eq!(writer.claim(2).unwrap_err(), Refused::Closed, "one is left, two were asked for");
    assert!(log.is_closed());
    assert_eq!(read(&mut reader).0.len(), 4);
    assert_eq!(reader.next(), Next::Closed);

    let log = tiny(4, 4, last);
    let mut writer = Log::writer(&log);
    assert_eq!(publish(&mut writer, 7), last);
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Closed);
    assert_eq!(log.tail(), last + 1);
    assert!(log.is_enabled(), "the number is not taken for a flag");
}

#[test]
fn block_numbers_wrap_in_the_directory() {
    // Block numbers are kept modulo 2^48; with blocks of two that is position 2^49.
    let log = tiny(2, 4, (1 << 49) - 5);
    let mut writer = Log::writer(&log);
    let mut fast = Log::reader(&log, log.start());
    let mut slow = Log::reader(&log, log.start());
    for n in 0..30 {
        publish(&mut writer, n);
        assert_eq!(read(&mut fast), (vec![(log.start() + n, n)], vec![]));
    }
    let (items, gaps) = read(&mut slow);
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].0, log.start());
    assert_eq!(items.first().unwrap().0, gaps[0].1 + 1);
    assert_eq!(items.last().unwrap(), &(log.start() + 29, 29));
}

/// A log must not cross threads with messages that must not. The call is ambiguous, and does not
/// compile, for a type that has the trait.
macro_rules! assert_not {
    ($trait:ident: $($type:ty),*) => {{
        trait Ambiguous<A> {
            fn lacks() -> bool {
                true
            }
        }
        struct Has;
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
        assert!($(<$type as Ambiguous<_>>::lacks())&&*);
    }};
}

#[test]
fn a_ring_crosses_threads_only_with_messages_that_may_be_shared() {
    fn may<T: Send + Sync>(_: &T) {}
    let log = tiny::<u8>(4, 2, 1);
    may(&log);
    may(&Log::writer(&log));
    may(&Log::reader(&log, 1));
    assert_not!(Send: Log<std::cell::Cell<u8>>, Log<std::sync::MutexGuard<'static, u8>>);
    assert_not!(Sync: Log<std::cell::Cell<u8>>, Log<std::rc::Rc<u8>>);
    assert_not!(Send: Pen<'static, u8>, Claim<'static, u8>);
}
