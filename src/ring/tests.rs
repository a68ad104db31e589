//! The ring step by step, on one thread: every state that `stress` and `models` can only hope to
//! meet is made here on purpose.

use std::sync::Arc as Probe;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::log::Shape;
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
    claim.commit(value);
    writer.reclaim();
    position
}

/// Reads to the end: the values with their positions, and all gaps.
fn read<T: Copy + Send + Sync + 'static>(
    reader: &mut Reader<T>,
) -> (Vec<(u64, T)>, Vec<(u64, u64)>) {
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

/// A message that counts itself.
#[derive(Clone)]
struct Counted(#[allow(dead_code)] Probe<()>);

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
    claim.commit('a');
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
        for from in [1, 101] {
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
fn a_reader_inside_a_block_keeps_it_while_the_ring_comes_round() {
    let log = tiny(4, 2, 1);
    let mut writer = Log::writer(&log);
    let mut reader = Log::reader(&log, 1);
    publish(&mut writer, String::from("one"));
    let Next::Item(1, held) = reader.next() else { panic!() };
    for n in 2..100 {
        publish(&mut writer, n.to_string());
    }
    assert_eq!(held, "one");
    // What is left of the block can still be read; only then comes the gap.
    for expected in ["one", "2", "3"] {
        let Next::Item(_, value) = reader.next() else { panic!("{expected}") };
        assert_eq!(value, expected);
        reader.advance();
    }
    assert!(matches!(reader.next(), Next::Gap { from: 4, .. }));
}

#[test]
fn an_idle_reader_holds_no_block_and_finds_the_gap() {
    let log = tiny(4, 2, 1);
    let mut writer = Log::writer(&log);
    let mut reader = Log::reader(&log, 1);
    let probe = Probe::new(());
    publish(&mut writer, Counted(probe.clone()));
    assert!(matches!(reader.next(), Next::Item(1, _)));
    reader.release();
    for _ in 0..50 {
        publish(&mut writer, Counted(probe.clone()));
    }
    assert!(Probe::strong_count(&probe) <= 1 + 2 * 4 + 1);
    assert!(matches!(reader.next(), Next::Gap { from: 1, .. }));
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
    (0..2).for_each(|n| drop(publish(&mut writer, n)));
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    drop(near);
    (0..2).for_each(|n| drop(publish(&mut writer, n)));
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    drop(far);
    (0..50).for_each(|n| drop(publish(&mut writer, n)));
}

#[test]
fn a_publisher_notices_a_reader_that_registers_late() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    (0..100).for_each(|n| drop(publish(&mut writer, n)));
    let mut reader = Log::required(&log, 3);
    assert_eq!(reader.position(), 101);
    (0..3).for_each(|n| drop(publish(&mut writer, n)));
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
    claim.commit(2);
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

#[test]
fn a_lapped_writer_keeps_its_place() {
    // Its block was there when it claimed: it finishes its write in the evicted block, which
    // waits for it.
    let probe = Probe::new(());
    let log = tiny(4, 2, 1);
    let (mut slow, mut fast) = (Log::writer(&log), Log::writer(&log));
    let mut reader = Log::reader(&log, 1);
    publish(&mut slow, Counted(probe.clone()));
    let claim = slow.claim(1).unwrap();
    for _ in 0..30 {
        publish(&mut fast, Counted(probe.clone()));
    }
    assert_eq!(claim.first(), 2);
    claim.commit(Counted(probe.clone()));
    assert_eq!(log.tail(), 33);
    let (mut seen, mut lost) = (0, 0);
    loop {
        match reader.next() {
            Next::Item(..) => {
                seen += 1;
                reader.advance();
            }
            Next::Gap { from, to } => lost += to - from + 1,
            _ => break,
        }
    }
    assert_eq!((seen + lost, reader.position()), (32, 33));
    drop((slow, fast, reader, log));
    assert_eq!(Probe::strong_count(&probe), 1);
}

#[test]
fn a_reader_does_not_wait_for_ever_for_a_lapped_writer() {
    let log = tiny(4, 2, 1);
    let (mut slow, mut fast) = (Log::writer(&log), Log::writer(&log));
    let mut reader = Log::reader(&log, 1);
    publish(&mut slow, 0);
    assert_eq!(read(&mut reader).0, [(1, 0)]);
    let claim = slow.claim(1).unwrap();
    assert_eq!(reader.next(), Next::Empty);
    for n in 3..=20 {
        publish(&mut fast, n);
    }
    // Inside the evicted block, at a place that is not there: on.
    let (items, gaps) = read(&mut reader);
    assert_eq!(gaps, [(2, 19)]);
    assert_eq!(items, [(20, 20)]);
    claim.commit(2);
    assert_eq!(read(&mut reader), (vec![], vec![]));
}

#[test]
fn a_writer_lapped_before_its_block_was_made_drops_last() {
    let probe = Probe::new(());
    let log = tiny(2, 2, 2);
    let (mut slow, mut fast) = (Log::writer(&log), Log::writer(&log));
    // The whole of block 1 belongs to a publisher that stalls before it installs the block.
    let claim = slow.claim(2).unwrap();
    for _ in 0..10 {
        publish(&mut fast, Counted(probe.clone()));
    }
    let held = Probe::strong_count(&probe);
    claim.commit_all(&mut vec![Counted(probe.clone()), Counted(probe.clone())]);
    assert_eq!(Probe::strong_count(&probe), held + 2, "no foreign code in a commit");
    slow.reclaim();
    assert!(Probe::strong_count(&probe) <= held);
    let mut reader = Log::reader(&log, 2);
    assert!(matches!(reader.next(), Next::Gap { from: 2, .. }));
    drop((slow, fast, reader, log));
    assert_eq!(Probe::strong_count(&probe), 1);
}

#[test]
fn a_stalled_publisher_holds_two_blocks_and_no_more() {
    let log = tiny(2, 2, 1);
    let (mut slow, mut fast) = (Log::writer(&log), Log::writer(&log));
    publish(&mut slow, Box::new(0));
    let claim = slow.claim(2).unwrap();
    for n in 0..1000 {
        publish(&mut fast, Box::new(n));
    }
    assert!(log.pool.arena().len() <= 2 + 2 + 2, "{}", log.pool.arena().len());
    claim.commit_all(&mut vec![Box::new(1), Box::new(2)]);
}

#[test]
fn messages_die_with_their_block_and_with_the_ring() {
    let probe = Probe::new(());
    let log = tiny(4, 2, 1);
    let mut writer = Log::writer(&log);
    for _ in 0..100 {
        publish(&mut writer, Counted(probe.clone()));
        assert!(Probe::strong_count(&probe) <= 1 + 8);
    }
    drop(log);
    assert!(Probe::strong_count(&probe) > 1, "the writer keeps the ring");
    drop(writer);
    assert_eq!(Probe::strong_count(&probe), 1);
}

#[test]
fn eviction_drops_nothing_before_reclaim() {
    let probe = Probe::new(());
    let log = tiny(4, 2, 4);
    let mut writer = Log::writer(&log);
    for n in 1..=9 {
        writer.claim(1).unwrap().commit(Counted(probe.clone()));
        assert_eq!(Probe::strong_count(&probe), 1 + n, "also when block 1 went");
    }
    writer.reclaim();
    assert_eq!(Probe::strong_count(&probe), 1 + 5);
}

#[test]
fn a_panicking_drop_loses_neither_block_nor_messages() {
    struct Bomb(Probe<AtomicUsize>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0.fetch_add(1, Relaxed).is_multiple_of(3) {
                panic!("as told");
            }
        }
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let drops = Probe::new(AtomicUsize::new(0));
    let log = tiny(4, 2, 1);
    let mut writer = Log::writer(&log);
    for _ in 0..200 {
        publish(&mut writer, Bomb(drops.clone()));
    }
    let made = log.pool.arena().len();
    drop((writer, log));
    std::panic::set_hook(hook);
    assert_eq!(drops.load(Relaxed), 200);
    assert!(made <= 3, "{made} blocks for a ring of two");
}

#[test]
fn a_message_may_publish_when_it_is_dropped() {
    struct Call {
        drops: Probe<AtomicUsize>,
        echo: Option<std::sync::Weak<Log<Call>>>,
    }
    impl Drop for Call {
        fn drop(&mut self) {
            self.drops.fetch_add(1, Relaxed);
            // Upgrading fails while the ring itself is dropped.
            let Some(log) = self.echo.take().and_then(|log| log.upgrade()) else { return };
            log.with_writer(|pen| {
                pen.claim(1).unwrap().commit(Call { drops: self.drops.clone(), echo: None });
                pen.reclaim();
            });
        }
    }
    let drops = Probe::new(AtomicUsize::new(0));
    let log = tiny(4, 2, 1);
    let mut writer = Log::writer(&log);
    for _ in 0..100 {
        publish(&mut writer, Call { drops: drops.clone(), echo: Some(Arc::downgrade(&log)) });
    }
    let published = log.tail() - 1;
    assert!(published > 180, "{published}: each of a hundred is echoed when its block goes");
    assert!(log.pool.arena().len() <= 6, "{}", log.pool.arena().len());
    drop((writer, log));
    assert_eq!(drops.load(Relaxed) as u64, published);
}

#[test]
fn a_publisher_without_a_block_is_refused_and_may_come_again() {
    let log = Log::with_shape(Shape { block: 2, blocks: 2, most: 3, tag: 0 }, 2);
    let mut writer = Log::writer(&log);
    let mut readers = [2, 4].map(|from| Log::reader(&log, from));
    (0..4).for_each(|n| drop(publish(&mut writer, n)));
    // Both blocks are held; the third one is all that is left.
    assert!(readers.iter_mut().all(|reader| matches!(reader.next(), Next::Item(..))));
    (0..2).for_each(|n| drop(publish(&mut writer, n)));
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full);
    assert_eq!(log.tail(), 8, "nothing was claimed");
    readers[0].release();
    assert_eq!(writer.claim(1).unwrap_err(), Refused::Full, "not emptied yet");
    writer.reclaim();
    publish(&mut writer, 8);
    assert_eq!(log.pool.arena().len(), 3);
}

#[test]
fn cells_are_given_back_and_used_again() {
    let log = tiny(4, 2, 1);
    for round in 0..100 {
        let mut writers: Vec<_> = (0..20).map(|_| Log::writer(&log)).collect();
        for writer in &mut writers {
            publish(writer, round);
        }
        log.with_writer(|pen| pen.claim(1).unwrap().commit(round));
    }
    assert_eq!(log.tail(), 1 + 100 * 21);
}

#[test]
fn a_borrowed_cell_comes_back_from_a_panic() {
    let log = tiny::<u8>(4, 2, 1);
    for _ in 0..100 {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            log.with_writer(|_| std::panic::resume_unwind(Box::new(())));
        }));
        assert!(caught.is_err());
    }
    let debug = format!("{:?}", log.cells);
    assert!(debug.matches("Memory").count() <= 16, "one chunk of cells, not a hundred cells");
}

#[test]
fn pens_nest_on_cells_of_their_own() {
    let log = tiny(4, 2, 1);
    log.with_writer(|outer| {
        let claim = outer.claim(1).unwrap();
        log.with_writer(|inner| inner.claim(1).unwrap().commit(2));
        claim.commit(1);
    });
    assert_eq!(read(&mut Log::reader(&log, 1)).0, [(1, 1), (2, 2)]);
}
