//! Standard output: events as lines, summaries as one JSON object, tables.
//!
//! The only file that writes there. A reader that went away (`| head`) is no error: it becomes
//! the failure that ends the program quietly.
#![forbid(unsafe_code)]

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::exit::Failure;
use crate::visible::visible_json;

/// Standard output, buffered.
#[derive(Debug)]
pub(crate) struct Output {
    to: BufWriter<Stdout>,
    is_terminal: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Self { to: BufWriter::with_capacity(64 * 1024, stdout), is_terminal }
    }

    /// An event's JSON as a line; a newline at its end may be there or not.
    pub(crate) fn event(&mut self, json: &[u8]) -> Result<(), Failure> {
        let json = json.strip_suffix(b"\n").unwrap_or(json);
        match std::str::from_utf8(json) {
            Ok(text) if self.is_terminal => self.put(visible_json(text).as_bytes())?,
            _ => self.put(json)?,
        }
        self.put(b"\n")
    }

    /// A value as one JSON object on one line.
    pub(crate) fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_vec(value).map_err(anyhow::Error::from)?;
        self.event(&text)?;
        self.flush()
    }

    /// Text for people; whoever calls has made foreign parts of it visible.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.put(text.as_bytes())
    }

    /// Bytes as they are.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(failed)
    }

    /// Hands everything to the system.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(failed)
    }

    /// Fails if the reader went away: for whoever may have nothing to write for a long time.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let mut at = [PollFd::new(self.to.get_ref(), PollFlags::empty())];
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        match poll(&mut at, Some(&Timespec::default())) {
            Ok(1..) if at[0].revents().intersects(gone) => Err(Failure::closed_pipe()),
            _ => Ok(()),
        }
    }
}

fn failed(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::closed_pipe();
    }
    anyhow::Error::from(error).context("cannot write to standard output").into()
}
