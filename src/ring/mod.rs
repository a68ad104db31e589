//! The lock-free memory that everything else stands on: the shared ring, and a pointer for
//! messages too large to copy.
//!
//! Called by `mailbox`, `bus` and `store`. It names no topic, task, clock or log line, never waits,
//! never wakes anybody, and runs no foreign code but in [`Pen::reclaim`].
//!
//! # Words
//!
//! - **Position**: the number of a place in the ring's one order, and of the message in it: its
//!   sequence. Never used twice, never skipped, below 2^62.
//! - **Slot**: room for one message, with the **stamp** that says for which position it is filled.
//! - **Block**: `S` slots in a row. Block `n` of the sequence holds positions `n * S ..`; the same
//!   memory serves as another number a lap later. There are `K` in the **directory**.
//! - **Tail**: the next position to be claimed. **Claim**: to take positions by moving the tail;
//!   they are the claimer's, for ever. **Commit**: to write the message and then its stamp.
//! - **Cell**: where a publisher says which blocks it may be writing to. **Pen**: a publisher while
//!   it has a cell; **writer**: one that owns its cell; **holder**: one that may do something
//!   else between claim and commit.
//! - **Evict**: to put a new block in an old one's place in the directory. The old one is
//!   **retired**; when the last reader has left it, it is in **limbo**; when no cell names it and
//!   its messages are dropped, it is free in the **pool**.
//! - **Reader**: a cursor that borrows messages in place. A **lossy** one is overrun by publishers
//!   and then gets one exact **gap**. A **required** one holds them back at its **limit**: its
//!   cursor plus its **window**.
//! - **Lapped**: a publisher whose position's block was evicted before it wrote. Its position stays
//!   its own; the message counts as published and at once overwritten.
//!
//! # Life of a slot
//!
//! ```text
//!            claim p                commit p               evicted, read out, reclaimed
//!   EMPTY --------------> CLAIMED ------------> COMMITTED ------------------------------> EMPTY
//!   stamp 0               stamp 0               stamp p+1                                 stamp 0
//!                            |                      ^
//!                            |  lapped before       |  lapped before the write: committed
//!                            |  the block was       |  in the evicted block, which waits
//!                            |  found: the message  |  for the cell
//!                            +--is dropped last     +--(readers may or may not see it)
//! ```
//!
//! # Life of a block
//!
//! ```text
//!   word:   POOLED           1 + readers            RETIRED + readers        POOLED
//!
//!            pool ---------->  directory  ----------->  retired  -----------> limbo ----> pool
//!                  install                 evict                 last one          reclaim
//!            (any publisher    (readers count      (readers inside    out: one CAS   (no cell names
//!             that needs it)    themselves in)      stay and read)    RETIRED->      it; values are
//!                                                                     POOLED wins    dropped)
//! ```
//!
//! A block comes into the pool from there, or fresh: made by the publisher that needs it, or ahead by a
//! receiver that finds nothing to do (`Log::stock`).
//!
//! # Why it holds
//!
//! - *One order.* The tail moves by CAS only; a position belongs to who moved it. A reader goes on
//!   only over committed stamps, so all readers see the same.
//! - *A block is not emptied under a publisher.* It names its block in its cell and then moves the
//!   tail. Whoever evicts that block moved the tail later, by a full lap, so it has seen the cell;
//!   whoever empties it comes after the evictor.
//! - *A block is not emptied under a reader.* Readers count themselves in the same word that says
//!   `RETIRED`, then look at the directory again: either the count came first, and the block waits,
//!   or the reader has acquired the changed directory with the count, and turns back.
//! - *Once only.* Several threads may see "retired, nobody inside", because a reader that comes too
//!   late counts for a moment: one CAS decides who takes the block away.
//! - *A required reader is not overrun.* A publisher claims up to the smallest limit that it knows,
//!   and looks again when a reader has registered since. A reader registers first and then does an
//!   RMW on the tail, whose result is its position: later claims have seen it. Its window leaves
//!   one block of the ring over, so that what it may yet read is never evicted.
//! - *Nothing fails after a claim.* Blocks that a claim may have to install are taken before it.
//!
//! What "lock-free" may claim here: no publisher waits for a reader that is not required, nor for
//! another publisher. But a publisher that is suspended between claim and commit holds up what all
//! readers see, until it goes on or the ring has come round.
//!
//! # Sources
//!
//! Sequences, stamps beside the values and the gating cursors of required readers are those of the
//! LMAX Disruptor (M. Thompson and others, "Disruptor: High performance alternative to bounded
//! queues", 2011). A cell is a hazard pointer (M. M. Michael, "Hazard Pointers: Safe Memory
//! Reclamation for Lock-Free Objects", IEEE TPDS 15(6), 2004) that names a range of the sequence
//! instead of an address, and needs no fence and no second look, because the claim that follows is
//! an RMW on the word that every evictor has to move as well: it succeeds only from the very tail
//! that was announced. The pool is a Treiber stack (see `pool`). New, as far as we know, is the
//! whole: blocks that are written once a lap, so that a stalled reader keeps one and not the ring.
//!
//! # Orderings
//!
//! Everything else is Relaxed and says so.
//!
//! | label | release side | acquire side | what it carries |
//! |---|---|---|---|
//! | `commit` | claimer stores the stamp | reader loads the stamp | the message |
//! | `claim` | each RMW on the tail | the next RMW on it; its loads | cells' words; what claimers had seen |
//! | `join` | the joiner's RMW on the tail | the next claim, or the other way round | what was done before it |
//! | `close` | the closer's RMW on the tail | each load of it | what was done before it |
//! | `closing` | the closer stores the readers' copy of the flag | a reader that finds nothing | the flag in the tail |
//! | `cell` | publisher stores its cell's word | who looks through the cells | finished writes |
//! | `borrow` | publisher gives its cell back | the next one takes it | what the cell remembers |
//! | `directory` | installer's CAS on the entry | publishers' and readers' loads of it | the installed block |
//! | `word` | each RMW on a block's word | the next RMW on it | ends of borrows; the changed entry |
//! | `stack` | push on pool or limbo | pop, take | the block as its owner left it |
//! | `arena` | maker stores the pointer | everyone who has the index | the fresh block |
//! | `chunk` | CAS that links a chunk | everyone who walks the list | the fresh cells, places |
//! | `limit` | required reader stores its limit | publisher that has used up its copy | the end of reading |
//! | `registered` | reader's RMW, after its limit is set, or it has left | each claim's load | the reader's place |
//! | `smallest` | a reader that comes or goes | the next of those | the windows that were measured |
//! | `share` | a `Shared` gives up its count | the last one, before the drop | the end of all uses |

mod arena;
mod block;
mod cell;
mod chunks;
mod cursors;
mod directory;
mod faults;
mod holder;
mod log;
mod pool;
#[cfg(any(not(target_arch = "x86_64"), miri, ringpost_loom))]
#[path = "no_prefetch.rs"]
mod prefetch;
#[cfg(not(any(not(target_arch = "x86_64"), miri, ringpost_loom)))]
mod prefetch;
pub(crate) mod queue;
mod reader;
mod shared;
mod slot;
mod writer;

pub(crate) use holder::Holder;
pub(crate) use log::Log;
pub(crate) use prefetch::prefetch;
pub(crate) use reader::{Flow, Next, Reader, Stake};
pub use shared::{Shared, Shares};
pub(crate) use writer::{Borrowed, Pen, Refused, Writer};

#[cfg(all(test, ringpost_loom))]
mod models;
#[cfg(all(test, not(ringpost_loom)))]
mod stress;
#[cfg(all(test, not(ringpost_loom)))]
mod tests;
