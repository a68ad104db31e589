//! Which server, which stream: a URL that never shows its credentials.
//!
//! Parsed by [`StoreUrl`](crate::store::StoreUrl) and by whoever names a stream. Errors repeat
//! nothing of the text, because any part of it may be a password with a slip before it.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use ::redis::{ConnectionInfo, IntoConnectionInfo};
use url::Url;

use crate::store::StoreUrlError;

/// The stream's key where the URL names none.
const STREAM: &str = "ringpost";
/// Redis takes keys of 512 MiB; a name is shorter.
const LONGEST_KEY: usize = 512;

/// The place of a Redis stream.
///
/// `redis://[USER:PASSWORD@]HOST[:PORT][/DB][?stream=KEY&maxlen=N]`, `rediss://…` for the same
/// over TLS (feature `tls`), `redis+unix:///PATH[?db=DB&user=USER&pass=PASSWORD&…]` for a socket.
/// The stream is `ringpost` unless said otherwise; `maxlen=N` keeps exactly the last N records,
/// `maxlen=~N` at least those. What is special in a URL is written `%XX`.
///
/// `Debug` and `Display` show no user and no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Without the parameters that are ours.
    server: Url,
    stream: String,
    keep: Option<Keep>,
}

/// How many records a stream keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Exactly the last so many.
    Last(u64),
    /// At least so many: the server drops whole blocks of its own, which costs it less.
    AtLeast(u64),
}

impl Keep {
    pub(super) fn count(self) -> u64 {
        let (Self::Last(count) | Self::AtLeast(count)) = self;
        count
    }
}

impl RedisUrl {
    /// Parses a stream's place.
    ///
    /// # Errors
    ///
    /// [`StoreUrlError::Server`] with what is wrong; [`StoreUrlError::NotBuiltIn`] for `rediss:`
    /// without the feature `tls`.
    pub fn parse(text: &str) -> Result<Self, StoreUrlError> {
        let mut server = Url::parse(text).map_err(|_| wrong("it is no URL"))?;
        match server.scheme() {
            "redis" => {}
            "redis+unix" if cfg!(unix) => {}
            "rediss" if cfg!(feature = "tls") => {}
            "rediss" => {
                return Err(StoreUrlError::NotBuiltIn { scheme: "rediss", feature: "tls" });
            }
            _ => return Err(wrong("its scheme is none of redis, rediss, redis+unix")),
        }
        if server.fragment().is_some() {
            // To the driver `#insecure` means: believe any certificate.
            return Err(wrong("there is a `#` in it; in a password that is written %23"));
        }
        let on_socket = server.scheme() == "redis+unix";
        let (mut stream, mut keep, mut others) = (STREAM.to_owned(), None, Vec::new());
        for (name, value) in server.query_pairs() {
            match &*name {
                "stream" => stream = value.into_owned(),
                "maxlen" => keep = Some(Keep::from_str(&value)?),
                "db" | "user" | "pass" if on_socket => {
                    others.push((name.into_owned(), value.into_owned()));
                }
                _ => return Err(wrong("it has a parameter other than stream and maxlen")),
            }
        }
        if stream.is_empty() || stream.len() > LONGEST_KEY || stream.contains(char::is_control) {
            return Err(wrong("the stream's name is empty, over 512 bytes or not printable"));
        }
        server.set_query(None);
        if !others.is_empty() {
            server.query_pairs_mut().extend_pairs(others);
        }
        let place = Self { server, stream, keep };
        place.connection_info().map_err(|_| {
            wrong("it is not redis://[USER:PASSWORD@]HOST[:PORT][/DB], DB a number")
        })?;
        Ok(place)
    }

    /// The stream's key.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// How many records the stream keeps; all of them unless something is said.
    #[must_use]
    pub fn keep(&self) -> Option<Keep> {
        self.keep
    }

    /// The same server, another stream.
    #[must_use]
    pub fn with_stream(self, stream: impl Into<String>) -> Self {
        Self { stream: stream.into(), ..self }
    }

    pub(super) fn connection_info(&self) -> ::redis::RedisResult<ConnectionInfo> {
        self.server.clone().into_connection_info()
    }

    /// `text` without the password, should a server have repeated it.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let info = self.connection_info().ok();
        let settings = info.as_ref().map(ConnectionInfo::redis_settings);
        let decoded = settings.and_then(|settings| settings.password());
        let mut shown = text.to_owned();
        for secret in [decoded, self.server.password()].into_iter().flatten() {
            if !secret.is_empty() {
                shown = shown.replace(secret, "***");
            }
        }
        shown
    }
}

fn wrong(reason: &'static str) -> StoreUrlError {
    StoreUrlError::Server { kind: "Redis", reason }
}

impl FromStr for Keep {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let (number, about) = text.strip_prefix('~').map_or((text, false), |number| (number, true));
        match number.parse() {
            Ok(0) | Err(_) => Err(wrong("its maxlen is no number from 1, or ~ and a number")),
            Ok(number) if about => Ok(Self::AtLeast(number)),
            Ok(number) => Ok(Self::Last(number)),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.server.clone();
        // Neither can fail where there is a host, and without one there is neither.
        let _ = shown.set_password(None);
        let _ = shown.set_username("");
        shown.set_query(None);
        shown.query_pairs_mut().append_pair("stream", &self.stream);
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_server_stream_and_length() {
        let url = RedisUrl::parse("redis://host:7000/3?stream=a%20b&maxlen=~1000").expect("a URL");
        assert_eq!((url.stream(), url.keep()), ("a b", Some(Keep::AtLeast(1000))));
        assert_eq!(url.connection_info().expect("a server").redis_settings().db(), 3);
        let url = RedisUrl::parse("redis://host?maxlen=5").expect("a URL");
        assert_eq!((url.stream(), url.keep()), ("ringpost", Some(Keep::Last(5))));
        assert_eq!(url.to_string(), "redis://host?stream=ringpost");
    }

    #[test]
    fn what_it_shows_has_no_credential() {
        for text in
            ["redis://user:hunter2@host/1", "redis+unix:///run/r.sock?user=user&pass=hunter2"]
        {
            let url = RedisUrl::parse(text).expect("a URL");
            let shown = format!("{url} {url:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("user@"), "{shown}");
            let echoed = url.without_secrets("unknown command AUTH, with args: hunter2");
            assert!(!echoed.contains("hunter2"), "{echoed}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_without_repeating_it() {
        for text in [
            "redis://user:hunter2@",
            "redis://:hunter2@host/hunter2",
            "redis://h?hunter2=1",
            "redis://:hunter2@h?maxlen=0",
            "redis://:hunter2@h?maxlen=hunter2",
            "redis://:hunter2@h?stream=",
            "redis://h#insecure",
            "redis://:hun#ter2@h",
        ] {
            let error = RedisUrl::parse(text).expect_err(text);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
