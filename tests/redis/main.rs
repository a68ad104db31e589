//! A real server, started by each test, that is killed, stopped, emptied, filled and shared.

mod crashes;
mod outage;
#[cfg(target_os = "linux")]
mod power;
mod promises;
mod proxy;
mod reading;
#[path = "../redis_server/mod.rs"]
mod redis_server;
#[cfg(target_os = "linux")]
#[path = "../crash/rig.rs"]
#[allow(dead_code, reason = "shared; not all of it is needed here")]
mod rig;
mod silence;
mod support;
mod trouble;
