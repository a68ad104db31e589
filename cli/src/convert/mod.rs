//! Between the JSON forms of events: ours, plain CloudEvents, batches, and four other buses' shapes.
//!
//! `convert` is built of these. All forms meet in the [`Envelope`](envelope::Envelope), which is
//! a CloudEvent; the payload passes through as the bytes it came in.
#![forbid(unsafe_code)]

mod decoder;
mod encoder;
mod envelope;
mod form;
mod losses;
mod members;
mod remainder;
mod shape;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::Encoder;
pub(crate) use envelope::Envelope;
pub(crate) use form::{From, To};
pub(crate) use losses::Losses;
