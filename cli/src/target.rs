//! What a reading verb reads: a journal's directory, one plain file, or standard input.
//!
//! Parsed by `tail`, `stats` and `verify`. Opens for reading only.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use ringpost::store::journal::JournalReader;
use ringpost::store::{StoreError, StoreErrorKind, StoreUrl};
use tempfile::NamedTempFile;

use crate::exit::Failure;
use crate::settings::Settings;

/// Where a verb reads.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetArgs {
    /// A journal's directory, one `.jsonl` file, or `-` for standard input [env: RINGPOST_JOURNAL]
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
}

impl TargetArgs {
    /// The place named here, or by the settings.
    pub(crate) fn resolve(&self) -> Result<Target, Failure> {
        let named = self.target.as_deref().or(self.journal.as_deref());
        if named == Some("-") {
            return Ok(Target::Stdin);
        }
        let place = match (&self.target, Settings::load()?) {
            (Some(text), _) => Some(StoreUrl::parse(text).map_err(Failure::usage)?),
            (None, settings) => settings.place(self.journal.as_deref())?,
        };
        match place {
            Some(StoreUrl::Journal(path)) if path.as_os_str() == "-" => Ok(Target::Stdin),
            Some(StoreUrl::Journal(path)) => Ok(Target::Path(path)),
            Some(_) => Err(Failure::usage(anyhow!(
                "there is nothing to read in `memory:`: what is in memory ends with its program"
            ))),
            None => Err(Failure::usage(anyhow!(
                "no journal was named: give a TARGET, --journal or RINGPOST_JOURNAL"
            ))),
        }
    }
}

/// A target opened for reading; keeps what standard input said on disk as long as it is read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) reader: JournalReader,
    _spooled: Option<NamedTempFile>,
}

impl Target {
    /// Opens it; standard input is read to its end first.
    pub(crate) fn open(&self) -> Result<Opened, Failure> {
        let (path, spooled) = match self {
            Self::Path(path) => (path.clone(), None),
            Self::Stdin => {
                let file = spool().context("cannot keep standard input in a temporary file")?;
                (file.path().to_owned(), Some(file))
            }
        };
        let reader = JournalReader::open(&path).map_err(unreadable)?;
        Ok(Opened { reader, _spooled: spooled })
    }
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
        StoreErrorKind::Denied => "; check its permissions",
        _ => "",
    };
    anyhow!("cannot {}{advice}", told(&error)).into()
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
