//! A real server, started by each test, that is killed, stopped, emptied, filled and shared.

mod crashes;
mod promises;
mod proxy;
mod reading;
#[path = "../redis_server/mod.rs"]
mod redis_server;
mod silence;
mod support;
mod trouble;
