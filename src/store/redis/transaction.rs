//! A batch on its way: one transaction in one round trip, packed straight into one buffer.
//!
//! `MULTI`, an `XADD` a record, `EXEC`: the server takes all of a batch or nothing. Pipelined
//! commands alone would not do: one that is refused for want of memory, with the next one let
//! through, leaves a hole that nothing can fill, because ids only rise.
//!
//! Behind it, in the same round trip, `WATCH` and a look at the stream's last id prepare for the
//! next batch: if anybody touches the stream in between, the server does not run it.
#![forbid(unsafe_code)]

use ::redis::{Connection, RedisError, RedisResult, Value};

use super::entry::{EntryId, FIELD};
use super::link::answer;
use super::place::Keep;
use crate::event::json::encode_record;
use crate::store::Record;

/// How much is packed before it is sent: the server works on it while the rest is packed. A batch of
/// 64 events of 420 bytes is several pieces.
const CHUNK: usize = 8 * 1024;

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it is stored, and this was the stream's last id a moment later.
    Stored(EntryId),
    /// Nothing of it is: somebody had touched the stream.
    Touched,
    /// Nothing of it is: the server refuses it.
    Refused(RedisError),
    /// The server ran it and refused parts of it.
    Torn(RedisError),
}

/// Packs batches, and keeps the room for the next one.
#[derive(Debug)]
pub(super) struct Transaction {
    stream: String,
    /// What every `XADD` begins with.
    opening: Vec<u8>,
    /// What ends a batch.
    closing: Vec<u8>,
    trims: bool,
    packed: Vec<u8>,
    line: Vec<u8>,
    id: Vec<u8>,
}

impl Transaction {
    pub(super) fn new(stream: &str, keep: Option<Keep>) -> Self {
        let mut opening = b"*5\r\n".to_vec();
        bulk(&mut opening, b"XADD");
        bulk(&mut opening, stream.as_bytes());
        let mut closing = Vec::new();
        if let Some(keep) = keep {
            let count = keep.count().to_string();
            match keep {
                Keep::Last(_) => command(&mut closing, &["XTRIM", stream, "MAXLEN", &count]),
                Keep::AtLeast(_) => {
                    command(&mut closing, &["XTRIM", stream, "MAXLEN", "~", &count]);
                }
            }
        }
        command(&mut closing, &["EXEC"]);
        command(&mut closing, &["WATCH", stream]);
        command(&mut closing, &["XINFO", "STREAM", stream]);
        Self {
            stream: stream.to_owned(),
            opening,
            closing,
            trims: keep.is_some(),
            packed: Vec::new(),
            line: Vec::new(),
            id: Vec::new(),
        }
    }

    /// Stores the records, all of them or none.
    ///
    /// An error means that nobody knows which of the two.
    pub(super) fn run(
        &mut self,
        connection: &mut Connection,
        records: &[Record],
    ) -> RedisResult<Outcome> {
        self.send(connection, records)?;
        finish(connection, records.len() + usize::from(self.trims))
    }

    /// Writes once more what the stream's last id is, which changes nothing: whatever is in the
    /// server's file before that is on its disk when this is.
    pub(super) fn touch(&self, connection: &mut Connection, last: EntryId) -> RedisResult<Outcome> {
        let mut packed = Vec::new();
        command(&mut packed, &["MULTI"]);
        command(&mut packed, &["XSETID", &self.stream, &last.to_string()]);
        command(&mut packed, &["EXEC"]);
        command(&mut packed, &["WATCH", &self.stream]);
        command(&mut packed, &["XINFO", "STREAM", &self.stream]);
        connection.send_packed_command(&packed)?;
        finish(connection, 1)
    }

    fn send(&mut self, connection: &mut Connection, records: &[Record]) -> RedisResult<()> {
        self.packed.clear();
        command(&mut self.packed, &["MULTI"]);
        for record in records {
            self.pack(record);
            if self.packed.len() >= CHUNK {
                connection.send_packed_command(&self.packed)?;
                self.packed.clear();
            }
        }
        self.packed.extend_from_slice(&self.closing);
        connection.send_packed_command(&self.packed)
    }

    fn pack(&mut self, record: &Record) {
        self.id.clear();
        decimal(&mut self.id, record.sequence.get());
        self.id.extend_from_slice(b"-0");
        line(record, &mut self.line);
        self.packed.extend_from_slice(&self.opening);
        bulk(&mut self.packed, &self.id);
        bulk(&mut self.packed, FIELD.as_bytes());
        bulk(&mut self.packed, &self.line);
    }

    /// Has the server watch the stream, and looks at its last id.
    pub(super) fn watch(&self, connection: &mut Connection) -> RedisResult<EntryId> {
        let mut packed = Vec::new();
        command(&mut packed, &["WATCH", &self.stream]);
        command(&mut packed, &["XINFO", "STREAM", &self.stream]);
        connection.send_packed_command(&packed)?;
        let watched = answer(connection);
        let last = last_id(answer(connection));
        watched?;
        last
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
    answer(connection)?;
    let last = last_id(answer(connection))?;
    Ok(match ran {
        Err(error) => Outcome::Refused(refused.unwrap_or(error)),
        Ok(Value::Array(results)) => match results.into_iter().find_map(refusal) {
            Some(error) => Outcome::Torn(error),
            None => Outcome::Stored(last),
        },
        Ok(_) => Outcome::Touched,
    })
}

/// The record as a stream holds it: the journal's line without its line break.
pub(super) fn line(record: &Record, out: &mut Vec<u8>) {
    out.clear();
    encode_record(&record.event, record.sequence, out);
    out.pop();
}

fn refusal(value: Value) -> Option<RedisError> {
    match value {
        Value::ServerError(error) => Some(error.into()),
        _ => None,
    }
}

/// The last id that the stream ever had, of what `XINFO STREAM` says; the lowest of all ids if
/// there is no stream.
pub(super) fn last_id(info: RedisResult<Value>) -> RedisResult<EntryId> {
    let fields = match info {
        Ok(Value::Array(fields)) => fields,
        Err(error) if error.detail().is_some_and(|text| text.contains("no such key")) => {
            return Ok(EntryId::default());
        }
        Err(error) => return Err(error),
        Ok(_) => return Err(strange()),
    };
    let mut pairs = fields.chunks_exact(2);
    let last = pairs.find_map(|pair| match pair {
        [Value::BulkString(name), Value::BulkString(id)] if name == b"last-generated-id" => {
            EntryId::parse(id)
        }
        _ => None,
    });
    last.ok_or_else(strange)
}

fn strange() -> RedisError {
    (::redis::ErrorKind::Parse, "the server describes the stream in unknown words").into()
}

/// Appends a number, without the formatting library: each record has five.
fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}

fn command(out: &mut Vec<u8>, words: &[&str]) {
    out.push(b'*');
    decimal(out, words.len() as u64);
    out.extend_from_slice(b"\r\n");
    words.iter().for_each(|word| bulk(out, word.as_bytes()));
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'$');
    decimal(out, bytes.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_packed_as_a_server_reads_them() {
        let mut out = Vec::new();
        command(&mut out, &["XTRIM", "", "10"]);
        assert_eq!(out, b"*3\r\n$5\r\nXTRIM\r\n$0\r\n\r\n$2\r\n10\r\n");
        for number in [0, 9, 10, 907, u64::MAX] {
            out.clear();
            decimal(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), number.to_string());
        }
    }
}
