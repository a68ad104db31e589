//! Workers: the small executor that runs actors. The bus spawns tasks on it, the actors' run
//! loops beat and yield on it; it must never know what a task does.
//!
//! The words:
//!
//! * A **task** is a future with one state word, in one allocation. It begins READY, or IDLE if it
//!   has left its waker where somebody will find it. It is IDLE, READY (in the ready queue, or in
//!   the hand of a worker), RUNNING (being polled), RUNNING+RUNG (woken while being polled) or
//!   STOPPED. `task.rs`.
//! * The **ready queue** has two lanes. Tasks that someone waits for go first, in at most
//!   7 of 8 turns. `queue.rs`.
//! * A **worker** runs ready tasks. Out of work it *searches* (pauses about as long as waking
//!   it would cost, then yields a few times), then *parks*. `crew.rs`, `search.rs`, `park.rs`.
//! * The **spare** is a thread that watches the workers' beats while work is waiting, and takes
//!   the place of a worker that stands still. `spare.rs`.
//!
//! ```text
//!                 wake                      run
//!      IDLE ---------------> READY -----------------------> RUNNING --.
//!       ^                      ^                             |   |    | wake
//!       |                      |      Pending, was rung      |   v    |
//!       |                      '----------------- RUNNING+RUNG <------'
//!       |                                                    |
//!       '------------------- Pending ------------------------'
//!      any of them -- stop, or (from RUNNING) Ready or a panic --> STOPPED
//! ```
//!
//! # Why no wake is lost
//!
//! A pusher pushes, fences, and looks at the lot (who searches, who is parked). A worker on its
//! way to bed enters itself in the lot, fences, and looks at the queue. Of two such fences one
//! is first, so that at least one of the two parties sees the other. The fence of a publish
//! does not serve here: it stands before the push.
//!
//! Whenever the queue holds something, one of these is so: a worker is searching, the spare is
//! ticking, or somebody is between the push and the look. Hence a task that blocks its worker
//! never stops the others.
//!
//! # Orderings
//!
//! | label | from | to | carries |
//! |---|---|---|---|
//! | `state` | `task.rs`: a wake, the end of a run | `task.rs`: the start of a run, the end of a run that was rung, `stop` | what the waker wrote; the future itself, from worker to worker |
//! | `ready-push` | `park.rs`: the fence in `call` | `park.rs`: the fences in `park`, `found` and `rest` | the push against "searching", "parked" and "resting" |
//! | `standin` | `standin.rs`: a push | `standin.rs`: a pop | the task, in the models only |
#![forbid(unsafe_code)]

mod park;
mod queue;
mod ready;
mod task;

#[cfg(not(ringpost_loom))]
mod crew;
#[cfg(not(ringpost_loom))]
mod pool;
#[cfg(not(ringpost_loom))]
mod search;
#[cfg(not(ringpost_loom))]
mod seat;
#[cfg(not(ringpost_loom))]
mod spare;

#[cfg(all(test, ringpost_loom))]
mod models;
#[cfg(ringpost_loom)]
mod standin;
#[cfg(all(test, not(ringpost_loom)))]
mod tests;

pub(crate) use queue::Lane;
pub(crate) use task::yield_now;

#[cfg(not(ringpost_loom))]
pub use pool::{Workers, WorkersBuilder, WorkersStats};
#[cfg(not(ringpost_loom))]
pub(crate) use seat::{Beat, beating, is_wanted, search};
#[cfg(ringpost_loom)]
pub(crate) use standin::{is_wanted, search};
