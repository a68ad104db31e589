//! How long a server may take.
#![forbid(unsafe_code)]

use std::time::Duration;

/// Settings of a [`RedisStore`](super::RedisStore) and of its readers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisOptions {
    /// How long a connection may take to be made, its password to be accepted: 2 s unless said
    /// otherwise.
    pub connect_timeout: Duration,
    /// How long the server may be silent before a call fails and the connection is given up:
    /// 5 s unless said otherwise. Above zero.
    pub response_timeout: Duration,
    /// The longest pause between two tries to connect: 4 s unless said otherwise. The first try
    /// is made at once; the pauses double from 100 ms, and each is shortened at random by up to
    /// a quarter, so that many clients do not come back together.
    pub longest_pause: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(5),
            longest_pause: Duration::from_secs(4),
        }
    }
}

impl RedisOptions {
    /// The same with another time for connecting.
    #[must_use]
    pub fn with_connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// The same with another time for answers.
    #[must_use]
    pub fn with_response_timeout(self, response_timeout: Duration) -> Self {
        Self { response_timeout, ..self }
    }

    /// The same with another longest pause.
    #[must_use]
    pub fn with_longest_pause(self, longest_pause: Duration) -> Self {
        Self { longest_pause, ..self }
    }
}
