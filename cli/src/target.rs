//! What a reading verb reads: a journal's directory, one plain file, a Redis stream, or standard
//! input.
//!
//! Parsed by `tail`, `query`, `replay`, `stats` and `verify`. Opens for reading only.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
#[cfg(feature = "redis")]
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
#[cfg(feature = "redis")]
use ringpost::Sequence;
use ringpost::store::journal::{Damage, JournalReader};
#[cfg(feature = "redis")]
use ringpost::store::redis::{RedisOptions, RedisReader, RedisUrl};
use ringpost::store::{StoreError, StoreErrorKind, StoreUrl};
use tempfile::NamedTempFile;

use crate::console::Console;
use crate::exit::Failure;
use crate::settings::Settings;

/// Where a verb reads.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetArgs {
    /// A journal's directory, one `.jsonl` file, a stream (`redis://HOST/DB?stream=KEY`), or `-`
    /// for standard input [env: RINGPOST_JOURNAL]
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// The same, as other verbs name it
    #[arg(long, value_name = "TARGET", conflicts_with = "target")]
    journal: Option<String>,
}

/// A place to read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A directory or a file.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// A Redis stream.
    #[cfg(feature = "redis")]
    Stream(RedisUrl),
}

impl TargetArgs {
    /// The place named here, or by the settings.
    pub(crate) fn resolve(&self) -> Result<Target, Failure> {
        Target::named(self.target.as_deref(), self.journal.as_deref())
    }
}

impl Target {
    /// The place named by an argument, else by `--journal` (`flag`), else by the settings.
    pub(crate) fn named(argument: Option<&str>, flag: Option<&str>) -> Result<Self, Failure> {
        if argument.or(flag) == Some("-") {
            return Ok(Self::Stdin);
        }
        let place = match (argument, Settings::load()?) {
            (Some(text), _) => Some(StoreUrl::parse(text).map_err(Failure::usage)?),
            (None, settings) => settings.place(flag)?,
        };
        match place {
            Some(StoreUrl::Journal(path)) if path.as_os_str() == "-" => Ok(Self::Stdin),
            Some(StoreUrl::Journal(path)) => Ok(Self::Path(path)),
            #[cfg(feature = "redis")]
            Some(StoreUrl::Redis(url)) => Ok(Self::Stream(url)),
            Some(StoreUrl::Memory) => Err(Failure::usage(anyhow!(
                "there is nothing to read in `memory:`: what is in memory ends with its program"
            ))),
            Some(_) => Err(not_built_in()),
            None => Err(Failure::usage(anyhow!(
                "no journal was named: give a TARGET, --journal or RINGPOST_JOURNAL"
            ))),
        }
    }
}

/// A store that the library knows and this program was built without.
pub(crate) fn not_built_in() -> Failure {
    Failure::usage(anyhow!(
        "this store is not built in: build ringpost-cli with the feature of its scheme's name"
    ))
}

/// A journal opened for reading; keeps what standard input said on disk as long as it is read.
#[derive(Debug)]
pub(crate) struct OpenedJournal {
    pub(crate) reader: JournalReader,
    _spooled: Option<NamedTempFile>,
}

/// A target opened for reading.
#[derive(Debug)]
pub(crate) enum Opened {
    Journal(OpenedJournal),
    #[cfg(feature = "redis")]
    Stream(RedisReader),
}

impl Target {
    /// Opens it; standard input is read to its end first.
    pub(crate) fn open(&self) -> Result<Opened, Failure> {
        let (path, spooled) = match self {
            Self::Path(path) => (path.clone(), None),
            #[cfg(feature = "redis")]
            Self::Stream(url) => {
                let reader = RedisReader::open(url.clone(), RedisOptions::default());
                return Ok(Opened::Stream(reader.map_err(unreadable)?));
            }
            Self::Stdin => {
                let file = spool().context("cannot keep standard input in a temporary file")?;
                (file.path().to_owned(), Some(file))
            }
        };
        let reader = JournalReader::open(&path).map_err(unreadable)?;
        Ok(Opened::Journal(OpenedJournal { reader, _spooled: spooled }))
    }
}

impl Opened {
    /// The same as a journal: a stream's records are copied into a temporary file first, as
    /// standard input is, for verbs that look at the record more than once or on all cores.
    pub(crate) fn into_journal(self) -> Result<OpenedJournal, Failure> {
        match self {
            Self::Journal(opened) => Ok(opened),
            #[cfg(feature = "redis")]
            Self::Stream(reader) => {
                let file = spool_stream(&reader)?;
                let reader = JournalReader::open(file.path()).map_err(unreadable)?;
                Ok(OpenedJournal { reader, _spooled: Some(file) })
            }
        }
    }
}

#[cfg(feature = "redis")]
fn spool_stream(reader: &RedisReader) -> Result<NamedTempFile, Failure> {
    const TRIED: &str = "cannot keep the stream in a temporary file";
    let mut file = NamedTempFile::with_prefix("ringpost-").context(TRIED)?;
    let mut lines = BufWriter::new(file.as_file_mut());
    for entry in reader.entries(Sequence::FIRST).map_err(unreadable)? {
        match entry.map_err(unreadable)? {
            Ok(entry) => lines.write_all(entry.line.trim_ascii_end()),
            // What is no record there is none here, and is told and counted as one.
            Err(damage) => write!(lines, "entry {}: {}", damage.id, damage.reason),
        }
        .and_then(|()| lines.write_all(b"\n"))
        .context(TRIED)?;
    }
    lines.flush().context(TRIED)?;
    drop(lines);
    Ok(file)
}

fn spool() -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::with_prefix("ringpost-")?;
    io::copy(&mut io::stdin().lock(), &mut fs::File::options().append(true).open(file.path())?)?;
    file.as_file_mut().sync_data()?;
    Ok(file)
}

/// A store's failure while it was read, with what to do about it.
pub(crate) fn unreadable(error: StoreError) -> Failure {
    let advice = match error.kind() {
        StoreErrorKind::NotFound => "; check the name, or publish into it first",
        StoreErrorKind::Denied => "; check its permissions, of a server the user and password",
        _ => "",
    };
    anyhow!("cannot {}{advice}", told(&error)).into()
}

/// Tells of lines that are no records and were left out; whether there were any.
pub(crate) fn tell_damage(count: u64, first: Option<&Damage>, console: &Console) -> bool {
    if let Some(damage) = first {
        let (file, offset, reason) = (damage.file.display(), damage.offset, &damage.reason);
        console.warn(format_args!("{file}: byte {offset}: {reason}"));
    }
    if count > 0 {
        console.warn(format_args!("{count} damaged lines were left out; see `ringpost verify`"));
    }
    count > 0
}

/// Tells of segments that were removed while they were to be searched; whether there were any.
pub(crate) fn tell_gone(segments: u64, console: &Console) -> bool {
    if segments > 0 {
        console.warn(format_args!(
            "{segments} segments were removed from the journal before they could be searched"
        ));
    }
    segments > 0
}

/// A store's failure with its causes, on one line.
pub(crate) fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
