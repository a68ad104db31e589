//! What becomes of blocks, cells and messages: who holds them, and where they die.

use std::sync::Arc as Probe;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;

/// A message whose copies are counted.
struct Counted {
    _probe: Probe<()>,
}

impl Counted {
    fn of(probe: &Probe<()>) -> Self {
        Self { _probe: probe.clone() }
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
fn receivers_stock_one_block_ahead_and_no_more_than_a_lap_needs() {
    let log = tiny::<u64>(4, 4, 4);
    let made = |log: &Log<u64>| log.pool.arena().len();
    log.stock();
    assert_eq!(made(&log), 0, "nothing before the first message");
    let mut writer = Log::writer(&log);
    publish_all(&mut writer, 4..=5);
    (0..3).for_each(|_| log.stock());
    assert_eq!(made(&log), 2, "one ahead");
    publish_all(&mut writer, 6..=9);
    assert_eq!(made(&log), 2, "which the publisher took");
    for n in 10..100 {
        log.stock();
        let before = made(&log);
        publish(&mut writer, n);
        assert_eq!(made(&log), before, "message {n} waits for no memory");
    }
    // A lap's blocks, and the one that comes in before another goes out.
    assert_eq!(made(&log), 5);
    let mut reader = Log::reader(&log, 92);
    assert_eq!(read(&mut reader).0.len(), 8);
}

#[test]
fn an_idle_reader_holds_no_block_and_finds_the_gap() {
    let log = tiny(4, 2, 1);
    let mut writer = Log::writer(&log);
    let mut reader = Log::reader(&log, 1);
    let probe = Probe::new(());
    publish(&mut writer, Counted::of(&probe));
    assert!(matches!(reader.next(), Next::Item(1, _)));
    reader.release();
    for _ in 0..50 {
        publish(&mut writer, Counted::of(&probe));
    }
    assert!(Probe::strong_count(&probe) <= 1 + 2 * 4 + 1);
    assert!(matches!(reader.next(), Next::Gap { from: 1, .. }));
}

#[test]
fn a_lapped_writer_keeps_its_place() {
    // Its block was there when it claimed: it finishes its write in the evicted block, which
    // waits for it.
    let probe = Probe::new(());
    let log = tiny(4, 2, 1);
    let (mut slow, mut fast) = (Log::writer(&log), Log::writer(&log));
    let mut reader = Log::reader(&log, 1);
    publish(&mut slow, Counted::of(&probe));
    let claim = slow.claim(1).unwrap();
    for _ in 0..30 {
        publish(&mut fast, Counted::of(&probe));
    }
    assert_eq!(claim.first(), 2);
    claim.commit(|| Counted::of(&probe));
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
    claim.commit(|| 2);
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
        publish(&mut fast, Counted::of(&probe));
    }
    let held = Probe::strong_count(&probe);
    claim.commit_all(&mut vec![Counted::of(&probe), Counted::of(&probe)]);
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
        publish(&mut writer, Counted::of(&probe));
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
        writer.claim(1).unwrap().commit(|| Counted::of(&probe));
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
                pen.claim(1).unwrap().commit(|| Call { drops: self.drops.clone(), echo: None });
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
    publish_all(&mut writer, 0..4);
    // Both blocks are held; the third one is all that is left.
    assert!(readers.iter_mut().all(|reader| matches!(reader.next(), Next::Item(..))));
    publish_all(&mut writer, 0..2);
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
        log.with_writer(|pen| pen.claim(1).unwrap().commit(|| round));
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
        log.with_writer(|inner| inner.claim(1).unwrap().commit(|| 2));
        claim.commit(|| 1);
    });
    assert_eq!(read(&mut Log::reader(&log, 1)).0, [(1, 1), (2, 2)]);
}
