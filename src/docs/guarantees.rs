//! What is promised, in plain words, and what is not.
//!
//! # Words
//!
//! Each has one meaning, here and everywhere else in this crate.
//!
//! | word | means | survives |
//! |---|---|---|
//! | published | a publish returned `Ok` with a sequence: the message has its place in the bus's one order | nothing, it is in memory |
//! | delivered | a mailbox took the message, or an inline handler was run, or a subscription that reads the ring will come to it: what [`Published::delivered`](crate::Published::delivered) counts | nothing |
//! | handled | the subscriber's handler returned without an error | nothing |
//! | written | the store took the whole record | the death of this process |
//! | durable | it is on stable storage, as far as the store can promise that | also a power cut |
//!
//! Written and durable are told by [`Watermarks`](crate::store::Watermarks): every record up to a
//! sequence is there. A watermark never goes back.
//! [`Persistence::flush`](crate::store::Persistence::flush) waits for one.
//!
//! A [`Receipt`](crate::store::Receipt) says one of the two of one record, and its type says
//! which: `Receipt<Written>`, `Receipt<Durable>`. It comes from
//! [`Bus::publish_durable`](crate::Bus::publish_durable), its twins, or
//! [`Receipts`](crate::store::Receipts) for a sequence published before; many who wait share one
//! sync. There is none before what it says is true, and none for a record that the store refused,
//! the source lost, or this persistence was never given: these are
//! [`ReceiptError`](crate::store::ReceiptError)s. While the store fails, whoever waits is told so
//! and may ask again; when the persistence ends, whoever still waits is told that. A store says
//! beforehand what it can promise at most
//! ([`Store::promises`](crate::store::Store::promises)): to ask for more is an error before
//! anything is published. A server that comes back may promise less: then whoever waits for more is
//! told, and what was durable stays so.
//!
//! A publish that fails hands the message back, and nothing of it was published. A batch
//! ([`Publisher::publish_batch`](crate::Publisher::publish_batch)) goes out in groups of at most
//! 64 messages, each whole or not at all.
//!
//! # Order
//!
//! 1. A bus gives each message a [`Sequence`](crate::Sequence): from 1 (or from where its builder
//!    says), rising by one, without a hole. That is the **total order** of the bus.
//! 2. Whoever reads the ring sees that order: taps, `recent`, the journal, the past that a
//!    subscription begins with, and subscriptions to everything (`**`, `>`) with `DropOldest` or
//!    `Block`.
//! 3. **Each subscriber sees the messages of one publisher in the order in which they were
//!    published.** A publisher here is a [`Publisher`](crate::Publisher), or for `Bus::publish` the
//!    calling thread.
//! 4. **The order of a mailbox is not sequence order** when there are several publishers: a message
//!    gets its sequence first and reaches the mailboxes afterwards, and another publisher may come
//!    in between. A subscriber that needs the total order subscribes to everything, or taps.
//! 5. Between two buses there is no order.
//!
//! A subscriber's handler runs for one message at a time. An inline handler
//! ([`Bus::subscribe_inline`](crate::Bus::subscribe_inline)) is the exception: it runs on whatever
//! thread publishes, so on several at once.
//!
//! # Once
//!
//! A message is handed to a subscriber at most once; to a [durable consumer](#durable-consumers) at
//! least once. It is not handed over again after an error or a panic, but to a durable consumer. A subscription that begins in the past and goes on live has no gap and no repeat in
//! between.
//!
//! A source that may hand over an event twice can be freed of that at the entrance:
//! [`Dedup`](crate::store::Dedup) (`pub --dedup`) finds the same source and id within a window,
//! exactly, and counts what it leaves out.
//!
//! **Exactly once is not promised anywhere.** A handler may have had half of its effects when it
//! fails; a process may die between an effect and the record of it.
//!
//! # Loss
//!
//! Nothing is lost silently. Whatever a subscriber will not see
//!
//! * is counted under a [`DropReason`](crate::DropReason) in its account
//!   ([`SubscriptionStats`](crate::SubscriptionStats)), and
//! * is told to its handler by a [`Gap`](crate::Gap) that comes with a later message
//!   ([`Delivery::gaps`](crate::Delivery::gaps)). If no later message comes, the account alone
//!   says it.
//!
//! The count of a gap is exact. In a mailbox it counts messages that the subscriber wanted, and
//! `from..=to` is their hull, because messages of other topics lie in between. On the ring a gap
//! is a range of places, of all topics: that is so for taps, for subscriptions to everything, and
//! for a subscription that begins in a past of which the ring no longer has all. The last of
//! these cannot know which of the places it would have wanted, and counts all of them as
//! `matched` and `dropped(lapped)`.
//!
//! At rest the account of each subscription balances exactly:
//!
//! ```text
//! matched = handled + failed + dropped (by reason) + queued + in flight
//! ```
//!
//! ```
//! use std::time::Duration;
//! use ringpost::{Bus, Delivery, Executor, Wait};
//!
//! let bus = Bus::<u64>::new();
//! let (go, wait) = std::sync::mpsc::channel::<()>();
//! let slow = bus
//!     .subscribe("numbers")?
//!     .mailbox(4)
//!     .executor(Executor::thread(Wait::Park))
//!     .spawn(move |_: Delivery<'_, u64>| drop(wait.recv()))?;
//!
//! let mut numbers = bus.publisher("numbers")?;
//! for n in 0..100_u64 {
//!     numbers.publish(n)?; // never waits
//! }
//! drop(go);
//! bus.settle(Duration::from_secs(10))?;
//!
//! let account = slow.stats();
//! assert_eq!(account.matched, 100);
//! assert_eq!(account.total_dropped() + account.handled, 100);
//! assert!(account.balances());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A tap is no subscription: it has gaps, but no account.
//!
//! A subscription that ended by [`Overflow::Disconnect`](crate::Overflow::Disconnect) leaves the
//! statistics of the bus; its handle still has them
//! ([`is_active`](crate::Subscription::is_active), [`stats`](crate::Subscription::stats)). A
//! [`Notice`](crate::Notice) on `$errors` tells of it once the actor has handled what it had.
//!
//! What a message that finds a full mailbox does is the subscription's choice, see
//! [`choices`](super::choices). With [`Overflow::Block`](crate::Overflow::Block) a full mailbox
//! loses nothing, with one exception: a publish that was under way while the subscription was
//! being made waits for its mailbox as `Block` says, and if that stays full (or the publish is made
//! inside a handler, where nobody waits, or the ring has come round before the publish could read its
//! message back) that one message counts as `dropped(joining)`. What is
//! queued when a subscription is cancelled, or at a shutdown's deadline, is dropped and counted
//! whatever the policy.
//!
//! # What "lock-free" means here
//!
//! [`Publisher::publish`](crate::Publisher::publish) takes no lock, makes no system call and never
//! waits for a subscriber, as long as nobody has to be woken and no subscriber asked to be waited
//! for. A subscriber that is slow, stalled or dead delays no publisher and no other subscriber.
//!
//! It does not mean that no thread can delay another:
//!
//! * A publisher that is suspended **between claim and commit** delays the *visibility* of what
//!   others published after it, in that ring or mailbox, until it runs again. So it is in every
//!   ring of this kind. Nothing is lost by it, and no user code runs in between.
//! * **Waking** a receiver that sleeps takes a short lock around its waker, and the system call of
//!   a wake-up. Who is awake is not rung.
//! * [`Bus::publish`](crate::Bus::publish) and [`publish_to`](crate::Bus::publish_to) look a topic
//!   that their thread has not published to lately up in a sharded map, under the shard's read lock;
//!   only a topic that is published to for the first time takes its write lock. A `Publisher` does this
//!   once, when it is made.
//! * Whoever **resolves a route** to a mailbox that was not used before makes it, under a lock of its
//!   own; the second subscription that is alike has it give way to a shared log under the same lock
//!   ([`choices`](super::choices)), which takes as long as a subscribe. A `Publisher` resolves its
//!   route when it is made, and again at the first publish after a change of subscriptions.
//! * Subscribing and cancelling take a lock among themselves. The first mailbox of a topic is
//!   entered in place; whatever else changes is one path of the route table, in a second one that
//!   then takes the first one's place. Neither copies the table, with two exceptions, both under
//!   that lock. The hash table of single topics is laid out anew, with 2 to 4 words of 8 bytes a topic,
//!   when two thirds of its words are used or more than half of those are of topics that have gone;
//!   so also while as many come as go, 3 to 8 words a subscribe and its cancel over time (100,000 of
//!   ever new topics beside 40 others: some 1,400 layouts). And a chunk of places, 16 bytes each and as
//!   many as there were before, is made when all are taken. A subscribe or cancel that has to do
//!   either takes as long as there are topics. Places stay, at 16 to 40 bytes for each of the most
//!   single topics that had a mailbox at once, until the bus goes; coming and going does not add to
//!   them.
//! * Memory is taken while the ring, a mailbox, or a log that subscriptions share, is filled for the
//!   first time, and for one block when a reader stalls inside a message. Receivers that find nothing
//!   to do take it ahead, a block or a chunk of 32 places; a publisher waits for it with the first message
//!   of all, where receivers have no pause, and where nobody listens but inline handlers.
//! * With `Block`, or with a required reader such as the journal, `publish` waits when it is full:
//!   that is what was asked for. [`try_publish`](crate::Publisher::try_publish) does not.
//!
//! # Panics and errors
//!
//! A panic or an error of a handler is caught, counted as `failed`, and told as a
//! [`Notice`](crate::Notice) on `$errors` (by [`Bus::notices`](crate::Bus::notices), and on an
//! [`EventBus`](crate::EventBus) also to subscriptions whose pattern starts with `$`). It reaches
//! neither the publisher nor any other subscriber. The actor goes on with the next message. The
//! failure of a subscriber of notices is only counted. A failure of `on_start`, `on_idle` or
//! `on_stop` is told, not counted. A closed bus gives no notices any more, so an `on_stop` that
//! fails in a shutdown tells nobody.
//!
//! If `on_start` of an [`Actor`](crate::Actor) fails, or its executor drops what it is to run, the
//! subscription ends; if it is a `Block` one, its publishers get
//! [`PublishError::Stopped`](crate::PublishError::Stopped) until it is cancelled, instead of losing
//! messages or waiting for ever. They are told before it lets go of anything.
//!
//! A message's own `Clone`, `share`, `Drop` and `describe` may panic too. A mailbox whose copy could not be
//! made counts `dropped(panicked)`; the message is published all the same. A panic in `stamp`, or
//! in an `Into` conversion, is the publisher's own, and happens before anything is claimed.
//!
//! This needs `panic = "unwind"`. With `panic = "abort"` a panicking handler ends the process. A
//! stack overflow, an abort and an endless loop are out of scope; a handler that blocks a worker
//! has its place taken by a spare thread ([`Workers`](crate::Workers)).
//!
//! # Inside a handler
//!
//! * `publish` does not wait: what has no room is `Full` at once.
//! * [`publish_async`](crate::Publisher::publish_async) suspends the actor, not its thread. Room
//!   that only this actor itself could make, by handling more, is not waited for: that is `Full` at
//!   once.
//! * An event published inside a handler inherits the correlation of the event being handled and
//!   names it as its cause, unless it has these itself. Tasks that a handler spawned elsewhere are
//!   outside.
//! * `settle` is an error, because it would wait for itself.
//!
//! # Settle and shutdown
//!
//! [`Bus::settle`](crate::Bus::settle) returns when everything has been handled that was published
//! by calls that had returned, and everything that handlers published meanwhile. It does not wait
//! for taps, for the journal, or for tasks that a handler spawned.
//!
//! [`Bus::shutdown`](crate::Bus::shutdown) refuses publishers outside of handlers, settles, closes
//! the ring and the mailboxes, waits until the actors have run `on_stop`, and flushes the journals.
//! After its deadline it gives up: what is still queued counts as `dropped(shutdown)`, and handlers
//! that do not return are named in the report and left behind. Inside a handler it settles nothing
//! and waits for no actor, which might be the handler's own: it closes the bus and flushes, and
//! the report names whoever has not stopped yet. Those drain once the handler has returned.
//!
//! Dropping the last `Bus` and `Publisher` closes the bus too, but waits for nothing: actors handle
//! what they have and stop, and the journal writes what is left, if the process lives that long.
//!
//! # The journal
//!
//! The journal reads the ring as a required reader, in sequence order, on a thread of its own, and
//! gives a place back only after the store took what was in it. A disk that is too slow, full or
//! broken therefore fills the ring; then publishers wait, or get `Full`. The failed batch is tried
//! again, with growing pauses, until it goes through or a stop's deadline is over.
//!
//! | `fsync` | written | durable | lost in a process crash | lost in a power cut |
//! |---|---|---|---|---|
//! | `never` | when its batch was appended | never said | what was not yet written | also what the system had not written back by itself |
//! | `interval(T)`, default 1 s | the same | at the sync that covers it: at most T later, plus the time of that sync, and of the one before it if that goes on when T is over | what was not yet written | also what is above the durable watermark |
//! | `batch` | with its batch's sync, which may cover a few | the same moment | what was not yet written | what was not yet durable |
//! | `always` | with its own sync | the same moment | what was not yet written | what was not yet durable |
//!
//! *What was not yet written* is what lies between the written watermark and the last sequence: a
//! batch in hand and what waits on the ring. A batch goes out as soon as nothing more is waiting,
//! and at the latest at 1,024 events, 256 KiB or 5 ms.
//!
//! Readers of a journal get a whole record or nothing. A line with a wrong checksum is stepped
//! over, counted and told with its place. On opening, an unfinished last line is copied to a
//! `.torn` file and cut off; nothing else that was found is ever changed, nor deleted unless
//! retention or compression is asked for. A file whose
//! sync failed is never written again: what was not durable goes into a new segment, which has its
//! name once it holds all of it (before, it is `N.jsonl.tmp`), and once it is durable there, it is cut
//! off the file that failed; only then it is called durable. Readers hide what stands there twice
//! until then.
//!
//! What earlier processes wrote is made durable when the journal is opened (not with `never`), by
//! one sync of each segment. One thing no later process can see: a sync that failed in a process
//! that died before it had written the lines again elsewhere and cut them off the file that failed.
//!
//! Retention ([`JournalOptions`](crate::store::journal::JournalOptions)`::keep_events`, `keep_age`,
//! `keep_bytes`) removes whole segments, the oldest first, each removal durable before the next: a
//! crash leaves a journal that begins a little earlier or later, never one with a hole. Never
//! removed are the segment being written, the newest one before it that has a record (so the
//! sequence goes on, also after a power cut, whatever `fsync` says; a sync that failed in an earlier
//! process, see above, is the exception), and what a named consumer may
//! still need; a checkpoint that cannot be read may need everything. A failure is told
//! ([`PersistStats::upkeep`](crate::store::PersistStats::upkeep),
//! [`Trouble::Upkeep`](crate::store::Trouble::Upkeep)) and tried again; no append waits for it.
//!
//! Compression replaces a finished segment by the same bytes in zstd frames. The compressed file
//! is written under another name, read back and compared, and synced before it gets its own; the
//! plain one goes once that name is durable, and while both are there it is the one that is read.
//!
//! A reader that is in a segment which is removed or compressed reads it to its end. One that
//! comes to where segments were removed goes on with the oldest record there is, and is told the
//! range that it did not see ([`Entry::missing`](crate::store::journal::Entry::missing), a
//! [`Cursor`](crate::store::Cursor)'s gap); a query says how many segments went before it came to
//! them.
//!
//! Stopping or dropping the [`Persistence`](crate::store::Persistence) ends the journal while the
//! bus goes on: no publisher is refused, and what comes later is not stored. After a drop the
//! shutdown's report is then not `flushed`; after a stop that was complete it is, because whoever
//! stopped knows. So keep the `Persistence` until the bus was shut down.
//!
//! A store that panics ends the journal too, but not in silence: its observer hears
//! [`Trouble::Panicked`](crate::store::Trouble::Panicked),
//! [`PersistStats::ended`](crate::store::PersistStats::ended) says so, and publishers find the ring
//! full until the `Persistence` is dropped; the shutdown's report is not `flushed`. A record that
//! is too large for the store counts as `lost` and is told to the observer.
//!
//! # Durable consumers
//!
//! A durable consumer
//! ([`SubscribeBuilder::durable`](crate::SubscribeBuilder::durable)) has a name, and beside the
//! journal a checkpoint: the first sequence that it still needs. **It handles each event that it
//! wants at least once, in sequence order**, across restarts and crashes of its process.
//!
//! * An event is acknowledged when its handler has succeeded, never before. One that fails or
//!   panics is handed out again, after a pause, and nothing overtakes it. After the last attempt
//!   the consumer stops in front of it (the default) or passes it over; every failed attempt is
//!   told on `$errors`, an event that is passed over counts as `failed`. A failure after the bus
//!   was closed, as by a shutdown, is not held against the event: the consumer ends in front of
//!   it, and tries it again when it is started again.
//! * Events that its pattern does not match move the checkpoint too. What no consumer's checkpoint
//!   is in front of, retention may remove.
//! * It reads the ring, and the journal for what the ring no longer has; it delays no publisher.
//!   Events that neither has (they were removed, or their lines are damaged) are one exact gap,
//!   counted as `dropped(lapped)`, with the checkpoint, and told on `$errors`.
//! * One name runs once at a time, whatever the process; the lock ends with its holder.
//! * A checkpoint is stored after 1,024 acknowledged events or 1 s, whichever is first (both are
//!   settings), and when the consumer stops, is dropped or the bus shuts down. A shutdown lets it
//!   handle what there is until the deadline; what is left is handled when it is started again. If
//!   a checkpoint cannot be stored, the consumer goes on, says so, and tries again.
//!
//! **What may come twice** after a crash of the process: what was acknowledged since the last
//! checkpoint, at most the batch or the time above, and the one event whose handler was running or
//! had just succeeded; and, of what was acknowledged before, the events that were not yet durable in the
//! journal when the checkpoint was stored (not yet written, with `never`). For with
//! `interval(T)` a power cut may take events away that were handled, and their sequences are then
//! given to others. So **a checkpoint is never stored ahead of the durable watermark**: whatever it
//! covers is in the journal after any crash. With `never` nothing is called durable, and the
//! checkpoint follows the written watermark. If then a power cut, or somebody's hand, leaves the journal
//! shorter than a checkpoint, opening the journal for writing moves that consumer back to the journal's
//! end before any sequence is given out again, and reports it
//! ([`Recovery::ahead`](crate::store::journal::Recovery::ahead)): no new event is taken for one
//! that was handled. In both cases a handler may have seen an event that the journal no longer
//! has; whoever cannot have that waits in the handler for its receipt (`NotTaken` says that the event is of
//! an earlier run, and so was in the journal when that was opened).
//!
//! A checkpoint is stored in one of two slots in turn, with a checksum and a sync, so that a crash
//! leaves the one before it. A checkpoint that is damaged all the same is an error until it is reset, because
//! nobody knows where the consumer was. Losing checkpoints loses no event: a consumer without one
//! begins where its settings say.
//!
//! # Not promised
//!
//! * Exactly once, see above; redelivery after a failure, but to durable consumers.
//! * Any order between buses, or sequence order in a mailbox with several publishers.
//! * Anything in memory after a crash: only what was written.
//! * Repair of damaged records: damage is detected and reported. Only an unfinished end is mended,
//!   by opening the journal or by `ringpost verify --repair`.
//! * Several writers on one journal: the second gets `Locked`.
//! * A disk that lies about its flushes, code in the same process that misbehaves on purpose, and
//!   secrecy of payloads in the journal.
//! * Real-time bounds: a thread that the system does not run makes no progress.
