//! Where the figure of a target is found: the scenario's name and the case's.

use super::{call, fan_in, fan_out, idle, journal, latency, routing, scale, silence, tell};

type Place = (&'static str, String);

pub fn tell(capacity: usize, batch: u64) -> Place {
    (tell::NAME, tell::case(capacity, batch))
}

pub fn fan_in(publishers: u64, batch: u64) -> Place {
    (fan_in::NAME, fan_in::case(publishers, batch))
}

pub fn fan_out(receivers: u64, batch: u64) -> Place {
    (fan_out::NAME, fan_out::case(receivers, batch))
}

pub fn routing() -> Place {
    (routing::NAME, routing::CASE.to_owned())
}

pub fn call(mailboxes: u64) -> Place {
    (call::NAME, call::case(mailboxes))
}

pub fn idle_bytes(count: u64) -> Place {
    (idle::NAME, idle::bytes(count))
}

pub fn idle_spawns(count: u64) -> Place {
    (idle::NAME, idle::spawns(count))
}

pub fn scale_by_handle() -> Place {
    (scale::NAME, scale::BY_HANDLE.to_owned())
}

pub fn scale_by_name() -> Place {
    (scale::NAME, scale::BY_NAME.to_owned())
}

pub fn journal() -> Place {
    (journal::NAME, journal::CASE.to_owned())
}

pub fn journal_burst() -> Place {
    (journal::NAME, journal::BURST.to_owned())
}

pub fn journal_sustained() -> Place {
    (journal::NAME, journal::SUSTAINED.to_owned())
}

pub fn journal_batch() -> Place {
    (journal::NAME, journal::BATCH.to_owned())
}

pub fn replay() -> Place {
    (journal::NAME, journal::REPLAY.to_owned())
}

pub fn latency(rate: &str, receivers: u64, metric: &str) -> Place {
    (latency::NAME, latency::case(rate, receivers, metric))
}

pub fn silence() -> Place {
    (silence::NAME, silence::CASE.to_owned())
}
