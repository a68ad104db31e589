//! What a reading verb reads: a journal's directory, one plain file, a Redis stream, or standard
//! input.
//!
//! Parsed by `tail`, `query`, `replay`, `stats` and `verify`. Opens for reading only.
#![forbid(unsafe_code)]

#[cfg(feature = "redis")]
use std::io::BufWriter;
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
#[cfg(feature = "redis")]
use ringpost::Sequence;
use ringpost::store::journal::{Damage, JournalReader};
#[cfg(feature = "redis")]
use ringpost::store::redis::{RedisOptions, RedisReader, RedisUrl};
use ringpost::store::{StoreError, StoreErrorKind, StoreUrl};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::console::Console;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
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
    spooled: Option<Spooled>,
}

/// What can be read only once, kept on disk.
#[derive(Debug)]
struct Spooled {
    file: NamedTempFile,
    /// An interrupt ended the reading of it.
    cut: bool,
}

/// A target opened for reading.
#[derive(Debug)]
pub(crate) enum Opened {
    Journal(OpenedJournal),
    #[cfg(feature = "redis")]
    Stream(RedisReader),
}

impl OpenedJournal {
    /// Whether an interrupt came before all of it was there to be read.
    pub(crate) fn is_cut(&self) -> bool {
        self.spooled.as_ref().is_some_and(|spooled| spooled.cut)
    }

    /// What ends the work on it, for verbs that only look. An interrupt that ended the reading of
    /// standard input has done its work: what was read until then is worked on. A second one ends the
    /// program at once in any case.
    pub(crate) fn interrupt(&self, asked: &Interrupt) -> Interrupt {
        if self.is_cut() { Interrupt::default() } else { asked.clone() }
    }

    fn of(spooled: Spooled) -> Result<Self, Failure> {
        let reader = JournalReader::open(spooled.file.path()).map_err(unreadable)?;
        Ok(Self { reader, spooled: Some(spooled) })
    }
}

impl Target {
    /// Opens it; standard input is read first, to its end or until an interrupt.
    pub(crate) fn open(&self, interrupt: &Interrupt) -> Result<Opened, Failure> {
        match self {
            Self::Path(path) => {
                let reader = JournalReader::open(path).map_err(unreadable)?;
                Ok(Opened::Journal(OpenedJournal { reader, spooled: None }))
            }
            #[cfg(feature = "redis")]
            Self::Stream(url) => {
                let reader = RedisReader::open(url.clone(), RedisOptions::default());
                Ok(Opened::Stream(reader.map_err(unreadable)?))
            }
            Self::Stdin => {
                let spooled = spool(interrupt);
                let spooled = spooled.context("cannot keep standard input in a temporary file")?;
                Ok(Opened::Journal(OpenedJournal::of(spooled)?))
            }
        }
    }
}

impl Opened {
    /// The same as a journal: a stream's records are copied into a temporary file first, as
    /// standard input is, for verbs that look at the record more than once or on all cores.
    #[cfg_attr(
        not(feature = "redis"),
        expect(unused_variables, reason = "only streams are copied")
    )]
    pub(crate) fn into_journal(self, interrupt: &Interrupt) -> Result<OpenedJournal, Failure> {
        match self {
            Self::Journal(opened) => Ok(opened),
            #[cfg(feature = "redis")]
            Self::Stream(reader) => OpenedJournal::of(spool_stream(&reader, interrupt)?),
        }
    }
}

#[cfg(feature = "redis")]
fn spool_stream(reader: &RedisReader, interrupt: &Interrupt) -> Result<Spooled, Failure> {
    const TRIED: &str = "cannot keep the stream in a temporary file";
    let mut file = NamedTempFile::with_prefix("ringpost-").context(TRIED)?;
    let mut lines = BufWriter::new(file.as_file_mut());
    let mut cut = false;
    for entry in reader.entries(Sequence::FIRST).map_err(unreadable)? {
        cut = interrupt.is_set();
        if cut {
            break;
        }
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
    Ok(Spooled { file, cut })
}

/// How often a wait for standard input looks whether it was asked to end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

fn spool(interrupt: &Interrupt) -> io::Result<Spooled> {
    let mut file = NamedTempFile::with_prefix("ringpost-")?;
    let mut stdin = io::stdin().lock();
    let mut cut = false;
    loop {
        // What it holds was taken from its buffer, so that this tells whether reading would wait.
        let ready = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&LOOK));
        match ready {
            Ok(0) | Err(Errno::INTR) => {}
            // What is no place to wait at (a file, on some systems) is read as it is.
            _ => {
                let text = match stdin.fill_buf() {
                    Ok(text) => text,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                let length = text.len();
                if length == 0 {
                    break;
                }
                file.write_all(text)?;
                stdin.consume(length);
            }
        }
        cut = interrupt.is_set();
        if cut {
            break;
        }
    }
    file.as_file_mut().sync_data()?;
    Ok(Spooled { file, cut })
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

/// Tells that an interrupt ended the work before its end.
pub(crate) fn tell_interrupted(console: &Console) {
    console.warn("interrupted before everything was read: what was found is not all there may be");
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
