//! Settings by precedence: flag, then environment (`RINGPOST_*`), then `ringpost.toml`, then the
//! default.
//!
//! Every value knows where it came from, and a value that is no good is refused in those words.
//! Credentials in a store's URL are never repeated.
#![forbid(unsafe_code)]

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::anyhow;
use clap::Args;
use ringpost::store::StoreUrl;
use ringpost::store::journal::{Fsync, JournalOptions};
use serde::Deserialize;

use crate::exit::Failure;
use crate::moment::parse_duration;
use crate::size::parse_size;

/// The file looked for in the current directory.
const FILE: &str = "ringpost.toml";

/// How a journal is written.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct WritingArgs {
    /// When the journal is synced to the disk: never, interval[:T], batch, always; interval:1s
    /// unless set [env: RINGPOST_FSYNC]
    #[arg(long, value_name = "WHEN")]
    fsync: Option<String>,
    /// The size at which the journal begins a new segment; 64 MiB unless set
    /// [env: RINGPOST_SEGMENT_BYTES]
    #[arg(long, value_name = "BYTES")]
    segment_bytes: Option<String>,
    /// The age at which the journal begins a new segment (1h); no limit unless set
    /// [env: RINGPOST_SEGMENT_AGE]
    #[arg(long, value_name = "TIME")]
    segment_age: Option<String>,
    /// Keep so many of the last events: older segments are removed, whole, as long as no named
    /// consumer needs them [env: RINGPOST_KEEP_EVENTS]
    #[arg(long, value_name = "N")]
    keep_events: Option<String>,
    /// Remove segments whose last event was recorded longer ago (7d) [env: RINGPOST_KEEP_AGE]
    #[arg(long, value_name = "TIME")]
    keep_age: Option<String>,
    /// Remove the oldest segments where all together would take more room (10GiB); the last two
    /// stay in any case [env: RINGPOST_KEEP_BYTES]
    #[arg(long, value_name = "SIZE")]
    keep_bytes: Option<String>,
    /// Compress finished segments with zstd in the background, at a level from 1 to 22 (3 unless
    /// given), or `off` [env: RINGPOST_COMPRESS]
    #[arg(
        long,
        value_name = "LEVEL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on"
    )]
    compress: Option<String>,
}

/// The level of `--compress` alone: zstd's own.
const LEVEL: i32 = 3;

fn parse_count(text: &str) -> anyhow::Result<u64> {
    text.parse().map_err(|_| anyhow!("`{text}` is no number of events"))
}

/// `on`, `off` or a level.
fn parse_level(text: &str) -> anyhow::Result<Option<i32>> {
    match text {
        "on" | "true" => Ok(Some(LEVEL)),
        "off" | "false" => Ok(None),
        _ => match text.parse() {
            Ok(level @ 1..=22) => Ok(Some(level)),
            _ => Err(anyhow!("`{text}` is no level of compression: write 1 to 22, on or off")),
        },
    }
}

/// A journal to be written.
#[derive(Clone, Debug)]
pub(crate) struct JournalSettings {
    pub(crate) place: StoreUrl,
    pub(crate) options: JournalOptions,
}

/// What `ringpost.toml` may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    journal: Option<String>,
    fsync: Option<String>,
    segment_bytes: Option<Plain>,
    segment_age: Option<Plain>,
    keep_events: Option<Plain>,
    keep_age: Option<Plain>,
    keep_bytes: Option<Plain>,
    compress: Option<Plain>,
}

/// A value that may be written with quotes or without.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Plain {
    Number(i64),
    Switch(bool),
    Text(String),
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Switch(switch) => switch.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The settings file, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    file: PathBuf,
    written: Written,
}

/// Where a value came from.
#[derive(Debug)]
enum Origin<'a> {
    Flag(&'a str),
    Environment(&'a str),
    File(&'a Path, &'a str),
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Environment(name) => write!(f, "the environment's {name}"),
            Self::File(file, name) => write!(f, "`{name}` in {}", file.display()),
        }
    }
}

impl Settings {
    /// Reads `ringpost.toml` of the current directory, or the file that `RINGPOST_CONFIG` names.
    pub(crate) fn load() -> Result<Self, Failure> {
        let named = env::var_os("RINGPOST_CONFIG").filter(|name| !name.is_empty());
        let file = named.as_ref().map_or_else(|| PathBuf::from(FILE), PathBuf::from);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                let what = format!("cannot read the settings in {}", file.display());
                return Err(Failure::usage(anyhow::Error::from(error).context(what)));
            }
        };
        match toml::from_str(&text) {
            Ok(written) => Ok(Self { file, written }),
            Err(error) => {
                // The error's own text would show the line, and with it a credential.
                let at = error.span().map_or(0, |span| span.start.min(text.len()));
                let line = text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
                let reason = error.message();
                let what = anyhow!("{}:{line}: {reason}", file.display());
                Err(Failure::usage(what.context("the settings cannot be used")))
            }
        }
    }

    /// The journal to write, if one is set; `flag` is what `--journal` says.
    pub(crate) fn journal(
        &self,
        flag: Option<&str>,
        writing: &WritingArgs,
    ) -> Result<Option<JournalSettings>, Failure> {
        let options = self.journal_options(writing)?;
        let place = self.place(flag)?;
        if matches!(&place, Some(StoreUrl::Journal(path)) if path.as_os_str() == "-") {
            return Err(Failure::usage(anyhow!(
                "nothing can be stored in `-`, which is standard input (a directory of that name \
                 is written `./-`)"
            )));
        }
        Ok(place.map(|place| JournalSettings { place, options }))
    }

    /// Where events are stored, if that is set; `flag` is what `--journal` says.
    pub(crate) fn place(&self, flag: Option<&str>) -> Result<Option<StoreUrl>, Failure> {
        let (name, written) = ("journal", self.written.journal.clone());
        self.chosen(name, "RINGPOST_JOURNAL", flag, written, StoreUrl::from_str)
    }

    fn journal_options(&self, args: &WritingArgs) -> Result<JournalOptions, Failure> {
        let file = &self.written;
        let mut options = JournalOptions::default();
        let (flag, written) = (args.fsync.as_deref(), file.fsync.clone());
        if let Some(fsync) =
            self.chosen("fsync", "RINGPOST_FSYNC", flag, written, Fsync::from_str)?
        {
            options = options.with_fsync(fsync);
        }
        if let Some(bytes) =
            self.plain("segment_bytes", &args.segment_bytes, &file.segment_bytes, parse_size)?
        {
            options = options.with_segment_bytes(bytes);
        }
        let age =
            self.plain("segment_age", &args.segment_age, &file.segment_age, parse_duration)?;
        let events =
            self.plain("keep_events", &args.keep_events, &file.keep_events, parse_count)?;
        let old = self.plain("keep_age", &args.keep_age, &file.keep_age, parse_duration)?;
        let bytes = self.plain("keep_bytes", &args.keep_bytes, &file.keep_bytes, parse_size)?;
        let level = self.plain("compress", &args.compress, &file.compress, parse_level)?;
        Ok(options
            .with_segment_age(age)
            .with_keep_events(events)
            .with_keep_age(old)
            .with_keep_bytes(bytes)
            .with_compression(level.flatten()))
    }

    /// The same for a value that the file may write with quotes or without.
    fn plain<T>(
        &self,
        name: &str,
        flag: &Option<String>,
        written: &Option<Plain>,
        parse: impl FnOnce(&str) -> anyhow::Result<T>,
    ) -> Result<Option<T>, Failure> {
        let variable = format!("RINGPOST_{}", name.to_ascii_uppercase());
        let written = written.as_ref().map(ToString::to_string);
        self.chosen(name, &variable, flag.as_deref(), written, parse)
    }

    /// The value of the highest rank that is set, parsed.
    fn chosen<T, E: fmt::Display>(
        &self,
        name: &str,
        variable: &str,
        flag: Option<&str>,
        written: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Failure> {
        let environment = env::var_os(variable).filter(|value| !value.is_empty());
        let flag_name = name.replace('_', "-");
        let (text, origin) = match (flag, environment, written) {
            (Some(text), _, _) => (text.to_owned(), Origin::Flag(&flag_name)),
            (None, Some(text), _) => {
                (text.to_string_lossy().into_owned(), Origin::Environment(variable))
            }
            (None, None, Some(text)) => (text, Origin::File(&self.file, name)),
            (None, None, None) => return Ok(None),
        };
        match parse(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Failure::usage(anyhow!("{origin} cannot be used: {error}"))),
        }
    }
}
