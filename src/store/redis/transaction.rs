//! A batch on its way: one transaction in one round trip, packed straight into one buffer.
//!
//! `MULTI`, an `XADD` a record, `EXEC`: the server takes all of a batch or nothing. Pipelined
//! commands alone would not do: one that is refused for want of memory, with the next one let
//! through, leaves a hole that nothing can fill, because ids only rise.
//!
//! Behind it, in the same round trip, `WATCH` and a look at the stream prepare for the next batch: if
//! anybody touches the stream in between, the server does not run it. Where the server can, it does
//! all that [silently](super::silent).
#![forbid(unsafe_code)]

use ::redis::{Connection, RedisError, RedisResult, Value};

use super::entry::EntryId;
use super::link::answer;
use super::pack::{Packer, command};
use super::place::Keep;
use super::shape::{Shape, look, looked};
use super::silent::Silent;
use crate::store::Record;

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it is stored, and this was the stream then.
    Stored(Shape),
    /// Nothing of it is: somebody had touched the stream, or, of a silent one, anything else.
    NotRun,
    /// Nothing of it is: the server refuses it.
    Refused(RedisError),
    /// The server ran it and refused parts of it.
    Torn(RedisError),
}

/// Stores batches on one connection after the other.
#[derive(Debug)]
pub(super) struct Transaction {
    stream: String,
    packer: Packer,
    /// What begins a batch, and what ends it.
    first: Vec<u8>,
    last: Vec<u8>,
    trims: bool,
    silent: Silent,
    /// Whether this connection's server can.
    is_silent: bool,
}

impl Transaction {
    pub(super) fn new(stream: &str, keep: Option<Keep>) -> Self {
        let mut trim = Vec::new();
        if let Some(keep) = keep {
            let count = keep.count().to_string();
            match keep {
                Keep::Last(_) => command(&mut trim, &["XTRIM", stream, "MAXLEN", &count]),
                Keep::AtLeast(_) => command(&mut trim, &["XTRIM", stream, "MAXLEN", "~", &count]),
            }
        }
        let silent = Silent::new(stream, &trim);
        let (mut first, mut last) = (Vec::new(), trim);
        command(&mut first, &["MULTI"]);
        command(&mut last, &["EXEC"]);
        look(&mut last, stream);
        Self {
            stream: stream.to_owned(),
            packer: Packer::new(stream),
            first,
            last,
            trims: keep.is_some(),
            silent,
            is_silent: false,
        }
    }

    /// Goes over to a new connection, on which the server is to be silent if it can, or not.
    ///
    /// An error means that nobody knows what this connection would answer next.
    pub(super) fn meet(&mut self, connection: &mut Connection, silent: bool) -> RedisResult<()> {
        self.silent.forget();
        self.is_silent = false;
        self.is_silent = silent && Silent::rehearse(connection, &self.stream)?;
        Ok(())
    }

    /// Whether the shape that was stored last is what it should be, and nobody has looked yet.
    pub(super) fn is_unseen(&self) -> bool {
        self.silent.is_owed()
    }

    /// Stores the records, all of them or none, if the stream, which was watched and looked at, is
    /// still what it was `before`. With an answer for each of them if it is to be `aloud`.
    ///
    /// An error means that nobody knows which of the two.
    pub(super) fn run(
        &mut self,
        connection: &mut Connection,
        records: &[Record],
        before: Shape,
        aloud: bool,
    ) -> RedisResult<Outcome> {
        if self.is_silent && !aloud {
            return self.silent.run(&mut self.packer, connection, records, before);
        }
        if self.silent.settle(connection)? {
            return Ok(Outcome::NotRun);
        }
        self.packer.begin(connection, &self.first, records)?;
        self.packer.end(connection, &self.last)?;
        finish(connection, records.len() + usize::from(self.trims))
    }

    /// Writes once more what the stream's last id is, which changes nothing: whatever is in the
    /// server's file before that is on its disk when this is.
    pub(super) fn touch(
        &mut self,
        connection: &mut Connection,
        last: EntryId,
    ) -> RedisResult<Outcome> {
        if self.silent.settle(connection)? {
            return Ok(Outcome::NotRun);
        }
        let mut packed = Vec::new();
        command(&mut packed, &["MULTI"]);
        command(&mut packed, &["XSETID", &self.stream, &last.to_string()]);
        command(&mut packed, &["EXEC"]);
        look(&mut packed, &self.stream);
        connection.send_packed_command(&packed)?;
        finish(connection, 1)
    }

    /// Has the server watch the stream, and looks at it.
    pub(super) fn watch(&mut self, connection: &mut Connection) -> RedisResult<Shape> {
        self.silent.settle(connection)?;
        let mut packed = Vec::new();
        look(&mut packed, &self.stream);
        connection.send_packed_command(&packed)?;
        looked(connection)
    }
}

/// Reads the answers to `MULTI`, so many commands, `EXEC`, and the look at the stream behind it.
fn finish(connection: &mut Connection, commands: usize) -> RedisResult<Outcome> {
    let mut refused = answer(connection).err();
    for _ in 0..commands {
        // A connection that breaks has no code to its error; a refusal has.
        match answer(connection) {
            Err(error) if error.code().is_none() => return Err(error),
            Err(error) => refused = refused.or(Some(error)),
            Ok(_) => {}
        }
    }
    let ran = match answer(connection) {
        Err(error) if error.code().is_none() => return Err(error),
        ran => ran,
    };
    let shape = looked(connection)?;
    Ok(match ran {
        Err(error) => Outcome::Refused(refused.unwrap_or(error)),
        Ok(Value::Array(results)) => match results.into_iter().find_map(refusal) {
            Some(error) => Outcome::Torn(error),
            None => Outcome::Stored(shape),
        },
        Ok(_) => Outcome::NotRun,
    })
}

fn refusal(value: Value) -> Option<RedisError> {
    match value {
        Value::ServerError(error) => Some(error.into()),
        _ => None,
    }
}
