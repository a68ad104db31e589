//! How the program ends: its exit codes, and failures that carry one.
//!
//! Every verb gives an [`Exit`] or a [`Failure`]; `main` alone turns either into a process's end.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The exit codes, documented in `ringpost --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Done = 0,
    /// Input, output, a store or the bus failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Nothing was found.
    Nothing = 3,
    /// Damage or loss was found and reported.
    Damage = 4,
}

impl Exit {
    /// [`Exit::Damage`] if there is any.
    pub(crate) fn damage_if(found: bool) -> Self {
        if found { Self::Damage } else { Self::Done }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An early end, with what there is to say about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Nothing for a closed pipe: whoever read has what they wanted.
    pub(crate) error: Option<anyhow::Error>,
}

impl Failure {
    /// Wrong usage or configuration.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: Some(error.into()) }
    }

    /// Standard output was closed by its reader.
    pub(crate) fn closed_pipe() -> Self {
        Self { exit: Exit::Done, error: None }
    }
}

/// Whatever is not said otherwise has failed.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failed, error: Some(error) }
    }
}
