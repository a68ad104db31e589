//! Broadcast channels: tokio's and async-broadcast. One publisher, receivers as tokio tasks.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::broadcast;

use crate::heat::{Heat, Load, Seen};
use crate::tick::Tick;

/// tokio's, lossless: it overwrites what a slow receiver has not read, so the publisher yields
/// while the slowest one is a whole channel behind. `room_for_all`: a channel as large as the run
/// instead, so that nobody ever waits; no use for a program that runs for long.
pub fn tokio_broadcast(runtime: &Runtime, load: &Load, room_for_all: bool) -> f64 {
    let capacity = if room_for_all { load.messages as usize } else { load.capacity };
    let (heat, finish) = Heat::new();
    let (sender, _) = broadcast::channel::<Tick>(capacity);
    for _ in 0..load.receivers {
        let mut receiver = sender.subscribe();
        let mut receipt = heat.receipt(Seen::everything(1, load.messages));
        runtime.spawn(async move {
            while let Ok(tick) = receiver.recv().await {
                receipt.see(&tick);
            }
        });
    }
    let load = *load;
    let begun = Arc::clone(&heat);
    runtime.spawn(async move {
        begun.begin();
        for number in 0..load.messages {
            send_lossless(&sender, Tick::new(number), capacity).await;
        }
    });
    finish.rate(load.messages, load.receivers)
}

/// Yields while the slowest receiver is `capacity` messages behind. Its length takes a lock, so it
/// is asked for once a message, as the publisher must know before it overwrites.
pub async fn send_lossless(sender: &broadcast::Sender<Tick>, tick: Tick, capacity: usize) {
    while sender.len() >= capacity {
        tokio::task::yield_now().await;
    }
    // An error means that nobody listens, which the receivers' sums would show.
    sender.send(tick).ok();
}

/// async-broadcast, which waits for its slowest receiver by itself.
pub fn async_broadcast(runtime: &Runtime, load: &Load) -> f64 {
    let (heat, finish) = Heat::new();
    let (sender, first) = async_broadcast::broadcast::<Tick>(load.capacity);
    for _ in 0..load.receivers {
        let mut receiver = first.clone();
        let mut receipt = heat.receipt(Seen::everything(1, load.messages));
        runtime.spawn(async move {
            // `recv` and `broadcast` box their futures; these two do not.
            while let Ok(tick) = receiver.recv_direct().await {
                receipt.see(&tick);
            }
        });
    }
    drop(first);
    let load = *load;
    let begun = Arc::clone(&heat);
    runtime.spawn(async move {
        begun.begin();
        for number in 0..load.messages {
            sender.broadcast_direct(Tick::new(number)).await.expect("the receivers stay");
        }
    });
    finish.rate(load.messages, load.receivers)
}
