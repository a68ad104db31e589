//! A way to the server that fails where a test wants it to, by what the client sends.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use ringpost::store::redis::RedisUrl;

use crate::redis_server::Server;

/// What happens behind the words that a test names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing goes on until [`Proxy::release`].
    Hold,
    /// They reach the server; no answer to them comes back, because the connection ends.
    Cut,
    /// The same, and who connects again is turned away until [`Proxy::admit`].
    Away,
    /// They and all that follows reach nobody, and no answer comes back. The connection stays.
    Deaf,
    /// The server gets these, which are as many bytes, instead.
    Instead(&'static [u8]),
}

#[derive(Default)]
struct Plan {
    /// Words of the client, what happens there, and whether it happens each time.
    at: Option<(&'static [u8], Fault, bool)>,
    met: u32,
    held: bool,
    /// Nobody gets through.
    away: bool,
    connections: u32,
    /// Each byte is sent by itself.
    trickles: bool,
}

#[derive(Default)]
struct Shared {
    plan: Mutex<Plan>,
    bell: Condvar,
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the [module](self). Its threads end with the process.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) fn to(server: &Server) -> Self {
        let (listener, target) = (TcpListener::bind("127.0.0.1:0").expect("a port"), server.port());
        let port = listener.local_addr().expect("its number").port();
        let shared = Arc::new(Shared::default());
        let all = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                all.plan().connections += 1;
                if all.plan().away {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let both = [&client, &server].map(|one| one.set_nodelay(true));
                assert!(both.iter().all(Result::is_ok));
                let (there, back) = (client.try_clone(), server.try_clone());
                let (there, back) = (there.expect("a handle"), back.expect("a handle"));
                let shared = all.clone();
                thread::spawn(move || forward(there, server, &shared));
                let shared = all.clone();
                thread::spawn(move || answer(back, client, &shared));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> RedisUrl {
        self.url_with("stream=s")
    }

    pub(crate) fn url_with(&self, parameters: &str) -> RedisUrl {
        let url = format!("redis://127.0.0.1:{}?{parameters}", self.port);
        RedisUrl::parse(&url).expect("a URL")
    }

    /// Behind the next time that the client sends these words, this happens.
    pub(crate) fn once(&self, words: &'static str, fault: Fault) {
        self.shared.plan().at = Some((words.as_bytes(), fault, false));
    }

    /// The same each time.
    pub(crate) fn always(&self, words: &'static str, fault: Fault) {
        self.shared.plan().at = Some((words.as_bytes(), fault, true));
    }

    /// Not any more.
    pub(crate) fn never(&self) {
        self.shared.plan().at = None;
    }

    /// Who connects gets through again.
    pub(crate) fn admit(&self) {
        self.shared.plan().away = false;
    }

    pub(crate) fn trickle(&self) {
        self.shared.plan().trickles = true;
    }

    /// How often the words were met.
    pub(crate) fn met(&self) -> u32 {
        self.shared.plan().met
    }

    /// How often somebody has connected.
    pub(crate) fn connections(&self) -> u32 {
        self.shared.plan().connections
    }

    /// Waits until the words were met and nothing goes on.
    pub(crate) fn wait_until_held(&self) {
        let held = self.shared.bell.wait_while(self.shared.plan(), |plan| !plan.held);
        drop(held.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn release(&self) {
        self.shared.plan().held = false;
        self.shared.bell.notify_all();
    }
}

fn send(to: &mut TcpStream, bytes: &[u8], shared: &Shared) -> bool {
    let step = if shared.plan().trickles { 1 } else { bytes.len().max(1) };
    bytes.chunks(step).all(|piece| to.write_all(piece).is_ok())
}

/// What the client sends, up to its end or a fault.
fn forward(mut client: TcpStream, mut server: TcpStream, shared: &Shared) {
    let (mut kept, mut piece) = (Vec::new(), [0; 16 * 1024]);
    let end = |server: &TcpStream, client: &TcpStream| {
        // They may have ended by themselves.
        let _ = (server.shutdown(Shutdown::Both), client.shutdown(Shutdown::Both));
    };
    loop {
        let at = shared.plan().at;
        let found = at.and_then(|(words, ..)| {
            kept.windows(words.len()).position(|some| some == words).map(|n| n + words.len())
        });
        if let (Some((_, fault, again)), Some(until)) = (at, found) {
            let mut plan = shared.plan();
            plan.met += 1;
            plan.at = at.filter(|_| again);
            plan.held = fault == Fault::Hold;
            plan.away |= fault == Fault::Away;
            drop(plan);
            if fault == Fault::Deaf {
                // Held open, and nobody reads on.
                return std::mem::forget((client, server));
            }
            if let (Fault::Instead(others), Some((words, ..))) = (fault, at) {
                kept.splice(until - words.len()..until, others.iter().copied());
            }
            if !send(&mut server, &kept[..until], shared)
                || matches!(fault, Fault::Cut | Fault::Away)
            {
                return end(&server, &client);
            }
            kept.drain(..until);
            shared.bell.notify_all();
            let on = shared.bell.wait_while(shared.plan(), |plan| plan.held);
            drop(on.unwrap_or_else(PoisonError::into_inner));
            continue;
        }
        // What may be the beginning of the words waits for the rest.
        let begins = |n: &usize| at.is_some_and(|(words, ..)| kept.ends_with(&words[..*n]));
        let longest = at.map_or(0, |(words, ..)| words.len() - 1);
        let free = kept.len() - (1..=longest).rev().find(begins).unwrap_or(0);
        if !send(&mut server, &kept[..free], shared) {
            return end(&server, &client);
        }
        kept.drain(..free);
        match client.read(&mut piece) {
            Ok(read @ 1..) => kept.extend_from_slice(&piece[..read]),
            _ => return end(&server, &client),
        }
    }
}

/// What the server answers.
fn answer(mut server: TcpStream, mut client: TcpStream, shared: &Shared) {
    let mut piece = [0; 16 * 1024];
    while let Ok(read @ 1..) = server.read(&mut piece) {
        if !send(&mut client, &piece[..read], shared) {
            break;
        }
    }
    // It may have ended by itself.
    let _ = client.shutdown(Shutdown::Both);
}
