//! Which of the several ways to take.
//!
//! # Typed or dynamic
//!
//! | | [`Bus<M>`](crate::Bus) | [`EventBus`](crate::EventBus) |
//! |---|---|---|
//! | carries | any `M: Clone + Send + Sync`, by one line `impl Message for M {}` | CloudEvents 1.0, shared by count |
//! | costs | a copy of `M` a mailbox | building an event: an id, a time, a payload as JSON or bytes |
//! | journal | no | yes |
//! | for | small messages at high rates, inside one program | what is to be kept, filtered, looked at by people |
//!
//! A large message is better sent as `Arc<T>` or [`Shared<T>`](crate::Shared) than by value.
//!
//! # Publishing
//!
//! | call | for |
//! |---|---|
//! | [`Publisher::publish`](crate::Publisher::publish) | more than one message to one topic: no name is looked up, nothing allocated |
//! | [`Publisher::publish_batch`](crate::Publisher::publish_batch) | many at once: one claim, one look at the route for up to 64 |
//! | [`Bus::publish_all`](crate::Bus::publish_all) | many on several topics, as a recording has them: neighbours on one topic go out at once |
//! | [`Publisher::try_publish`](crate::Publisher::try_publish) | never waiting, not even for `Block` |
//! | [`Publisher::publish_async`](crate::Publisher::publish_async) | tasks, and async handlers, that may have to wait |
//! | [`Bus::publish_to`](crate::Bus::publish_to), [`Bus::publish`](crate::Bus::publish) | now and then, or topics that change |
//!
//! # A full mailbox
//!
//! | policy | the publisher | what is lost | for |
//! |---|---|---|---|
//! | [`DropOldest`](crate::Overflow::DropOldest), the default | never waits | the oldest, a sixteenth of the mailbox at a time | whoever wants the newest: displays, caches |
//! | [`DropNewest`](crate::Overflow::DropNewest) | never waits | the new message | whoever must see a beginning: samples, logs with a quota |
//! | [`Block`](crate::Overflow::Block) | waits up to the timeout, then `Full`; `try_publish` gets `Full` at once | nothing | whoever must not miss anything, and is fast enough |
//! | [`Disconnect`](crate::Overflow::Disconnect) | never waits | the message that found it full, and the subscription | whoever is worthless with a hole: replicas that start over |
//!
//! A `DropOldest` mailbox whose consumer is taking messages at that very moment turns the new
//! message away instead (`full_newest`): the publisher would have to wait otherwise.
//!
//! `Disconnect` tells by a notice on `$errors` that it has ended a subscription; the subscription
//! itself says whether it [is active](crate::Subscription::is_active).
//!
//! A batch that does not fit the smallest `Block` mailbox of its route is cut into pieces that do.
//!
//! # The size of a mailbox
//!
//! It bounds how far a subscriber may fall behind, and the memory that this costs. The default of
//! 1,024 is a guess that is good for handlers of microseconds; a handler that sometimes takes a
//! second at 10,000 messages a second needs 10,000 places or a policy that loses. A mailbox that is
//! never used is small, whatever its size.
//!
//! `ringpost tune` tells the smallest size for recorded arrivals, a service time and a target of loss
//! or delay. It plays the record through for each size, by the rules of a subscription's mailbox:
//! messages are taken out in batches of a quarter of the mailbox, between 1 and 64, and what is
//! being handled takes no room.
//!
//! **Subscriptions that are alike** share a log: the same pattern, the same size (from 64 to
//! 1,048,576) and the same policy, `DropOldest` or `Block` with one timeout, beginning now. Publishers
//! write one copy of each message into it, however many they are. A single one has a mailbox, and gives
//! it up for the log when the second comes, unless a publisher has reached it by then (by publishing, or
//! by being made), its thread spins, it began with the past, or it has failed. Then it keeps the
//! mailbox, and the log is for all that come after it: two copies. So subscribe first, and make
//! publishers after that. (Of more than 8 subscriptions of one pattern and other sizes only 8 are looked
//! at for one that is alike. Two that come at the same moment may both keep their mailboxes, if the pattern is
//! of many topics, or somebody else had the topic.) What is different from mailboxes:
//!
//! * With `DropOldest` exactly the newest `size` messages are kept, and a message is lost when its
//!   subscriber comes to it, not when it is published: so
//!   [`Published::dropped`](crate::Published::dropped) does not count it, while the account of the
//!   subscription does at once.
//! * They are lent one and the same copy. A message with something that changes inside is changed
//!   for all of them, and its `Clone` runs once for all.
//! * A copy stays in the log until the log has come round, which is after 256 to 4 times the size
//!   messages, or until the last of them is gone and something was published to the topic again. (So
//!   does the bus's own copy, in its ring.) The log's memory is that many messages, at most; it is
//!   taken as the log is filled for the first time, by the block and one ahead, as the ring's.
//!
//! Who reads the log goes on to do so when the others have left. To have a mailbox of its own for each,
//! give them different sizes.
//!
//! A subscription to everything (`**` or `>`) with `DropOldest` or `Block` has no mailbox as long
//! as its size is at most the ring's capacity, which is the ring less one block (7,936 of the
//! default 8,192): it reads the ring, and its size is the lag that it may build up. Its publishers
//! pay nothing for it. If it is a `Block` one, publishers that find no room wait as long as its
//! timeout says; the bus's [`publish_timeout`](crate::BusBuilder::publish_timeout) is for required
//! readers that have none of their own: the journal, and required taps. Of several that are in the
//! way, the shortest timeout of a subscription counts.
//!
//! # Where a handler runs
//!
//! | [`Executor`](crate::Executor) | for | note |
//! |---|---|---|
//! | `workers()`, the default of sync handlers | many subscribers, short handlers | one pool for the process: one thread less than there are cores |
//! | `pool(workers)` | apart from the rest | |
//! | `tokio()`, `tokio_handle(h)` (feature `tokio`), the default of async handlers and actors where a runtime is current | handlers that await timers and sockets | where no runtime is current, the default is workers and `tokio()` an error |
//! | `thread(wait)` | handlers that block, or the lowest latency | a thread each; [`Wait`](crate::Wait) says whether it spins |
//! | `custom(spawn)` | a runtime of one's own | |
//! | [`Bus::subscribe_inline`](crate::Bus::subscribe_inline) | tests, and work that must be done when publish returns | slows down the publisher; may run on several threads at once |
//!
//! Publishers, and the bus for each topic, keep whom a topic reaches until the next publish to it finds
//! that this has changed. So an inline handler that was cancelled is not run any more, but what it
//! captured stays until each topic that it was run for is published to again, by each
//! [`Publisher`](crate::Publisher) of it, or until those publishers, and the bus, are gone. A handler
//! with an actor of its own goes when its actor does.
//!
//! On workers, an async handler may use tokio's timers and sockets if a runtime was current where
//! it subscribed; `block_in_place` is not available there.
//!
//! # The ring
//!
//! 8,192 slots by default. It bounds the history, how far taps may lag, and how long a disk may
//! stall before publishers feel it. The ring keeps its messages until it comes round: the last
//! 8,192 payloads stay in memory.
//!
//! # The journal's `fsync`
//!
//! `interval` unless there is a reason. `batch` when `flush` is waited for after every few events,
//! or when written must mean durable. `always` for very few, very important events. `never` for
//! what may be lost with the machine. The table of what each loses is in
//! [`guarantees`](super::guarantees#the-journal).
