//! The names of the forms on the command line.
#![forbid(unsafe_code)]

use clap::ValueEnum;

use super::shape::Shape;

/// What the input is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// Told apart object by object
    Auto,
    /// A journal's lines; a wrong checksum refuses a line
    Ringpost,
    /// CloudEvents JSON
    Cloudevents,
    /// CloudEvents in arrays
    Batch,
    /// `category`, `name`, `data`, `timestamp`
    Victor,
    /// `id`, `type`, `timestamp`, `source`, `project_path`, `payload`
    Vidurai,
    /// `type`, `payload`, `source`, `trace_id`, `timestamp`
    Contextforge,
    /// `event_id`, `type`, `topic`, `payload`, `timestamp`, `source`, `correlation_id`, `metadata`
    Dataknobs,
}

impl From {
    /// The shape of another bus that was asked for.
    pub(super) fn shape(self) -> Option<Shape> {
        match self {
            Self::Auto | Self::Ringpost | Self::Cloudevents | Self::Batch => None,
            Self::Victor => Some(Shape::Victor),
            Self::Vidurai => Some(Shape::Vidurai),
            Self::Contextforge => Some(Shape::ContextForge),
            Self::Dataknobs => Some(Shape::DataKnobs),
        }
    }
}

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// A journal's lines, with sequence and checksum
    Ringpost,
    /// CloudEvents JSON, one event a line
    Cloudevents,
    /// CloudEvents in one array
    Batch,
    /// `category`, `name`, `data`, `timestamp`
    Victor,
    /// `id`, `type`, `timestamp`, `source`, `project_path`, `payload`
    Vidurai,
    /// `type`, `payload`, `source`, `trace_id`, `timestamp`
    Contextforge,
    /// `event_id`, `type`, `topic`, `payload`, `timestamp`, `source`, `correlation_id`, `metadata`
    Dataknobs,
}

impl To {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ringpost => "ringpost",
            Self::Cloudevents => "cloudevents",
            Self::Batch => "batch",
            Self::Victor => Shape::Victor.name(),
            Self::Vidurai => Shape::Vidurai.name(),
            Self::Contextforge => Shape::ContextForge.name(),
            Self::Dataknobs => Shape::DataKnobs.name(),
        }
    }
}
