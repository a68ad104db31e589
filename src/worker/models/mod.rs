//! Models of the workers' protocols, explored by loom: [`lot`] with numbers for tasks, then
//! [`tasks`] with the lot.
//!
//! A lost wake leaves a worker parked for ever. Models that must lose one end the lot once every
//! other party is done: who is woken by that, and by nothing before, comes back without work.
//! (A deadlock would do, but loom aborts the process on the way out.)
//!
//! `crossbeam`'s queue is replaced by `standin.rs`. Tasks are in the standard library's `Arc`,
//! whose accesses loom does not see: that can only take order away from a model, never add it.
#![forbid(unsafe_code)]

mod lot;
mod tasks;
