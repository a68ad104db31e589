//! The log line of a publish, through the `tracing` facade: or nothing, in a build without it.
#![forbid(unsafe_code)]

#[cfg(not(feature = "tracing"))]
#[path = "trace/silent.rs"]
mod line;
#[cfg(feature = "tracing")]
#[path = "trace/line.rs"]
mod line;

pub(crate) use line::Line;
