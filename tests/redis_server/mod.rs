//! A Redis server of a test's own: on a free port, in a directory of its own, killed at the end.
//! `RINGPOST_REDIS_SERVER` names another program than `redis-server`.
#![allow(dead_code, reason = "shared; not every test needs everything")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs, thread};

use tempfile::TempDir;

/// What the server does for its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// `appendonly yes`, `appendfsync always`.
    Always,
    /// `appendonly yes`, `appendfsync everysec`.
    EverySecond,
    /// Nothing: it comes back empty.
    Nothing,
}

pub(crate) struct Server {
    child: Child,
    directory: TempDir,
    port: u16,
    sync: Sync,
    more: Vec<String>,
}

impl Server {
    /// Starts a server; none if there is no `redis-server`, which is said.
    pub(crate) fn start(sync: Sync) -> Option<Self> {
        Self::start_with(sync, &[])
    }

    /// The same with more settings.
    pub(crate) fn start_with(sync: Sync, more: &[&str]) -> Option<Self> {
        Self::start_at(TempDir::new().expect("a directory"), sync, more)
    }

    /// The same in a directory below this one.
    pub(crate) fn start_in(place: &Path, sync: Sync) -> Option<Self> {
        let directory = TempDir::new_in(place).expect("a directory");
        // That it is there is for no server to see to.
        File::open(place).and_then(|place| place.sync_all()).expect("synced");
        // What it writes anew would stay there, half done, each time that its power goes.
        Self::start_at(directory, sync, &["--auto-aof-rewrite-percentage", "0"])
    }

    fn start_at(directory: TempDir, sync: Sync, more: &[&str]) -> Option<Self> {
        let more: Vec<String> = more.iter().map(|word| (*word).to_owned()).collect();
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = free.local_addr().expect("its number").port();
            drop(free);
            match spawn(&directory, port, sync, &more) {
                Ok(Some(child)) => return Some(Self { child, directory, port, sync, more }),
                // Somebody was faster.
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let required =
                        env::var_os("RINGPOST_REQUIRE_SERVERS").is_some_and(|v| v == "1");
                    assert!(!required, "redis-server is not installed");
                    eprintln!("SKIPPED: redis-server is not installed, this test checks nothing");
                    return None;
                }
                Err(error) => panic!("cannot start redis-server: {error}"),
            }
        }
        panic!("no free port for redis-server");
    }

    /// The server's URL with these parameters.
    pub(crate) fn url(&self, parameters: &str) -> String {
        format!("redis://127.0.0.1:{}?{parameters}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its process is killed at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        let child = spawn(&self.directory, self.port, self.sync, &self.more).expect("started");
        self.child = child.expect("its port is still free");
    }

    /// Forgets what it keeps on disk; to be called while it is down.
    pub(crate) fn wipe(&self) {
        for entry in fs::read_dir(self.directory.path()).expect("its directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => fs::remove_dir_all(path).expect("removed"),
                false => fs::remove_file(path).expect("removed"),
            }
        }
    }

    /// Stops it from doing anything, its connections left open.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    /// Has it do something, and gives what it says, as it says it.
    pub(crate) fn tell(&self, words: &[&str]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        command.push_str("*1\r\n$4\r\nQUIT\r\n");
        stream.write_all(command.as_bytes()).expect("sent");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).expect("answered");
        let said = String::from_utf8_lossy(&said).into_owned();
        said.strip_suffix("+OK\r\n").expect("it ends with the answer to QUIT").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that is ready; none if its port is taken.
fn spawn(
    directory: &TempDir,
    port: u16,
    sync: Sync,
    more: &[String],
) -> std::io::Result<Option<Child>> {
    let (keeps, fsync) = match sync {
        Sync::Always => ("yes", "always"),
        Sync::EverySecond => ("yes", "everysec"),
        Sync::Nothing => ("no", "no"),
    };
    let program = env::var_os("RINGPOST_REDIS_SERVER").unwrap_or("redis-server".into());
    let mut child = Command::new(program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--logfile", ""])
        .args(["--appendonly", keeps, "--appendfsync", fsync, "--daemonize", "no", "--dir"])
        .arg(directory.path())
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut log = BufReader::new(child.stdout.take().expect("its log"));
    let mut line = String::new();
    let mut whole = String::new();
    while log.read_line(&mut line)? > 0 {
        if line.contains("Ready to accept connections") {
            // Read on: it would stop at a full pipe.
            thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Ok(Some(child));
        }
        whole.push_str(&line);
        line.clear();
    }
    child.wait()?;
    match whole.contains("Address already in use") {
        true => Ok(None),
        false => panic!("redis-server ended:\n{whole}"),
    }
}
