//! What the server does with what it has taken, read from the server itself.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use ::redis::{Connection, RedisError, RedisResult, cmd};

/// From when on a record survives a power cut at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DurableWhen {
    /// As soon as it was appended: `appendonly yes`, `appendfsync always` and
    /// `no-appendfsync-on-rewrite no`.
    Appended,
    /// After a flush, which waits for the server's disk (`WAITAOF`: Redis 7.2 or newer with an
    /// append-only file).
    Flushed,
    /// Nobody can tell: there is no append-only file, or it reaches the disk at a time that this
    /// server does not tell, or the server does not say how it is set.
    Never,
}

/// The first version that can be asked whether its disk has something.
const WAITAOF: (u32, u32) = (7, 2);

impl DurableWhen {
    /// Asks the server. Where it keeps its settings to itself, as managed ones do, only what its
    /// statistics show counts.
    pub(super) fn read(connection: &mut Connection) -> RedisResult<Self> {
        let settings = cmd("CONFIG").arg("GET").arg("*append*").query(connection);
        let settings: HashMap<String, String> = allowed(settings)?;
        let info: Option<String> = allowed(cmd("INFO").query(connection).map(Some))?;
        Ok(Self::of(&settings, &info.unwrap_or_default()))
    }

    fn of(settings: &HashMap<String, String>, info: &str) -> Self {
        let setting = |name: &str| settings.get(name).map(String::as_str);
        let figure = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let kept = match setting("appendonly") {
            Some(kept) => kept == "yes",
            None => figure("aof_enabled") == Some("1"),
        };
        let fsync = setting("appendfsync");
        if !kept || fsync == Some("no") {
            Self::Never
        } else if fsync == Some("always") && setting("no-appendfsync-on-rewrite") == Some("no") {
            Self::Appended
        } else if figure("redis_version").and_then(version) >= Some(WAITAOF) {
            Self::Flushed
        } else {
            Self::Never
        }
    }
}

/// What a server may refuse to tell; that the connection broke is no refusal.
fn allowed<T: Default>(asked: RedisResult<T>) -> Result<T, RedisError> {
    match asked {
        Err(error) if error.code().is_some() => Ok(T::default()),
        asked => asked,
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)], info: &str) -> DurableWhen {
        let settings = settings.iter().map(|&(name, value)| (name.into(), value.into()));
        DurableWhen::of(&settings.collect(), info)
    }

    #[test]
    fn durable_is_promised_only_where_the_server_says_so() {
        let always =
            [("appendonly", "yes"), ("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no")];
        assert_eq!(of(&always, ""), DurableWhen::Appended);
        assert_eq!(of(&always[..2], ""), DurableWhen::Never, "a rewrite may suspend the syncs");
        let every = [("appendonly", "yes"), ("appendfsync", "everysec")];
        assert_eq!(of(&every, "redis_version:7.0.15\r\n"), DurableWhen::Never);
        assert_eq!(of(&every, "redis_version:7.2.0\r\n"), DurableWhen::Flushed);
        assert_eq!(of(&every, "redis_version:10.0.1\r\n"), DurableWhen::Flushed);
        let no = [("appendonly", "yes"), ("appendfsync", "no")];
        assert_eq!(of(&no, "redis_version:7.2.0\r\n"), DurableWhen::Never);
        assert_eq!(of(&[("appendonly", "no")], "redis_version:7.2.0"), DurableWhen::Never);
    }

    #[test]
    fn a_server_that_hides_its_settings_promises_what_its_statistics_show() {
        assert_eq!(of(&[], ""), DurableWhen::Never);
        let info = "# Server\r\nredis_version:7.4.1\r\n# Persistence\r\naof_enabled:1\r\n";
        assert_eq!(of(&[], info), DurableWhen::Flushed);
        let info = "redis_version:7.4.1\r\naof_enabled:0\r\n";
        assert_eq!(of(&[], info), DurableWhen::Never);
    }
}
