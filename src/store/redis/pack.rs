//! Commands as a server reads them, packed straight into one buffer.
#![forbid(unsafe_code)]

use ::redis::{Connection, RedisResult};

use super::entry::FIELD;
use crate::event::json::encode_record;
use crate::store::Record;

/// So much is packed before the first piece of a batch is sent: it wakes the server.
const FIRST_PIECE: usize = 2 * 1024;
/// How much is packed before the next one is: the server works on one while the next is packed. A
/// batch of 64 events of 420 bytes is several pieces.
const PIECE: usize = 8 * 1024;

/// Packs and sends commands, and keeps the room for the next ones.
#[derive(Debug)]
pub(super) struct Packer {
    /// What every `XADD` begins with.
    opening: Vec<u8>,
    packed: Vec<u8>,
    line: Vec<u8>,
    id: Vec<u8>,
}

impl Packer {
    /// For `XADD`s to this stream.
    pub(super) fn new(stream: &str) -> Self {
        let mut opening = b"*5\r\n".to_vec();
        bulk(&mut opening, b"XADD");
        bulk(&mut opening, stream.as_bytes());
        Self { opening, packed: Vec::new(), line: Vec::new(), id: Vec::new() }
    }

    /// Sends what comes `first` and an `XADD` a record, but for a rest that [`end`](Self::end) sends.
    pub(super) fn begin(
        &mut self,
        connection: &mut Connection,
        first: &[u8],
        records: &[Record],
    ) -> RedisResult<()> {
        self.packed.clear();
        self.packed.extend_from_slice(first);
        let mut piece = FIRST_PIECE;
        for record in records {
            self.pack(record);
            if self.packed.len() >= piece {
                connection.send_packed_command(&self.packed)?;
                self.packed.clear();
                piece = PIECE;
            }
        }
        Ok(())
    }

    /// Sends the rest and what comes `last`.
    pub(super) fn end(&mut self, connection: &mut Connection, last: &[u8]) -> RedisResult<()> {
        self.packed.extend_from_slice(last);
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
}

/// The record as a stream holds it: the journal's line without its line break.
pub(super) fn line(record: &Record, out: &mut Vec<u8>) {
    out.clear();
    encode_record(&record.event, record.sequence, out);
    out.pop();
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

/// Appends a command of these words.
pub(super) fn command(out: &mut Vec<u8>, words: &[&str]) {
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
