//! The journal of a process that is killed, loses its power or meets a failing disk while it
//! publishes as fast as it can. Real files, real processes, real file systems.
//!
//! Each campaign prints its seed. `RINGPOST_SEED` repeats one, `RINGPOST_ROUNDS` makes it longer
//! (20 unless said otherwise): see `ci/campaign.sh`.
#![cfg(all(feature = "jsonl", target_os = "linux"))]

mod consume;
mod count;
mod full;
mod inject;
mod judge;
mod kill;
mod load;
#[cfg(feature = "zstd")]
mod points;
mod power;
mod readonly;
mod rig;
#[cfg(feature = "zstd")]
mod rotate;
mod stall;
mod strace;
