//! Runs the real `ringpost` and looks at what comes out: text, JSON, exit codes, journals.

mod acceptance;
mod bench;
mod configuration;
mod consumers;
mod convert;
mod dedup;
mod explain;
mod inspect;
mod publish;
mod query;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
#[path = "../../../tests/redis_server/mod.rs"]
mod redis_server;
mod replay;
mod retained;
mod signals;
mod support;
mod tail;
#[cfg(feature = "tls")]
mod tls;
mod tune;
