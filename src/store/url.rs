//! Where a store is, as people write it: `jsonl:DIR`, a bare path, `memory:`, a server's URL.
//!
//! Used by command lines and settings. What it prints never contains a credential: of a URL only
//! the scheme is ever repeated.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::redis::RedisUrl;

/// A store's place, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// A journal: a directory, or for reading one plain `.jsonl` file.
    Journal(PathBuf),
    /// The store in memory, empty at each start.
    Memory,
    /// A Redis stream. Without the feature `redis` there is no such value.
    Redis(RedisUrl),
}

/// Why a text names no store that this build can open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrlError {
    /// The text, or what follows the scheme, is empty.
    Empty,
    /// The scheme is known, but support for it is not compiled in.
    NotBuiltIn {
        /// The scheme as it was written.
        scheme: &'static str,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// A server's URL that cannot be used. Nothing of it is repeated.
    Server {
        /// The kind of server.
        kind: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No store has this scheme.
    UnknownScheme(String),
}

/// Schemes of stores outside this build, with the feature each one needs.
const ELSEWHERE: [(&str, &str); 6] = [
    ("sqlite", "sqlite"),
    ("postgres", "postgres"),
    ("postgresql", "postgres"),
    ("nats", "nats"),
    ("tls", "nats"),
    ("iceoryx2", "iceoryx2"),
];

impl StoreUrl {
    /// Parses a store's place. A path that looks like a scheme is written `./name:rest`.
    ///
    /// # Errors
    ///
    /// If no store that this build can open is named.
    pub fn parse(text: &str) -> Result<Self, StoreUrlError> {
        if text.is_empty() {
            return Err(StoreUrlError::Empty);
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme))
        else {
            return match text.split_once("://") {
                // A server's URL with a slip in front: no directory may be named after it, for
                // its name would hold the credentials.
                Some((front, _)) if !front.contains(['/', ':']) => {
                    Err(StoreUrlError::UnknownScheme(front.to_owned()))
                }
                _ => journal(text),
            };
        };
        let name = scheme.to_ascii_lowercase();
        match &*name {
            "memory" => Ok(Self::Memory),
            "jsonl" => journal(rest.strip_prefix("//").unwrap_or(rest)),
            "redis" | "rediss" | "redis+unix" => RedisUrl::parse(text).map(Self::Redis),
            _ => match ELSEWHERE.iter().find(|(known, _)| *known == name) {
                Some(&(scheme, feature)) => Err(StoreUrlError::NotBuiltIn { scheme, feature }),
                None => Err(StoreUrlError::UnknownScheme(name)),
            },
        }
    }
}

fn journal(path: &str) -> Result<StoreUrl, StoreUrlError> {
    if path.is_empty() {
        Err(StoreUrlError::Empty)
    } else if cfg!(all(feature = "jsonl", unix)) {
        Ok(StoreUrl::Journal(PathBuf::from(path)))
    } else {
        Err(StoreUrlError::NotBuiltIn { scheme: "jsonl", feature: "jsonl" })
    }
}

/// RFC 3986's letters of a scheme; a single one is a drive, not a scheme.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(path) => write!(f, "jsonl:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for StoreUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the store's place is empty"),
            Self::NotBuiltIn { scheme, feature } => write!(
                f,
                "stores named `{scheme}:` are not built in: build ringpost with the feature `{feature}`"
            ),
            Self::Server { kind, reason } => {
                write!(f, "the URL of a {kind} store cannot be used: {reason}")
            }
            Self::UnknownScheme(scheme) => {
                write!(
                    f,
                    "no store is named `{scheme}:` (a path of that name is written `./{scheme}:`)"
                )
            }
        }
    }
}

impl std::error::Error for StoreUrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_schemes_name_their_stores() {
        let journal = |path: &str| Ok(StoreUrl::Journal(PathBuf::from(path)));
        assert_eq!(StoreUrl::parse("events"), journal("events"));
        assert_eq!(StoreUrl::parse("jsonl:events"), journal("events"));
        assert_eq!(StoreUrl::parse("jsonl:///var/log/bus"), journal("/var/log/bus"));
        assert_eq!(StoreUrl::parse("/var/a:b"), journal("/var/a:b"));
        assert_eq!(StoreUrl::parse("./a:b"), journal("./a:b"));
        assert_eq!(StoreUrl::parse("./a://b"), journal("./a://b"));
        assert_eq!(StoreUrl::parse("c:/events"), journal("c:/events"));
        assert_eq!(StoreUrl::parse("memory:"), Ok(StoreUrl::Memory));
        assert_eq!(StoreUrl::parse(""), Err(StoreUrlError::Empty));
        assert_eq!(StoreUrl::parse("jsonl:"), Err(StoreUrlError::Empty));
    }

    #[test]
    fn a_store_outside_this_build_names_its_feature_and_no_credential() {
        for text in ["nats://user:hunter2@host/0", "POSTGRES://u:hunter2@h/d", "hunt://hunter2"] {
            let error = StoreUrl::parse(text).expect_err("not in this build");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        for text in [" redis://u:hunter2@h", "\tnats://hunter2", "my_redis://:hunter2@h"] {
            let error = StoreUrl::parse(text).expect_err("no path");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let error = StoreUrl::parse("nats://host").expect_err("not in this build");
        assert_eq!(
            error.to_string(),
            "stores named `nats:` are not built in: build ringpost with the feature `nats`"
        );
    }
}
