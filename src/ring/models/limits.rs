//! Required readers: what publishers may claim while they read, join and leave.

use super::*;

fn batch_and_required_reader() {
    loom::model(|| {
        // The last slot of its block is unread, the batch would end two blocks on.
        let model = Model::new(4, 2, 7);
        let mut reader = Log::required(&model.log, 4);
        let mut writer = Log::writer(&model.log);
        model.publish_batch(&mut writer, 3).unwrap();
        let publisher = model.spawn(move |model| {
            let second = model.publish_batch(&mut writer, 3);
            assert!(matches!(second, Ok(()) | Err(Refused::Full)));
        });
        for position in 7..10 {
            let Next::Item(at, message) = reader.next() else { panic!("overrun") };
            assert_eq!((at, message.read()), (position, position));
            reader.advance();
            reader.publish();
            assert!(model.log.tail() <= reader.position() + 4, "further than the window");
        }
        publisher.join().unwrap();
        drop(reader);
        let published = model.log.tail() - 7;
        model.check(published);
    });
}

/// A batch that would end beyond the reader's window is refused as a whole; when it fits, nothing
/// unread is evicted.
#[test]
fn a_batch_over_a_boundary_does_not_overrun_a_required_reader() {
    batch_and_required_reader();
}

/// The same, comparing the limit with where the batch begins.
#[test]
#[should_panic(expected = "further than the window")]
fn a_limit_without_the_batch_is_found() {
    plant(Fault::LimitWithoutBatch);
    batch_and_required_reader();
}

fn overrun_beside_a_required_reader() {
    loom::model(|| {
        let model = Model::new(2, 4, 2);
        let (mut lossy, mut required) = (Log::reader(&model.log, 2), Log::required(&model.log, 6));
        let mut writer = Log::writer(&model.log);
        let read = move |required: &mut Reader<Watched>| {
            assert!(matches!(required.next(), Next::Item(..)));
            required.advance();
            required.publish();
            required.position()
        };
        (0..6).for_each(|_| model.publish(&mut writer));
        (0..3).for_each(|_| {
            read(&mut required);
        });
        (0..2).for_each(|_| model.publish(&mut writer));
        // The next one evicts the block where the lossy reader is.
        let publisher = model.spawn(move |model| {
            let _ = model.publish_batch(&mut writer, 1);
            let _ = model.publish_batch(&mut writer, 1);
        });
        let told = required.position();
        if let Next::Gap { to, .. } = lossy.next() {
            assert!(to < told, "past what is unread");
        }
        read(&mut required);
        publisher.join().unwrap();
    });
}

/// A reader that was overrun goes on no later than where a required reader is, whatever is claimed
/// meanwhile.
#[test]
fn who_is_overrun_passes_over_nothing_that_is_unread() {
    overrun_beside_a_required_reader();
}

/// The same, going on where the next block that is installed leaves everything.
#[test]
#[should_panic(expected = "past what is unread")]
fn going_on_past_what_is_unread_is_found() {
    plant(Fault::PastUnread);
    overrun_beside_a_required_reader();
}

/// A publisher that found the ring full goes on when the required reader has left.
#[test]
fn a_required_reader_that_leaves_lets_publishers_on() {
    loom::model(|| {
        let model = Model::narrow();
        let reader = Log::required(&model.log, 1);
        let publisher = model.spawn(|model| {
            let mut writer = Log::writer(&model.log);
            model.publish(&mut writer);
            while model.publish_batch(&mut writer, 1).is_err() {
                thread::yield_now();
            }
        });
        drop(reader);
        publisher.join().unwrap();
        model.check(2);
    });
}

fn late_reader() {
    loom::model(|| {
        let model = Model::narrow();
        let publisher = model.spawn(|model| {
            let mut writer = Log::writer(&model.log);
            for _ in 0..3 {
                if let Err(refused) = model.publish_batch(&mut writer, 1) {
                    return assert_eq!(refused, Refused::Full);
                }
            }
        });
        let mut reader = Log::required(&model.log, 1);
        let begin = reader.position();
        let (before, lost) = model.read(&mut reader);
        assert_eq!(lost, 0);
        publisher.join().unwrap();
        let (after, lost) = model.read(&mut reader);
        assert_eq!(lost, 0);
        assert_eq!(begin + before + after, model.log.tail());
        drop(reader);
        let published = model.log.tail() - model.log.start();
        model.check(published);
    });
}

/// A required reader registers while a publisher goes on that has never seen it: it misses nothing
/// from its own position on.
#[test]
fn a_late_required_reader_misses_nothing() {
    late_reader();
}

/// The same, the publisher trusting the limit that it remembers.
#[test]
#[should_panic(expected = "a required reader is never overrun")]
fn a_publisher_that_keeps_an_old_limit_is_found() {
    plant(Fault::OldLimit);
    late_reader();
}

/// As above from an earlier position: it is either told that it is too late, or misses nothing.
#[test]
fn a_required_reader_from_the_past_misses_nothing_or_is_refused() {
    loom::model(|| {
        let model = Model::new(1, 4, (1 << 48) - 1);
        let start = model.log.start();
        let mut writer = Log::writer(&model.log);
        model.publish(&mut writer);
        model.publish(&mut writer);
        let publisher = model.spawn(move |model| {
            for _ in 0..2 {
                let _ = model.publish_batch(&mut writer, 1);
            }
        });
        if let Ok(mut reader) = Log::required_from(&model.log, start, 3) {
            let (before, lost) = model.read(&mut reader);
            assert_eq!(lost, 0);
            publisher.join().unwrap();
            let (after, lost) = model.read(&mut reader);
            assert_eq!((lost, start + before + after), (0, model.log.tail()));
        } else {
            publisher.join().unwrap();
        }
        let published = model.log.tail() - start;
        model.check(published);
    });
}

/// L4: there is room for one, two ask. Without the reader's step one is refused; with it, or
/// after it, both go through.
#[test]
fn full_is_said_only_when_it_was_full() {
    loom::model(|| {
        let model = Model::new(1, 4, (1 << 48) - 1);
        let mut reader = Log::required(&model.log, 2);
        let mut writer = Log::writer(&model.log);
        model.publish(&mut writer);
        let accepted = Count::new(AtomicUsize::new(0));
        let publishers = [Some(writer), None].map(|writer| {
            let accepted = accepted.clone();
            model.spawn(move |model| {
                let mut writer = writer.unwrap_or_else(|| Log::writer(&model.log));
                if model.publish_batch(&mut writer, 1).is_ok() {
                    accepted.fetch_add(1, Relaxed);
                }
            })
        });
        assert!(matches!(reader.next(), Next::Item(..)));
        reader.advance();
        reader.publish();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        let accepted = accepted.load(Relaxed) as u64;
        assert!((1..=2).contains(&accepted));
        drop(reader);
        model.check(1 + accepted);
    });
}
