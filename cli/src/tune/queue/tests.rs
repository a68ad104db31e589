//! The queue against a simulation of discrete events, and against a formula.
#![forbid(unsafe_code)]

use std::ops::ControlFlow;

use fastrand::Rng;
use proptest::prelude::*;

use super::simulation::Simulation;
use super::{Fate, Losing, Queue};
use crate::tune::goal::Goal;
use crate::tune::search::Search;
use crate::tune::service::Times;

/// All fates, sorted: lost ones and delays.
fn played(queue: &Queue<'_>, size: usize) -> (usize, Vec<u64>) {
    let mut fates = Vec::new();
    let ended = queue.play(size, |fate| {
        fates.push(fate);
        ControlFlow::Continue(())
    });
    assert!(ended.is_continue());
    split(&fates)
}

fn simulated(queue: &Queue<'_>, size: usize) -> (usize, Vec<u64>) {
    let times: Vec<u64> = (0..queue.arrivals.len()).map(|at| queue.times.of(at)).collect();
    let (losing, wake_up) = (queue.losing, queue.wake_up);
    let simulation = Simulation { size, batch: queue.batch(size), losing, wake_up };
    split(&simulation.run(queue.arrivals, &times))
}

fn split(fates: &[Fate]) -> (usize, Vec<u64>) {
    let delay = |fate: &Fate| match fate {
        Fate::Handled { delay } => Some(*delay),
        Fate::Lost => None,
    };
    let mut delays: Vec<u64> = fates.iter().filter_map(delay).collect();
    delays.sort_unstable();
    (fates.len() - delays.len(), delays)
}

/// Arrivals with bursts at one instant, and service times of which many are alike or nothing.
fn record() -> impl Strategy<Value = (Vec<u64>, Times)> {
    let gap = prop_oneof![3 => Just(0_u64), 3 => 1..10_u64, 1 => 1..200_u64];
    let time = prop_oneof![1 => Just(0_u64), 4 => 1..12_u64, 1 => 1..150_u64];
    (prop::collection::vec((gap, time), 1..400), any::<Option<u8>>()).prop_map(
        |(messages, constant)| {
            let mut now = 0;
            let arrivals = messages.iter().map(|(gap, _)| {
                now += gap;
                now
            });
            let arrivals = arrivals.collect();
            let times = match constant {
                Some(time) => Times::Constant(u64::from(time) / 8),
                None => Times::Each(messages.iter().map(|(_, time)| *time).collect()),
            };
            (arrivals, times)
        },
    )
}

fn losing() -> impl Strategy<Value = Losing> {
    prop_oneof![Just(Losing::DropOldest), Just(Losing::DropNewest)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_delay_and_every_loss_is_that_of_a_simulation_of_discrete_events(
        (arrivals, times) in record(),
        losing in losing(),
        size in prop_oneof![1..8_usize, 1..80_usize],
        batch in prop::option::of(1..20_usize),
        wake_up in prop_oneof![Just(0_u64), 1..30_u64],
    ) {
        let queue = Queue { arrivals: &arrivals, times: &times, losing, batch, wake_up };
        prop_assert_eq!(played(&queue, size), simulated(&queue, size));
    }

}

proptest! {
    // Each case plays some hundred sizes through.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_advice_is_the_smallest_size_of_all_that_a_simulation_lets_pass(
        (arrivals, times) in record(),
        losing in losing(),
        batch in prop::option::of(1..20_usize),
        loss in prop_oneof![Just("loss=0"), Just("loss=1%"), Just("loss=20%"), Just("loss=1")],
        delay in prop_oneof![Just("max=1h"), Just("p90=40ns"), Just("p50=5ns"), Just("max=9ns")],
    ) {
        let queue = Queue { arrivals: &arrivals, times: &times, losing, batch, wake_up: 3 };
        let goals: Vec<Goal> = [loss, delay].map(|text| text.parse().unwrap()).to_vec();
        let passes = |&size: &usize| {
            let (lost, delays) = simulated(&queue, size);
            goals.iter().all(|goal| {
                let late = |&&delay: &&u64| goal.is_missed_by(Fate::Handled { delay });
                (lost + delays.iter().filter(late).count()) as u64 <= goal.allowed(arrivals.len())
            })
        };
        // A mailbox with room for everything, in the largest batches, is the last that differs.
        let expected = (1..=arrivals.len().max(256)).find(passes);
        let found = Search::new(queue, &goals).smallest(|_| ());
        prop_assert!(queue.saturation() <= arrivals.len().max(256));
        if expected.is_none_or(|size| size <= 256) {
            prop_assert_eq!(found, expected);
        }
        // Above 256 a boundary is found.
        prop_assert!(found.is_none_or(|size| passes(&size) && (size == 1 || !passes(&(size - 1)))));
    }
}

#[test]
fn above_256_a_size_is_found_that_passes_where_one_less_does_not() {
    // A burst of 3,000, and half a second later one of 1,700 that comes slowly enough for some.
    let slow = (0..1700).map(|at| 500_000_000 + at * 2_000);
    let arrivals: Vec<u64> = std::iter::repeat_n(0, 3000).chain(slow).collect();
    let times = Times::Constant(10_000);
    for losing in [Losing::DropOldest, Losing::DropNewest] {
        for (goal, near) in [("loss=0", 3000), ("loss=1%", 2953), ("p60=15ms", 1250)] {
            let queue =
                Queue { arrivals: &arrivals, times: &times, losing, batch: None, wake_up: 0 };
            let goals = [goal.parse().unwrap()];
            let search = Search::new(queue, &goals);
            let found = search.smallest(|_| ()).unwrap();
            assert!(found.abs_diff(near) <= near / 4, "{goal}: {found}");
            assert!(search.point(found).meets && !search.point(found - 1).meets, "{goal}: {found}");
        }
        let queue = Queue { arrivals: &arrivals, times: &times, losing, batch: None, wake_up: 0 };
        let goals = ["max=1ms".parse().unwrap()];
        assert_eq!(Search::new(queue, &goals).smallest(|_| ()), None);
    }
}

/// Poisson arrivals, exponential service times, a mean of a millisecond.
fn memoryless(load: f64, seed: u64) -> (Vec<u64>, Times) {
    let mut rng = Rng::with_seed(seed);
    let mut exponential = |mean: f64| -(1.0 - rng.f64()).ln() * mean;
    let mut now = 0.0;
    let mut arrivals = Vec::new();
    let mut times = Vec::new();
    for _ in 0..400_000 {
        now += exponential(1e6 / load);
        arrivals.push(now as u64);
        times.push(exponential(1e6) as u64);
    }
    (arrivals, Times::Each(times))
}

#[test]
fn memoryless_traffic_loses_and_waits_as_the_formula_of_its_queue_says() {
    for (load, seed) in [(0.5, 1), (0.8, 2), (1.0, 3), (1.3, 4)] {
        let (arrivals, times) = memoryless(load, seed);
        for size in [1, 2, 5, 12] {
            let (losing, batch) = (Losing::DropNewest, Some(1));
            let queue = Queue { arrivals: &arrivals, times: &times, losing, batch, wake_up: 0 };
            // In the system are those that wait and one that is handled. The chance of each
            // number of them falls (or rises) by the load from one to the next.
            let room = size + 1;
            let weight = |n: usize| f64::powi(load, n as i32);
            let all: f64 = (0..=room).map(weight).sum();
            let loss = weight(room) / all;
            // By Little's law, from the mean number that wait.
            let waiting: f64 = (2..=room).map(|n| (n - 1) as f64 * weight(n) / all).sum();
            let delay = waiting / (load * (1.0 - loss)) * 1e6;

            let (lost, delays) = played(&queue, size);
            let found = lost as f64 / arrivals.len() as f64;
            assert!((found - loss).abs() < 0.003 + 0.02 * loss, "{load}, {size}: {found}, {loss}");
            let found = delays.iter().sum::<u64>() as f64 / delays.len() as f64;
            assert!((found / delay - 1.0).abs() < 0.03, "{load}, {size}: {found}, {delay}");
        }
    }
}

#[test]
fn drop_oldest_loses_a_sixteenth_at_once_and_keeps_the_newest() {
    let (arrivals, times) = ([[0; 40].as_slice(), &[500; 25]].concat(), Times::Constant(1000));
    let (losing, batch) = (Losing::DropOldest, Some(1));
    let queue = Queue { arrivals: &arrivals, times: &times, losing, batch, wake_up: 0 };
    // 40 come at once and 8 are too many, 2 of which give way each time; one is taken out, 31 are
    // left, and of 25 more all but the first find it full or make it so.
    let (lost, delays) = played(&queue, 32);
    assert_eq!((lost, delays.len()), (8 + 24, 33));
    assert_eq!(delays[1], 1000, "the oldest that is left came with the first burst");
}

#[test]
fn a_size_above_saturation_is_like_it() {
    let (arrivals, times) = memoryless(0.9, 9);
    for batch in [None, Some(1), Some(300)] {
        let losing = Losing::DropNewest;
        let queue = Queue { arrivals: &arrivals, times: &times, losing, batch, wake_up: 0 };
        let top = queue.saturation();
        let (lost, delays) = played(&queue, top);
        assert_eq!(lost, 0);
        assert_eq!((lost, delays), played(&queue, top * 3 + 1));
    }
}
