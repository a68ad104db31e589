//! B3, B4: a server that is silent or away for long, while events are published as fast as it goes.
//! Two seconds each, or as `RINGPOST_SILENT` and `RINGPOST_AWAY` say: see `ci/redis.sh`.

use std::str::FromStr as _;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use ringpost::event::Event;
use ringpost::store::redis::{RedisOptions, RedisStore};
use ringpost::store::{Persistence, Trouble};
use ringpost::{Bus, PublishError, Sequence, Shared};

use crate::proxy::{Fault, Proxy};
use crate::redis_server::{Server, Sync};
use crate::support::{Told, event, options, stored, unlike};

/// What rings, batches and their answers may take more of memory than before.
const GROWTH: u64 = 64 << 20;

/// How long it lasts, and how patient the store is meanwhile: as it is by itself in a campaign.
fn length(name: &str) -> (Duration, RedisOptions) {
    match env::var(name) {
        Ok(text) => {
            let seconds = u64::from_str(&text).expect("seconds");
            (Duration::from_secs(seconds), RedisOptions::default())
        }
        Err(_) => (Duration::from_secs(2), options()),
    }
}

/// Bytes of this process that lie in memory and in no file.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("RssAnon")).expect("a line");
    let number = line.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok());
    number.map(|kib: u64| kib * 1024).expect("a number")
}

/// How often a store may have tried to connect after so long: at once, and behind each pause, which
/// is shortened by a quarter at most.
fn most_tries(time: Duration, options: &RedisOptions) -> u32 {
    let (mut tries, mut at, mut pause) = (1, Duration::ZERO, Duration::from_millis(100));
    loop {
        at += pause * 3 / 4;
        if at > time {
            return tries;
        }
        (tries, pause) = (tries + 1, (pause * 2).min(options.longest_pause));
    }
}

struct Load {
    bus: Bus<Shared<Event>>,
    persistence: Persistence,
    told: Told,
    published: u64,
    refused: u64,
}

impl Load {
    fn start(proxy: &Proxy, options: RedisOptions) -> Self {
        let told = Told::default();
        let timeout = Duration::from_millis(1);
        let bus = Bus::builder().ring(1024).recent(0).publish_timeout(timeout).build();
        let store = RedisStore::open(proxy.url(), options).expect("a stream");
        let persistence = bus.persist(store, told.options()).expect("a thread");
        let mut load = Self { bus, persistence, told, published: 0, refused: 0 };
        while load.published < 3000 {
            load.publish();
        }
        let last = Sequence::new(load.published);
        load.persistence.flush(last, Duration::from_secs(60)).expect("it works");
        load.refused = 0;
        load
    }

    fn publish(&mut self) {
        match self.bus.publish(Shared::new(event(self.published + 1))) {
            Ok(_) => self.published += 1,
            Err(PublishError::Full(_)) => self.refused += 1,
            Err(error) => panic!("{error}"),
        }
    }

    /// Publishes for so long, and until it was told and refused; how long the first trouble took.
    fn outlast(&mut self, time: Duration) -> Duration {
        let (since, before) = (Instant::now(), resident());
        let mut detected = None;
        while since.elapsed() < time || detected.is_none() || self.refused < 20 {
            self.publish();
            if detected.is_none() && self.persistence.stats().degraded.is_some() {
                detected = Some(since.elapsed());
            }
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < GROWTH, "{grown} bytes more");
        detected.expect("it was told")
    }

    /// Publishes on until the store works again.
    fn recover(&mut self) {
        let seen = self.told.count();
        thread::scope(|scope| {
            let told = self.told.clone();
            let recovered = |trouble: &Trouble| matches!(trouble, Trouble::Recovered { .. });
            let works = scope.spawn(move || told.wait_for(seen.saturating_sub(1), recovered));
            while !works.is_finished() {
                self.publish();
            }
        });
    }

    /// Each event that was taken is there once; what was refused is not.
    fn end(self, server: &Server) {
        let report = self.persistence.stop(Duration::from_secs(60));
        assert!(report.complete && report.stats.lost == 0, "{report:?}");
        assert_eq!(report.stats.watermarks.written, Some(Sequence::new(self.published)));
        assert_eq!(unlike(&stored(server), self.published), [0; 0]);
    }
}

#[test]
fn a_server_that_stands_still_costs_a_bounded_memory_and_exact_refusals() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let proxy = Proxy::to(&server);
    let (time, options) = length("RINGPOST_SILENT");
    let mut load = Load::start(&proxy, options);
    server.pause();
    let detected = load.outlast(time);
    server.resume();
    load.recover();
    eprintln!("stands still {time:?}: told after {detected:?}, {} refused", load.refused);
    load.end(&server);
}

#[test]
fn a_way_that_swallows_everything_is_given_up_and_tried_again_with_pauses() {
    let Some(server) = Server::start(Sync::Always) else { return };
    let proxy = Proxy::to(&server);
    let (time, options) = length("RINGPOST_AWAY");
    let mut load = Load::start(&proxy, options.clone());
    let before = proxy.connections();
    let since = Instant::now();
    proxy.always("\r\n", Fault::Deaf);
    let detected = load.outlast(time);
    let tries = proxy.connections() - before;
    let most = most_tries(since.elapsed(), &options);
    assert!((1..=most).contains(&tries), "{tries} tries to connect, {most} at most");
    proxy.never();
    load.recover();
    // The one that was under way, the next one, and one that looks what is stored.
    let more = proxy.connections() - before - tries;
    assert!(more <= 3, "{more} tries to connect although it was possible");
    eprintln!(
        "swallowed for {time:?}: told after {detected:?}, {tries} tries to connect, {} refused",
        load.refused
    );
    load.end(&server);
}

#[test]
fn a_server_that_is_away_is_tried_with_pauses_and_used_at_the_first_try_that_can_succeed() {
    let Some(mut server) = Server::start(Sync::Always) else { return };
    let proxy = Proxy::to(&server);
    let (time, options) = length("RINGPOST_AWAY");
    let mut load = Load::start(&proxy, options.clone());
    let before = proxy.connections();
    let since = Instant::now();
    server.kill();
    let detected = load.outlast(time);
    let tries = proxy.connections() - before;
    let most = most_tries(since.elapsed(), &options);
    assert!((1..=most).contains(&tries), "{tries} tries to connect, {most} at most");
    server.restart();
    load.recover();
    let more = proxy.connections() - before - tries;
    assert!(more <= 3, "{more} tries to connect although it was possible");
    eprintln!(
        "away for {time:?}: told after {detected:?}, {tries} tries to connect, {} refused",
        load.refused
    );
    load.end(&server);
}

#[test]
fn twenty_tries_a_minute_are_the_most_once_the_pauses_have_grown() {
    let options = RedisOptions::default();
    let minute = Duration::from_secs(60);
    let grown = 5 * minute;
    assert_eq!(most_tries(grown + minute, &options) - most_tries(grown, &options), 20);
}
