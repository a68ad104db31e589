//! Messages lent one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Reads to the end by `each`, as a source does: what was lent, and all gaps.
fn read_each<T: Copy + Send + Sync + 'static>(reader: &mut Reader<T>, most: u64) -> Seen<T> {
    let (mut items, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match reader.next() {
            Next::Item(position, _) => {
                let before = items.len();
                reader.each(position + most, |position, value| {
                    items.push((position, *value));
                    Flow::On
                });
                assert!((1..=most as usize).contains(&(items.len() - before)));
            }
            Next::Gap { from, to } => gaps.push((from, to)),
            Next::Empty | Next::Closed => return (items, gaps),
        }
    }
}

#[test]
fn each_lends_what_next_would_give_one_by_one() {
    for start in [1, 2, 3, 6, 1 << 40] {
        for most in 1..10 {
            let log = tiny(4, 4, start);
            let mut writer = Log::writer(&log);
            let (mut by_one, mut by_each) = (Log::reader(&log, start), Log::reader(&log, start));
            for lap in 1..40 {
                // Up to 12 are kept, so that longer laps overrun both.
                publish_all(&mut writer, 0..lap % 20);
                assert_eq!(read_each(&mut by_each, most), read(&mut by_one));
                assert_eq!(by_each.position(), by_one.position());
            }
        }
    }
}

#[test]
fn each_leaves_a_block_when_it_is_through() {
    let probe = Arc::new(());
    let log = tiny(4, 2, 4);
    let mut writer = Log::writer(&log);
    let mut reader = Log::reader(&log, 4);
    publish_all(&mut writer, vec![Arc::clone(&probe); 4]);
    assert!(matches!(reader.next(), Next::Item(4, _)));
    reader.each(u64::MAX, |_, _| Flow::On);
    assert_eq!(reader.position(), 8);
    // Nobody is in it, so that it is emptied when the ring has come round.
    publish_all(&mut writer, vec![Arc::clone(&probe); 50]);
    assert!(Arc::strong_count(&probe) <= 1 + 2 * 4 + 1, "{}", Arc::strong_count(&probe));
}

#[test]
fn a_message_stays_if_it_is_not_done_with_or_its_handler_panics() {
    let log = tiny(4, 4, 1);
    let mut writer = Log::writer(&log);
    let mut reader = Log::reader(&log, 1);
    publish_all(&mut writer, 10..13);
    assert!(matches!(reader.next(), Next::Item(1, &10)));
    let mut seen = Vec::new();
    let mut each = |reader: &mut Reader<u64>, flow: [Flow; 2]| {
        let mut flow = flow.into_iter();
        reader.each(u64::MAX, |position, value| {
            seen.push((position, *value));
            flow.next().expect("asked after it was told to stop")
        });
        reader.position()
    };
    assert_eq!(each(&mut reader, [Flow::On, Flow::Stay]), 2);
    assert_eq!(each(&mut reader, [Flow::Last, Flow::Stay]), 3);
    assert_eq!(seen, [(1, 10), (2, 11), (2, 11)]);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        reader.each(u64::MAX, |_, value| panic!("{value}"));
    }));
    assert!(panicked.is_err());
    assert!(matches!(reader.next(), Next::Item(3, &12)));
}

#[test]
fn messages_in_a_row_are_counted_to_the_first_that_is_missing_or_not_wanted() {
    let log = tiny(4, 4, 4);
    let mut writer = Log::writer(&log);
    let mut reader = Log::reader(&log, 4);
    assert_eq!(reader.in_a_row(8, |_| true), 0, "it is in no block");
    publish_all(&mut writer, 0..3);
    assert!(matches!(reader.next(), Next::Item(4, &0)));
    assert_eq!(reader.in_a_row(8, |_| true), 3);
    assert_eq!(reader.in_a_row(2, |_| true), 2);
    assert_eq!(reader.in_a_row(8, |value| *value < 2), 2);
    publish_all(&mut writer, 3..9);
    assert_eq!(reader.in_a_row(8, |_| true), 4, "to the end of the block");
    reader.advance();
    assert_eq!(reader.in_a_row(8, |_| true), 3);
    assert_eq!(reader.position(), 5);
}
