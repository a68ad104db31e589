//! A stream as its server describes it, and how it is asked: watched first, so that what is told holds
//! until somebody touches the stream.
#![forbid(unsafe_code)]

use ::redis::{Connection, RedisError, RedisResult, Value};

use super::entry::EntryId;
use super::link::answer;
use super::pack::command;

const WORDS: &str = "the server describes the stream in unknown words";

/// What `XINFO STREAM` says; of a stream that is not there, the lowest of all ids and no entries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape {
    /// The first entry in it, or one that it has had and that has been trimmed since.
    pub(super) first: EntryId,
    /// The last id that the stream ever had.
    pub(super) last: EntryId,
    /// How many entries are in it.
    pub(super) length: u64,
}

impl Shape {
    /// Of an answer to `XINFO STREAM`.
    pub(super) fn of(info: RedisResult<Value>) -> RedisResult<Self> {
        let fields = match info {
            Ok(Value::Array(fields)) => fields,
            Err(error) if error.detail().is_some_and(|text| text.contains("no such key")) => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error),
            Ok(_) => return Err(strange(WORDS)),
        };
        let (mut first, mut last, mut length) = (EntryId::default(), None, None);
        for pair in fields.chunks_exact(2) {
            match pair {
                [Value::BulkString(name), Value::BulkString(id)]
                    if name == b"last-generated-id" =>
                {
                    last = EntryId::parse(id);
                }
                [Value::BulkString(name), Value::Int(number)] if name == b"length" => {
                    length = u64::try_from(*number).ok();
                }
                [Value::BulkString(name), Value::Array(entry)] if name == b"first-entry" => {
                    if let Some(Value::BulkString(id)) = entry.first() {
                        first = EntryId::parse(id).unwrap_or_default();
                    }
                }
                _ => {}
            }
        }
        let shape = last.zip(length).map(|(last, length)| Self { first, last, length });
        shape.ok_or_else(|| strange(WORDS))
    }

    /// Whether the stream is still what it was `before`, as far as can be told without asking.
    pub(super) fn is_still(&self, before: &Self) -> bool {
        (self.last, self.length) == (before.last, before.length)
    }
}

/// Has the stream watched and looked at.
pub(super) fn look(packed: &mut Vec<u8>, stream: &str) {
    command(packed, &["WATCH", stream]);
    command(packed, &["XINFO", "STREAM", stream]);
}

/// Reads the answers to [`look`], both of them whatever the first one is.
pub(super) fn looked(connection: &mut Connection) -> RedisResult<Shape> {
    let watched = match answer(connection) {
        // The connection broke: a refusal has a code.
        Err(error) if error.code().is_none() => return Err(error),
        watched => watched,
    };
    let shape = Shape::of(answer(connection))?;
    watched.map(|_| shape)
}

/// The server says something that is no answer to what it was asked: nobody knows what comes next.
pub(super) fn strange(what: &'static str) -> RedisError {
    (::redis::ErrorKind::Parse, what).into()
}
