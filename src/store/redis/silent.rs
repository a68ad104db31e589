//! A batch of which the server answers nothing but its end, which proves that it is stored.
//!
//! Aloud, each `XADD` is answered twice, and to write and read that is a good part of what a batch
//! costs. Silent, nothing is answered (`CLIENT REPLY OFF`) but the transaction's own end, which
//! switches the answers on again and asks for the stream's length (`XLEN`). That answer alone is the
//! proof:
//!
//! - It is a number behind one "on". Had the server not run the transaction, `WATCH` would be
//!   answered there, and that never by a number.
//! - The server ran it, so nobody has touched the stream since it was watched and looked at. From the
//!   length then to the length now, only this batch's entries were added, each at most once; so as
//!   many more as there are records are all of them.
//!
//! That a batch was not run is as sure, but not why: it is tried again aloud. Whatever else a
//! server answers is no proof of anything; the connection is given up and the stream read back.
//! Whether a server knows all this, and lets this user do it, is tried on each new connection with a
//! transaction that is forgotten and one that changes nothing.
//!
//! The look at the stream behind a batch is asked for with it, but its answer is read only when the next
//! batch is on its way, and before the server is told to run that: what it should say is known.
#![forbid(unsafe_code)]

use ::redis::{Connection, RedisError, RedisResult, Value};

use super::entry::EntryId;
use super::link::answer;
use super::pack::{Packer, command};
use super::shape::{Shape, look, looked, strange};
use super::transaction::Outcome;
use crate::store::Record;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Silent {
    first: Vec<u8>,
    last: Vec<u8>,
    /// Instead of what comes last: the server forgets what it has got of a batch.
    instead: Vec<u8>,
    trims: bool,
    /// What the look should say whose answer is still to be read.
    owed: Option<Shape>,
}

impl Silent {
    /// `trim` is the command that shortens the stream behind a batch; there may be none.
    pub(super) fn new(stream: &str, trim: &[u8]) -> Self {
        let (mut first, mut last, mut instead) = (Vec::new(), Vec::new(), Vec::new());
        command(&mut first, &["CLIENT", "REPLY", "OFF"]);
        command(&mut first, &["MULTI"]);
        command(&mut last, &["CLIENT", "REPLY", "ON"]);
        command(&mut last, &["XLEN", stream]);
        last.extend_from_slice(trim);
        command(&mut last, &["EXEC"]);
        // For one that was not run.
        command(&mut last, &["CLIENT", "REPLY", "ON"]);
        look(&mut last, stream);
        command(&mut instead, &["DISCARD"]);
        command(&mut instead, &["CLIENT", "REPLY", "ON"]);
        Self { first, last, instead, trims: !trim.is_empty(), owed: None }
    }

    /// Stores the records, all of them or none, if the stream is still what it was `before`.
    ///
    /// An error means that nobody knows which of the two. What follows on this connection comes
    /// behind [`settle`](Self::settle), or is the next batch.
    pub(super) fn run(
        &mut self,
        packer: &mut Packer,
        connection: &mut Connection,
        records: &[Record],
        before: Shape,
    ) -> RedisResult<Outcome> {
        packer.begin(connection, &self.first, records)?;
        // A refusal in the midst of a transaction: where it ends, nobody looks for.
        if self.owed.take().is_some() && !looked(connection).map_err(baffling)?.is_still(&before) {
            packer.end(connection, &self.instead)?;
            on_again(connection)?;
            return Ok(Outcome::NotRun);
        }
        packer.end(connection, &self.last)?;
        let Some(length) = length(connection)? else { return Ok(Outcome::NotRun) };
        let trimmed = if self.trims { number(connection.recv_response()?)? } else { 0 };
        on_again(connection)?;
        let last = records.last().map_or(before.last, |record| EntryId::of(record.sequence));
        let shape = Shape { last, length: length.saturating_sub(trimmed), ..before };
        self.owed = Some(shape);
        Ok(match length.checked_sub(before.length) {
            Some(added) if added == records.len() as u64 => Outcome::Stored(shape),
            _ => Outcome::Torn(strange("the server did not take all entries of a transaction")),
        })
    }

    /// Whether the server keeps silent, forgets a transaction when it is told to, and tells the end of
    /// the next one. Where it does not forget, that one is within the first, and neither is run.
    ///
    /// An error means that nobody knows what this connection would answer next.
    pub(super) fn rehearse(connection: &mut Connection, stream: &str) -> RedisResult<bool> {
        let Self { mut first, last, .. } = Self::new(stream, &[]);
        command(&mut first, &["DISCARD"]);
        command(&mut first, &["MULTI"]);
        connection.send_packed_command(&[first, last].concat())?;
        if length(connection)?.is_none() {
            return Ok(false);
        }
        on_again(connection)?;
        looked(connection).map(|_| true)
    }

    /// Whether the answer to a look is still to be read.
    pub(super) fn is_owed(&self) -> bool {
        self.owed.is_some()
    }

    /// Reads what is still to be read, whatever it says; false if that was nothing.
    pub(super) fn settle(&mut self, connection: &mut Connection) -> RedisResult<bool> {
        match self.owed.take().map(|_| looked(connection)) {
            None => Ok(false),
            Some(Err(error)) if error.code().is_none() => Err(error),
            Some(_) => Ok(true),
        }
    }

    /// The connection that it was owed on is gone.
    pub(super) fn forget(&mut self) {
        self.owed = None;
    }
}

/// Reads how long the stream was at the end of a transaction that was run, or all that there is to
/// read of one that was not.
fn length(connection: &mut Connection) -> RedisResult<Option<u64>> {
    on_again(connection)?;
    match connection.recv_response()? {
        // To `WATCH`: the "on" before it was the second one.
        Value::Okay => Shape::of(answer(connection)).map(|_| None),
        told => number(told).map(Some),
    }
}

fn number(told: Value) -> RedisResult<u64> {
    let number = match told {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    };
    number.ok_or_else(|| strange("the server does not tell how a transaction ended"))
}

/// Reads that the server answers again.
fn on_again(connection: &mut Connection) -> RedisResult<()> {
    match connection.recv_response()? {
        Value::Okay => Ok(()),
        _ => Err(strange("the server does not keep silent when it is asked to")),
    }
}

fn baffling(error: RedisError) -> RedisError {
    if error.code().is_none() { error } else { strange("the server refuses a look at the stream") }
}
