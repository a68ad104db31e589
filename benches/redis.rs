//! Appends to a Redis stream beside `redis-benchmark` on the same server: the same socket, values
//! of the same size, as many commands on their way at once.
//!
//! `cargo bench --features redis --bench redis [-- DEPTH...]`. Starts `redis-server` in a directory of its
//! own. Rounds alternate; what is printed is the median of both and their ratio in one run.
#![forbid(unsafe_code)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use ringpost::event::{Event, json};
use ringpost::store::redis::{RedisOptions, RedisStore, RedisUrl};
use ringpost::store::{Record, Store as _};
use ringpost::{Sequence, Shared};

/// Records a round.
const RECORDS: usize = 200_000;
const ROUNDS: usize = 7;
/// The mean of the events that issues quote.
const LINE_BYTES: usize = 420;
const DEPTHS: [usize; 3] = [64, 256, 1024];

struct Server(Child, tempfile::TempDir);

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--save", "", "--appendonly", "no"])
            .args(["--logfile", "", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server starts: is it installed?");
        let log = BufReader::new(child.stdout.take().expect("its log"));
        let mut lines = log.lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains("Ready to accept") || line.contains("ready to accept"))
        );
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, directory)
    }

    fn socket(&self) -> PathBuf {
        self.1.path().join("socket")
    }

    fn forget(&self) {
        let mut client = Command::new("redis-cli");
        client.arg("-s").arg(self.socket()).arg("FLUSHALL").stdout(Stdio::null());
        assert!(client.status().expect("redis-cli runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have died by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let named: Vec<usize> = env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let depths = if named.is_empty() { DEPTHS.to_vec() } else { named };
    let server = Server::start();
    let records = records();
    let value = value(&records[0]);
    println!("records a round: {RECORDS}; bytes a line: {}", value.len());
    println!("{:>6} {:>16} {:>14} {:>7}", "depth", "redis-benchmark", "ringpost", "ratio");
    for depth in depths {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            server.forget();
            theirs.push(benchmark(&server.socket(), depth, &value));
            server.forget();
            ours.push(append(&server.socket(), depth, &records));
        }
        let (theirs, ours) = (median(theirs), median(ours));
        println!("{depth:>6} {theirs:>14.0}/s {ours:>12.0}/s {:>6.0}%", ours / theirs * 100.0);
    }
    fs::metadata(server.socket()).expect("the server lived to the end");
}

fn records() -> Vec<Record> {
    let event = |payload: usize| {
        let event = Event::builder("sensor.reading").id("0190a0b0-0000-7000-8000-000000000000");
        let event = event.source("bench/redis").topic("sensor.temperature");
        event.raw_json(format!("\"{}\"", "x".repeat(payload))).build().expect("an event")
    };
    let empty = Record { sequence: Sequence::FIRST, event: Shared::new(event(0)) };
    let payload = LINE_BYTES - value(&empty).len();
    let event = Shared::new(event(payload));
    let record = |number| Record { sequence: Sequence::new(number), event: event.clone() };
    (1..=RECORDS as u64).map(record).collect()
}

fn value(record: &Record) -> String {
    let mut line = Vec::new();
    json::encode_record(&record.event, record.sequence, &mut line);
    line.pop();
    String::from_utf8(line).expect("JSON is text")
}

/// Commands a second of `redis-benchmark`.
fn benchmark(socket: &Path, depth: usize, value: &str) -> f64 {
    let ran = Command::new("redis-benchmark")
        .arg("-s")
        .arg(socket)
        .args(["-c", "1", "-P", &depth.to_string(), "-n", &RECORDS.to_string(), "--csv"])
        .args(["XADD", "benchmark", "*", "event", value])
        .output()
        .expect("redis-benchmark runs: is it installed?");
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    let rate = last.rsplit("\",\"").nth(6).and_then(|rate| rate.parse().ok());
    rate.unwrap_or_else(|| panic!("redis-benchmark says: {text}"))
}

/// Records a second through the store.
fn append(socket: &Path, depth: usize, records: &[Record]) -> f64 {
    let url = format!("redis+unix://{}?stream=ringpost", socket.display());
    let url = RedisUrl::parse(&url).expect("a URL");
    let mut store = RedisStore::open(url, RedisOptions::default()).expect("a stream");
    let began = Instant::now();
    for batch in records.chunks(depth) {
        store.append(batch).expect("appended");
    }
    records.len() as f64 / began.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
