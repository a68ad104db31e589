//! The place of a Redis stream in a build that has no Redis: there is none.
#![forbid(unsafe_code)]

use std::fmt;

use super::StoreUrlError;

/// Never made: its stores are not built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisUrl {}

impl RedisUrl {
    pub(super) fn parse(text: &str) -> Result<Self, StoreUrlError> {
        let is_tls = text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("rediss:"));
        let scheme = if is_tls { "rediss" } else { "redis" };
        Err(StoreUrlError::NotBuiltIn { scheme, feature: "redis" })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
