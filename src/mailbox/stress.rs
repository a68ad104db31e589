//! Mailboxes under load, on real threads and on tokio: accounts that balance, orders that are
//! kept, messages that are dropped once.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::block_on::block_on;

const LONG: Duration = Duration::from_secs(60);

/// Heavy tests are short unless told: `RINGPOST_STRESS=20` makes them twenty times as long.
fn scale(count: u64) -> u64 {
    let factor = std::env::var("RINGPOST_STRESS").ok().and_then(|v| v.parse::<u64>().ok());
    count * factor.unwrap_or(1)
}

/// A message that says who sent it, and checks that it was not torn.
#[derive(Debug)]
struct Parcel {
    sender: u64,
    number: u64,
    check: Box<u64>,
    live: Arc<AtomicU64>,
}

impl Parcel {
    fn new(sender: u64, number: u64, live: &Arc<AtomicU64>) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self { sender, number, check: Box::new(sender ^ number), live: Arc::clone(live) }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        assert_eq!(*self.check, self.sender ^ self.number, "a torn message");
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Received so far, by sender: each sender's numbers must rise.
#[derive(Default)]
struct Received {
    next: Vec<u64>,
    count: u64,
}

impl Received {
    fn take(&mut self, parcel: &Parcel) {
        let sender = parcel.sender as usize;
        self.next.resize(self.next.len().max(sender + 1), 0);
        assert!(parcel.number >= self.next[sender], "out of order");
        self.next[sender] = parcel.number + 1;
        self.count += 1;
    }
}

/// `senders` threads call `send` with each of `each` numbers, while this thread receives all.
fn exchange(
    senders: u64,
    each: u64,
    capacity: usize,
    overflow: Overflow,
    start: u64,
    send: impl Fn(&Addr<Parcel>, u64, u64, &Arc<AtomicU64>) + Send + Sync + 'static,
) -> (Received, Counts) {
    let live = Arc::new(AtomicU64::new(0));
    let send = Arc::new(send);
    let (addr, mut mailbox) = Mailbox::starting_at(capacity, overflow, start);
    let threads: Vec<_> = (0..senders)
        .map(|sender| {
            let (addr, send, live) = (addr.clone(), Arc::clone(&send), Arc::clone(&live));
            thread::spawn(move || (0..each).for_each(|number| send(&addr, sender, number, &live)))
        })
        .collect();
    drop(addr);
    let mut received = Received::default();
    let mut turn = 0;
    loop {
        turn += 1;
        // All ways of receiving, in turn; the one that waits knows the end.
        match turn % 3 {
            0 => drop(mailbox.drain(turn % 100, |parcel| received.take(&parcel))),
            1 => {
                let mut batch = VecDeque::new();
                let _ = mailbox.take_batch(usize::MAX, &mut batch);
                batch.iter().for_each(|parcel| received.take(parcel));
            }
            _ => match mailbox.recv_blocking() {
                Ok(parcel) => received.take(&parcel),
                Err(_) => break,
            },
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let counts = mailbox.counts();
    assert_eq!(counts.received, received.count);
    drop(mailbox);
    assert_eq!(live.load(Ordering::Relaxed), 0, "every message was dropped once");
    (received, counts)
}

#[test]
fn drop_oldest_accounts_for_every_message_under_load() {
    let each = scale(20_000);
    for (senders, capacity) in [(1, 1), (2, 1), (3, 8), (2, 64), (4, 1_024)] {
        let start = u64::from(u32::MAX) - 50;
        let (received, counts) =
            exchange(senders, each, capacity, Overflow::DropOldest, start, |addr, s, n, live| {
                drop(addr.offer(Parcel::new(s, n, live)));
            });
        let case = format!("{senders} senders, capacity {capacity}: {counts:?}");
        assert_eq!(
            received.count + counts.dropped_oldest + counts.refused,
            senders * each,
            "{case}"
        );
        assert_eq!(counts.accepted, received.count + counts.dropped_oldest, "{case}");
    }
}

#[test]
fn drop_newest_accounts_for_every_message_under_load() {
    let each = scale(20_000);
    for (senders, capacity) in [(1, 1), (3, 8), (2, 100)] {
        let (received, counts) =
            exchange(senders, each, capacity, Overflow::DropNewest, 7, |addr, s, n, live| {
                drop(addr.offer(Parcel::new(s, n, live)));
            });
        assert_eq!(received.count + counts.refused, senders * each);
        assert_eq!(counts.accepted, received.count);
    }
}

#[test]
fn block_loses_nothing_and_keeps_each_senders_order_under_load() {
    let each = scale(5_000);
    for (senders, capacity) in [(1, 1), (3, 2), (4, 64)] {
        let (received, counts) =
            exchange(senders, each, capacity, Overflow::block(), 0, |addr, s, n, live| {
                let parcel = Parcel::new(s, n, live);
                if n % 2 == 0 {
                    addr.send_blocking(parcel, LONG).unwrap();
                } else {
                    block_on(addr.send_async(parcel), None).unwrap().unwrap();
                }
            });
        assert_eq!((received.count, counts.refused), (senders * each, 0));
        assert_eq!(received.next, vec![each; senders as usize]);
    }
}

#[test]
fn reserved_places_and_roll_backs_lose_nothing_under_load() {
    let each = scale(5_000);
    for (senders, capacity) in [(1, 2), (3, 4), (2, 64)] {
        let (received, counts) =
            exchange(senders, each, capacity, Overflow::block(), 0, |addr, s, n, live| {
                // Two places, the second of which is given back: as a batch that fails.
                let mut places = loop {
                    match addr.reserve(2) {
                        Ok(places) => break places,
                        Err(_) => {
                            let mut waiting = addr.space().waiting();
                            block_on(waiting.wait(|| addr.has_room(2)), None).unwrap();
                        }
                    }
                };
                addr.fill(&mut places, || Parcel::new(s, n, live));
                addr.skip(&mut places);
                signal::fence();
                addr.signal().ring();
            });
        assert_eq!((received.count, counts.accepted), (senders * each, senders * each));
        assert_eq!(received.next, vec![each; senders as usize]);
    }
}

#[test]
fn batches_account_for_every_message_under_load() {
    let each = scale(1_000);
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let (received, counts) = exchange(3, each, 50, overflow, 0, |addr, s, n, live| {
            let mut batch = (0..20).map(|k| Parcel::new(s, n * 20 + k, live)).collect();
            let _ = addr.offer_all(&mut batch);
        });
        let sum = received.count + counts.dropped_oldest + counts.refused;
        assert_eq!(sum, 3 * each * 20);
    }
}

#[test]
fn a_close_under_load_hands_back_or_delivers_each_message() {
    for _ in 0..scale(200) {
        let (addr, mut mailbox) = Mailbox::new(16, Overflow::block());
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let addr = addr.clone();
                thread::spawn(move || {
                    let sent = (0..).map(|n: u64| addr.send_blocking(n, LONG));
                    sent.take_while(|sent| sent.is_ok()).count()
                })
            })
            .collect();
        let mut received = 0;
        while received < 50 {
            received += mailbox.drain(10, drop);
        }
        mailbox.close();
        while mailbox.recv_blocking().is_ok() {
            received += 1;
        }
        let sent: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        assert_eq!(received, sent);
    }
}

#[test]
fn tokio_tasks_exchange_messages_in_both_directions() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let rounds = scale(2_000);
    let echoed = runtime.block_on(async move {
        let (ask, mut asked) = Mailbox::new(1, Overflow::block());
        let (answer, mut answered) = Mailbox::new(1, Overflow::block());
        let echo = tokio::spawn(async move {
            while let Ok(number) = asked.recv().await {
                answer.send_async(number).await.unwrap();
            }
        });
        let asking = tokio::spawn(async move {
            for number in 0..rounds {
                ask.send_async(number).await.unwrap();
            }
        });
        let mut echoed = 0;
        while let Ok(number) = answered.recv().await {
            assert_eq!(number, echoed);
            echoed += 1;
        }
        asking.await.unwrap();
        echo.await.unwrap();
        echoed
    });
    assert_eq!(echoed, rounds);
}

#[test]
fn a_recv_in_a_select_loses_nothing_when_it_is_cancelled() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let count = scale(2_000);
    runtime.block_on(async move {
        let (addr, mut mailbox) = Mailbox::new(4, Overflow::block());
        let sender = tokio::spawn(async move {
            for number in 0..count {
                addr.send_async(number).await.unwrap();
            }
        });
        let mut expected = 0;
        loop {
            tokio::select! {
                biased;
                got = mailbox.recv() => match got {
                    Ok(number) => {
                        assert_eq!(number, expected);
                        expected += 1;
                    }
                    Err(_) => break,
                },
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(expected, count);
        sender.await.unwrap();
    });
}
