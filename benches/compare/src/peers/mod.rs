//! The systems ringpost is measured beside, each in its best lossless use.

pub mod actors;
pub mod broadcast;
pub mod disruptor;
pub mod queues;
pub mod spsc;
pub mod tasks;
pub mod thread_channels;
pub mod threads;
pub mod waiting;
