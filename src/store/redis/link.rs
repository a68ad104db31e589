//! The one connection of a writer: made with time-outs, given up at the first doubt, made again
//! with growing pauses.
#![forbid(unsafe_code)]

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::time::{Duration, Instant};

use ::redis::{Client, Connection, RedisError, RedisResult, Value};

use super::failure::failed;
use super::tls;
use super::{RedisOptions, RedisUrl};
use crate::store::StoreError;

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Connects, or says why not.
pub(super) fn connect(url: &RedisUrl, options: &RedisOptions) -> Result<Connection, StoreError> {
    tls::prepare();
    let connect = || {
        let info = url.connection_info()?;
        let settings = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(settings))?;
        let connection = client.get_connection_with_timeout(options.connect_timeout)?;
        connection.set_read_timeout(Some(options.response_timeout))?;
        connection.set_write_timeout(Some(options.response_timeout))?;
        Ok(connection)
    };
    connect().map_err(|error: RedisError| failed(url, "connect to", &error))
}

/// The next answer; what the server refuses is an error like any other.
pub(super) fn answer(connection: &mut Connection) -> RedisResult<Value> {
    match connection.recv_response()? {
        Value::ServerError(error) => Err(error.into()),
        value => Ok(value),
    }
}

/// See the [module](self).
pub(super) struct Link {
    pub(super) url: RedisUrl,
    pub(super) options: RedisOptions,
    connection: Option<Connection>,
    pause: Duration,
    refused: Option<(Instant, StoreError)>,
}

impl Link {
    pub(super) fn new(url: RedisUrl, options: RedisOptions) -> Self {
        Self { url, options, connection: None, pause: Duration::ZERO, refused: None }
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        self.connection.is_some()
    }

    /// The connection, made if there is none. While a pause lasts, the last failure again.
    pub(super) fn up(&mut self) -> Result<&mut Connection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reconnect()?,
        };
        Ok(self.connection.insert(connection))
    }

    fn reconnect(&mut self) -> Result<Connection, StoreError> {
        if let Some((until, error)) = &self.refused
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        connect(&self.url, &self.options).inspect_err(|error| {
            let doubled = (self.pause * 2).max(FIRST_PAUSE);
            self.pause = doubled.min(self.options.longest_pause);
            self.refused = Some((Instant::now() + shortened(self.pause), error.clone()));
        })
    }

    /// The connection answered as it should.
    pub(super) fn worked(&mut self) {
        self.pause = Duration::ZERO;
        self.refused = None;
    }

    /// Gives the connection up: nobody knows what it would answer next.
    pub(super) fn down(&mut self) {
        self.connection = None;
    }

    /// A failure of `verb`, after which the connection is given up unless the server has merely
    /// refused a command.
    pub(super) fn failed(&mut self, verb: &str, error: &RedisError) -> StoreError {
        if error.code().is_none() {
            self.down();
        }
        failed(&self.url, verb, error)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("url", &self.url)
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

/// Between three quarters of `pause` and all of it.
fn shortened(pause: Duration) -> Duration {
    // The only source of randomness in std.
    let random = RandomState::new().hash_one(0_u8);
    let quarter = pause / 4;
    pause - quarter.mul_f64((random % 1024) as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_shortened_by_less_than_a_quarter_and_not_always_by_the_same() {
        let pause = Duration::from_secs(4);
        let pauses: Vec<Duration> = (0..64).map(|_| shortened(pause)).collect();
        assert!(pauses.iter().all(|some| *some > pause * 3 / 4 && *some <= pause));
        assert!(pauses.iter().any(|some| *some != pauses[0]));
    }
}
