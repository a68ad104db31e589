//! How a message gets where it goes. For readers of the code; users need none of it.
//!
//! ```text
//!  Publisher ── claim ──> ring ── commit                         one total order, from 1
//!      │                   │ │ │
//!      │                   │ │ └──> taps                         lossy or required
//!      │                   │ └────> journal thread ──> Store     required
//!      │                   └──────> subscriptions to everything  lossy, or required for Block
//!      │
//!      └── route ──> mailbox ──> run loop ──> handler            one of each a subscription
//!            │          └ bell ──> workers, a task or a thread
//!            └────> shared log ──> run loops of all that are alike
//! ```
//!
//! # One message's walk
//!
//! 1. A [`Publisher`](crate::Publisher) knows its topic's number and keeps a **route**: the
//!    mailboxes that the topic reaches. One load tells whether the table of subscriptions has
//!    changed since (`bus/publisher.rs`, `bus/route.rs`, `bus/table.rs`, `bus/exact.rs`,
//!    `topic/trie.rs`).
//! 2. Copies for `Block` mailboxes and logs are made and places in all of them claimed, or none
//!    (`bus/publish.rs` and, for a route to a single mailbox or log, `bus/one.rs`: these two know the
//!    order of the steps).
//! 3. A place on the ring is **claimed** by one read-modify-write on its tail. That gives the
//!    sequence. One more load tells whether somebody subscribed meanwhile: this is what the
//!    promise "no gap, no repeat" rests on (`ring/log.rs`, `ring/writer.rs`).
//! 4. The message, or a copy where it is needed for a mailbox, is moved into its slot and **committed**
//!    by one store. No user code runs between claim and commit.
//! 5. `Block` places are filled, all other mailboxes get an **offer** (`mailbox/addr.rs`,
//!    `ring/queue/`).
//! 6. One look at each receiver: who sleeps is woken. The claims are the fence for that
//!    (`mailbox/signal.rs`).
//! 7. Inline handlers run (`bus/inline.rs`).
//! 8. Last, foreign drops: what gave way in mailboxes, and what the ring came round to.
//!
//! A refusal gives back every place and hands the message back; only then does `publish` wait
//! (`bus/room.rs`). Nobody waits while holding a place.
//!
//! On the other side a **run loop** (`actor/run.rs`), one async function for all executors, takes a
//! batch, lends each message to the handler under `catch_unwind`, keeps the account, and waits: it
//! lingers, as long as it has learned to be worth it, yields, searches, sleeps (`mailbox/wait.rs`). A
//! worker polls it (`worker/`), or a task, or a thread.
//!
//! The **journal** is a required tap on a thread of its own (`store/persist.rs`): gather, append,
//! acknowledge, sync when it is due (`store/journal/writer.rs`). Opening mends the end
//! (`store/journal/recover.rs`).
//!
//! # Decisions
//!
//! * **A ring and mailboxes**, because one order and own pace are different needs. The ring gives
//!   the order, the history and the journal. The mailboxes give each subscriber its own size and
//!   policy, and see only what their pattern matches.
//! * **A ring of blocks.** A reader borrows a message in place. If it stalls in the middle of one,
//!   its block is left to it and another takes its place: one reader costs one block and delays
//!   nobody.
//! * **A lapped publisher keeps its sequence.** It finishes in the block that was taken away, so that
//!   a place is a message and gaps are exact.
//! * **One mailbox a topic, in place.** Most subscriptions name one topic, and are the first to do so.
//!   Such a one is a word in a hash table and a pointer, put there under the eyes of publishers that
//!   look without a lock (`bus/exact.rs`): what they find is checked against the topic itself, and a
//!   change counts from the table's next version on. In a trie, as below, making one was
//!   three walks down its four levels, and cancelling it two. Beside 100,000 others, to make one and
//!   cancel it took 2.3 us, now 0.8 (`ringpost-compare --only scale`).
//! * **Two route tables by turns**, for all others. Publishers walk a table that never changes, without
//!   a lock. A subscription is entered in the second one, which takes the first one's place, and the first,
//!   if nobody is looking at it, is then brought to the same state in place; what is new is shared
//!   by both. Copying the path to each new leaf instead, in one table, was a third more instructions
//!   a subscribe among 1,000 (`ci/instructions.sh`); a list of the ring's readers that was copied
//!   whole let 10,000 of them join at 13,000 a second, now 100,000 join at 222,000 a second.
//! * **Two run loops.** An async loop keeps room for every step that may be under way, 400 bytes an
//!   idle subscription. A closure that returns nothing to await has a loop of its own, without a
//!   future (`actor/direct.rs`); batches are handled by the same code.
//! * **A closure is not run before its first message**, if it returns no future, has a mailbox of its
//!   own and runs on the workers. Its waker is left where the maker of its mailbox finds it, and no
//!   worker hears of it (`worker/task.rs`). Before, a worker took each new one from the queue, on
//!   another core, to find that it had nothing: of the 3.2 us that making one of 100,000 took, 1.1
//!   (a scratch program; `benches/compare/README.md` has the rest). An actor that has hooks runs
//!   at once, because `on_start` is to come first.
//! * **Memory is made by who has nothing to do.** The first message in a block of the ring, or in 32
//!   slots of a mailbox, waited for fresh memory: 3 to 12 us and 2 us, at 100,000 a second. A receiver that
//!   finds nothing makes the next ones (`Log::stock`, `Taker::make_ahead`), so that the first message in a
//!   block takes 0.6 to 0.9 us (a scratch program; `ringpost-compare --only latency` has the publisher's
//!   p99.9). The price is a block and a chunk ahead. Asking the ring's tail how soon the next block is
//!   needed was dearer than the block: it takes the tail's line from publishers, and the p90 of a
//!   publish went from 0.1 to 0.28 us.
//! * **A worker that is wanted lingers only after several messages.** An actor that runs out of
//!   messages pauses for 0.2 us, so that the next ones come in a batch. With 1,000 subscribers of one
//!   message each by turns this was 44 % of the worker's time, so an actor that found one message
//!   leaves it out while others are ready. One that found several runs after its publisher, and with
//!   few actors the others do too: left out there as well, four mailboxes took 3 to 4.5 M messages a
//!   second, or 9 in a run that happened to lag; with it 6.
//! * **A worker searches where its last actor waits.** A worker without work looks for more for up to
//!   15 us before it sleeps. It does so inside the actor that has just run out of messages, if no
//!   other is ready, and looks at that actor's source and at the queue alike: so the publisher finds
//!   nobody to wake, and the message is seen where it lies. It costs no more processor time than a
//!   search of the queue alone, and at 100,000 messages a second a publish took 0.16 us instead of
//!   0.6, and a message 0.5 us instead of 1.1 (medians, `benches/compare`, `--only latency`).
//! * **A batch is one loop over slots.** What a message needs of the run loop (its account, the sign of
//!   life, the guard against panics, the end of its block, the budget) is asked for once a batch,
//!   where that tells as much: 28 instructions a message from the ring instead of 78, 80 from a
//!   mailbox instead of 130, 47 from a shared log. Even the list of gaps is not looked at for each: clearing it wrote its
//!   length alone, which the next message read together with its place, and a core waits for such a
//!   store longer than a handler takes.
//! * **Sequences are 62 bits and never wrap.** Two bits of the same word say "closed" and
//!   "disabled", so that no claim slips past either.
//! * **Events are CloudEvents, the journal is their JSON, a line each**: one format, readable by
//!   people and by every tool that knows the standard. Indexes and checkpoints beside it may be lost
//!   without losing an event; none is believed over the lines.
//! * **What a line of memory costs on its way between cores is not known beforehand**: 30 ns on the
//!   machine that most of this was first measured on, 180 ns on another (a line there and back: 60
//!   and 360). So a receiver learns how long to linger, slots are asked for before they are written
//!   (`ring/prefetch.rs`), and what one side writes often the other looks at seldom. Together they
//!   made one message at a time (`benches/compare`, `--only tell`) six times as fast on the second
//!   machine; on the first they have not been measured.
//! * **Subscriptions that are alike share a log** (`actor/shared_log.rs`, `bus/alike.rs`). A mailbox
//!   each cost a publish to 64 of them 64 claims and 90 lines that have to change cores, ten of which
//!   are under way at once at best; asking for slots ahead, fewer lines a mailbox and waiting for all
//!   mailboxes at once moved it by a third at most, and a tokio `broadcast`, which keeps one copy for
//!   all, was as fast or faster. Alike is what gets the same messages and keeps the same number of
//!   them, so one copy is enough: the log is a small ring of the kind that the bus has, with a cursor
//!   for each, and a mailbox's size is how far a cursor may be behind. Figures of both are in the
//!   README. A single subscriber is served best by a mailbox, and has one; it is made when a publisher
//!   first asks for it. Where the second of a kind comes before that, the first takes a seat at the log:
//!   under the lock that whoever makes the mailbox takes, its leaf in the route table is replaced, its
//!   sleep moved into its bell at the log, and whoever resolves a route meanwhile looks again
//!   (`mailbox/lazy.rs`, `bus/models/seat.rs`). Before, it kept its mailbox, and every publish to several
//!   was one claim and one copy more: with 4 receivers 6.2 million messages a second by a scratch
//!   program and 9.0 now, the two by turns.
//! * **Who waits for many readers looks at the slowest first** (`ring/cursors.rs`). A publisher
//!   without room, and each reader that frees some, asks whether all readers are far enough; each
//!   look takes a line from its reader. With 64 of them that was most of what they did: the place
//!   that was in the way last is looked at alone, until it is not, and 0.97 million messages a second
//!   became 1.7 to 2.0.
//! * **Storing is synchronous code on a thread.** A file is written by `std::fs`; errors come where
//!   they happen.
//! * **An event keeps its attributes as they stand in a line**, with names and quotes, in the
//!   format's order (`event/attributes.rs`). Spelled once, when the event is made: a record copies
//!   them as one piece.
//! * **The journal's thread reads events where they lie** and keeps its own form of them
//!   ([`Store::stage`](crate::store::Store::stage)), not a share: taking and giving back a share
//!   costs two read-modify-writes on a line of the publisher's core. It asks for the memory of the
//!   next few events while it encodes one. Tried and not kept: the checksums of 16 lines right after
//!   each other, so that their chains overlap; no gain was seen. Sums by folding (crate `crc-fast`)
//!   took 30 ns a line of 530 bytes instead of 55 with AVX-512, and half as many instructions again
//!   without; not kept, for six more crates by default.
//! * **One thread encodes and writes.** On the machine of the README's figures a line takes 165 ns to
//!   encode and 140 to be written to the page cache (`benches/compare`, rows `bound`), a publish 210
//!   in batches and 300 alone, of which 110 are the memory of old events given back. A second thread
//!   for the writing was built, and not kept: it has to share two cores with both, and the sum is what
//!   bounds (402 ns a line instead of 356 with `never`, 574 instead of 523 with an interval). Calls alone that write 256 KiB take 128 ns a line where they end with a page, 165 with a
//!   line, 140 in a file whose room was asked for before (`fallocate`; not kept, it leaves room taken
//!   after a crash), 155 for 1 MiB (not kept, no gain through the whole path).
//! * **With an interval the disk works beside the appending** (`store/journal/syncer.rs`,
//!   `undurable.rs`). A sync in the writer's thread at 32 MiB, which it was before, wrote 0.4 of what
//!   the same syncs take without events; one that begins at 2 MiB, beside it, 0.7. Begun at 16 MiB it
//!   was a fifth slower: what is held meanwhile lies in memory that is new to a burst, and to copy a
//!   line there costs 320 ns, in memory that is used again 55.
//! * **Also with `batch` the disk works beside the appending**
//!   ([`Store::begin_staged`](crate::store::Store::begin_staged), `store/persist/begun.rs`), while a batch
//!   comes behind the other: the sync that ends then covers all that was written before it began, and
//!   only then its batches have their receipts and leave the ring. When the ring has nothing more, the
//!   journal waits for one sync at a time: what that leaves free is filled beside the next. A batch that comes alone is synced where
//!   it was written, which wakes nobody.
//!   Before, the disk waited for each batch to be encoded: 0.50 of a loop of write and fdatasync with
//!   the same chunks, against 0.8 to 1.1.
//! * **A journal's own lines are read at a glance** (`event/json/glance.rs`): the attributes are one
//!   piece of the line and are copied as one. Every check is made that foreign lines get, because a
//!   checksum shows that a line is as it was written, not who wrote it. Of the 0.6 to 0.9 us that
//!   this takes, a third is walking over the payload; the checksum and the check for UTF-8 take a
//!   tenth each. So a replay is bound by reading: 0.19 to 0.29 of the rate of appending with one
//!   thread that reads and publishes, 0.25 to 0.28 where the threads of a search read, in order, and
//!   another one publishes (0.22 to 0.28, and 0.32 to 0.37, of appending by topic names as a replay must). A
//!   thread of its own that reads ahead in chunks was no faster (0.14 to 0.26): what one core has
//!   allocated another one gives back.
//!
//! The orderings of atomics are in tables in `ring/`, `mailbox/mod.rs` and `worker/mod.rs`; every
//! access in the code carries a label of one of them, and models explore the protocols under
//! [loom](https://docs.rs/loom).
