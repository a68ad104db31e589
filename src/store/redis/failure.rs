//! What a server or the driver says, in the words of stores.
//!
//! The driver's types end here, and so do credentials: some servers repeat the arguments of a
//! command that they do not know.
#![forbid(unsafe_code)]

use std::fmt;

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use super::RedisUrl;
use crate::store::{StoreError, StoreErrorKind};

/// A cause as text, free of secrets.
#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

/// A failure of `kind` while doing `verb` on `url`, because of `cause`.
pub(super) fn because(
    url: &RedisUrl,
    verb: &str,
    kind: StoreErrorKind,
    cause: impl Into<String>,
) -> StoreError {
    StoreError::new(kind, format!("{verb} {url}")).with_source(Cause(cause.into()))
}

/// What the driver reports, while doing `verb` on `url`.
pub(super) fn failed(url: &RedisUrl, verb: &str, error: &RedisError) -> StoreError {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("the server says: {code} {detail}"),
        _ if error.is_timeout() => "the server did not answer in time".to_owned(),
        _ => error.to_string(),
    };
    because(url, verb, kind(error), url.without_secrets(&text))
}

fn kind(error: &RedisError) -> StoreErrorKind {
    match error.kind() {
        ErrorKind::AuthenticationFailed => return StoreErrorKind::Denied,
        ErrorKind::InvalidClientConfig => return StoreErrorKind::Refused,
        // One server is spoken to, not a cluster of them.
        ErrorKind::Server(
            ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot,
        ) => return StoreErrorKind::Unsupported,
        _ => {}
    }
    match error.code() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "READONLY") => StoreErrorKind::Denied,
        Some("OOM") => StoreErrorKind::Full,
        Some("WRONGTYPE") => StoreErrorKind::Refused,
        // Connections that end, servers that are loading or cannot save: it may pass.
        _ => StoreErrorKind::Io,
    }
}
