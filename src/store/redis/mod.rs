//! Redis Streams as a store: a stream of a server, one entry a record.
//!
//! [`RedisStore`] writes a stream; [`RedisReader`] reads it, from any process and at any time. An
//! entry's id is `SEQUENCE-0` and its one field `event` holds the journal's line, so that people
//! can read a stream with `redis-cli` and every reader of lines can use it.
//!
//! # What is promised
//!
//! Batches are stored whole or not at all, in rising sequences, each record once, however often a
//! batch is handed in again: ids are made from sequences and the server refuses one that does
//! not rise. Where an answer was lost, the stream is read back before anything is sent again.
//!
//! A stream has one writer. The server watches the stream between two batches of it, so a batch
//! that would mix with somebody else's is not stored: [`StoreErrorKind::Locked`]. Who opens a
//! stream takes it over; the writer before it finds out with its next batch.
//!
//! *Written* means that the server has answered, for the batch or for each record of it: the record
//! survives the end of this process.
//! What else it survives is for the server's settings to say, which are read at each connection;
//! [`RedisStore::durable_when`] tells what they come to.
//!
//! | `appendonly`, `appendfsync` | *durable* is said | lost when the server's process is killed | lost in a power cut at the server |
//! |---|---|---|---|
//! | `yes`, `always` (and `no-appendfsync-on-rewrite no`) | when appended | nothing written | nothing written |
//! | `yes`, `everysec`, Redis 7.2 or newer | when flushed (`WAITAOF`) | nothing, or up to two seconds if its disk is slow | about a second, nothing durable |
//! | `yes`, `everysec`, older | never | the same | about a second |
//! | `yes`, `no` | never | nothing | what the system had not written back, about 30 s |
//! | `no` | never | all since its last snapshot | the same |
//! | not told (managed servers) | as its statistics show: when flushed, or never | not known | not known |
//!
//! As measured (`ci/redis.sh kill`, `power`), with events published as fast as the server takes them:
//!
//! | `appendonly`, `appendfsync` | power cut at the server | events written before | of them lost | called durable and lost |
//! |---|---|---|---|---|
//! | `yes`, `always` | 100 times | 288,357 | 0 | 0 |
//! | `yes`, `everysec` | 100 times | 295,985 | 99,008 | 0 |
//! | `no` | 100 times | 257,751 | 257,170 | none is ever called durable |
//!
//! Of 100 kills of the server's process with each of them the first lost nothing, nothing came twice, and
//! every loss was told by its range, as in the cuts. The power is cut by shutting down an ext4 of its own
//! without letting it write anything back.
//!
//! A receipt for *durable* ([`Receipts::durable`](super::Receipts::durable)) is promised where the
//! table says anything but never. Where it comes with a flush, the server is asked ten times a second.
//! What a connection left behind that broke is made durable through the next one, by a write that
//! changes nothing (`XSETID`). Where the settings change, or the user may not, the promise ends
//! with the next connection, and whoever waits is told.
//!
//! Over TLS (`rediss://`) the server's certificate has to be for the host in the URL and of an authority
//! that the system trusts, or of one in the file that `SSL_CERT_FILE` names.
//!
//! A server that comes back with less than it had acknowledged, or empty, is noticed when the
//! store connects again, and at each batch and flush: the call fails with
//! [`StoreErrorKind::Lost`] and the range of sequences, once for each range, the highest first; the call
//! after them goes on behind what is there. Nothing is sent again that was acknowledged: it is gone
//! from here too. What `maxlen` had trimmed before is not told.
//!
//! # Limits
//!
//! One server is spoken to: a cluster's redirections are an error. A stream lives in the server's
//! memory; `maxlen` bounds it, and a server that is full refuses (`Full`) until there is room.
//! The user needs `XADD`, `XRANGE`, `XREVRANGE`, `XREAD`, `XINFO`, `XTRIM`, `TYPE`, `MULTI`,
//! `EXEC`, `WATCH`; `CONFIG GET`, `INFO`, `WAITAOF` and `XSETID` only for what the table says;
//! `CLIENT REPLY`, `XLEN` and `DISCARD` only for speed: with them a batch is answered once, without
//! them each of its records. Replication is asynchronous: a failover to a replica may lose what was
//! written, and is noticed as above.
#![forbid(unsafe_code)]

mod entry;
mod failure;
mod held;
mod link;
mod options;
mod pack;
mod place;
mod promise;
mod read;
mod shape;
mod silent;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(feature = "tls")]
mod tls;
mod transaction;
mod verify;
mod write;

pub use entry::{EntryId, StreamDamage, StreamEntry};
pub use options::RedisOptions;
pub use place::{Keep, RedisUrl};
pub use promise::DurableWhen;
pub use read::{Entries, Follow, RedisReader};
pub use verify::{StreamStats, StreamVerification};
pub use write::RedisStore;

#[cfg(doc)]
use super::StoreErrorKind;
