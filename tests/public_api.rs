//! What may cross threads, and how large the things are that are copied often.

use ringpost::event::{Event, EventBuilder, EventError};
use ringpost::store::{Persistence, StoreError};
use ringpost::{
    Addr, BatchError, Bus, BusBuilder, BusStats, Delivery, EventBus, Executor, Gap, Mailbox,
    Notice, Notices, OfferError, Pattern, PublishError, Published, Publisher, Sequence, Shared,
    ShutdownReport, SubscribeError, Subscription, SubscriptionStats, Tap, TopicId, Unsettled,
    WeakBus, Workers,
};

fn send<T: Send + 'static>() {}
fn send_and_sync<T: Send + Sync + 'static>() {}
fn error<T: std::error::Error + Send + Sync + 'static>() {}

#[test]
fn handles_may_be_shared_and_publishers_sent() {
    send_and_sync::<Bus<u64>>();
    send_and_sync::<EventBus>();
    send_and_sync::<WeakBus<u64>>();
    send_and_sync::<Subscription<u64>>();
    send_and_sync::<Workers>();
    send_and_sync::<Executor>();
    send_and_sync::<Addr<u64>>();
    send_and_sync::<Shared<Event>>();
    send_and_sync::<Persistence>();
    send_and_sync::<Pattern>();
    send::<Publisher<Shared<Event>>>();
    send::<Tap<Shared<Event>>>();
    send::<Mailbox<u64>>();
    send::<Notices>();
    send::<BusBuilder<u64>>();
    send::<EventBuilder>();
    send_and_sync::<Delivery<'static, Shared<Event>>>();
    send_and_sync::<(Published, Gap, Notice, BusStats, SubscriptionStats, ShutdownReport)>();
}

#[test]
fn a_bare_mailbox_asks_for_send_alone() {
    send::<Mailbox<std::cell::Cell<u64>>>();
    send_and_sync::<Addr<std::cell::Cell<u64>>>();
}

#[test]
fn errors_are_errors_that_cross_threads() {
    error::<PublishError<u64>>();
    error::<BatchError>();
    error::<SubscribeError>();
    error::<Unsettled>();
    error::<OfferError<u64>>();
    error::<EventError>();
    error::<StoreError>();
}

#[test]
fn what_travels_with_every_message_is_small() {
    assert_eq!(size_of::<Sequence>(), 8);
    assert_eq!(size_of::<TopicId>(), 4);
    assert_eq!(size_of::<Shared<Event>>(), 8);
    assert_eq!(size_of::<Option<Shared<Event>>>(), 8);
}
