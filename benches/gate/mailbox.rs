//! A mailbox without a bus: putting in and taking out.

use std::hint::black_box;

use ringpost::{Addr, Mailbox, Overflow};

use crate::ticks::{ROUND, SLOTS, TICK, Tick};
use crate::{Count, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("offer/drop-oldest", |count| offer(count, Overflow::DropOldest)),
    ("offer/block", |count| offer(count, Overflow::block())),
    ("offer/full", offer_full),
    ("offer-all/64", offer_all),
    ("drain/drop-oldest", |count| drain(count, Overflow::DropOldest)),
    ("drain/block", |count| drain(count, Overflow::block())),
    ("recv/try", recv),
];

/// Rounds before the counted one: four times around the mailbox.
const WARM: u64 = 4 * SLOTS as u64 / ROUND;

fn put(addr: &Addr<Tick>) {
    black_box(addr.offer(black_box(TICK)).expect("there is room"));
}

/// Goes around the mailbox a few times, and leaves it empty.
fn warm(overflow: Overflow) -> (Addr<Tick>, Mailbox<Tick>) {
    let (addr, mut mailbox) = Mailbox::new(SLOTS, overflow);
    for _ in 0..WARM {
        fill(&addr);
        take(&mut mailbox);
    }
    (addr, mailbox)
}

fn fill(addr: &Addr<Tick>) {
    (0..ROUND).for_each(|_| put(addr));
}

fn take(mailbox: &mut Mailbox<Tick>) {
    mailbox.drain(usize::MAX, |tick| {
        black_box(tick.price);
    });
}

fn offer(count: &mut Count, overflow: Overflow) {
    let (addr, _mailbox) = warm(overflow);
    count.each(ROUND, &mut || put(&addr));
}

/// Each pushes an old message out, or finds room that an earlier one made.
fn offer_full(count: &mut Count) {
    let (addr, _mailbox) = warm(Overflow::DropOldest);
    (0..2 * SLOTS).for_each(|_| put(&addr));
    count.each(ROUND, &mut || put(&addr));
}

fn offer_all(count: &mut Count) {
    let (addr, _mailbox) = warm(Overflow::DropOldest);
    let mut list = Vec::with_capacity(64);
    count.bundles(ROUND / 64, 64, &mut || {
        list.resize(64, TICK);
        black_box(addr.offer_all(&mut list).expect("there is room"));
    });
}

fn drain(count: &mut Count, overflow: Overflow) {
    let (addr, mut mailbox) = warm(overflow);
    fill(&addr);
    count.bundles(1, ROUND, &mut || take(&mut mailbox));
}

fn recv(count: &mut Count) {
    let (addr, mut mailbox) = warm(Overflow::DropOldest);
    fill(&addr);
    count.each(ROUND, &mut || {
        black_box(mailbox.try_recv().expect("one is there for each"));
    });
}
