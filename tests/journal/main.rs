//! The journal on real files: what a crash, a full disk, a second writer, a link or a flipped bit
//! may do to it, and what they may not.
#![cfg(all(feature = "jsonl", unix))]

#[cfg(all(feature = "query", feature = "zstd"))]
mod damaged;
#[cfg(feature = "query")]
mod following;
mod indexing;
#[cfg(all(feature = "query", feature = "zstd"))]
mod packed;
mod reading;
mod recovery;
mod retained;
#[cfg(target_os = "linux")]
mod rotation;
mod support;
#[cfg(all(feature = "tail", target_os = "linux"))]
mod watching;
mod writers;
