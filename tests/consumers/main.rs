//! Durable consumers of a journal on real files.
#![cfg(all(feature = "jsonl", unix))]
#![forbid(unsafe_code)]

mod begin;
mod files;
mod pull;
mod retry;
mod run;
mod support;
