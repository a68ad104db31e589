//! The shapes of four other buses' events: which members they have, and what each is here.
#![forbid(unsafe_code)]

use super::members::Members;

/// How another bus writes its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Victor,
    Vidurai,
    ContextForge,
    DataKnobs,
}

impl Shape {
    pub(super) const ALL: [Self; 4] =
        [Self::Victor, Self::Vidurai, Self::ContextForge, Self::DataKnobs];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Victor => "victor",
            Self::Vidurai => "vidurai",
            Self::ContextForge => "contextforge",
            Self::DataKnobs => "dataknobs",
        }
    }

    /// Members that are attributes under another name, as (member, attribute), in the order in
    /// which they are written. Of several members for one attribute the first is written.
    pub(super) fn attributes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Victor => &[("timestamp", "time"), ("data", "data")],
            Self::Vidurai => &[
                ("id", "id"),
                ("type", "type"),
                ("timestamp", "time"),
                ("source", "source"),
                ("project_path", "projectpath"),
                ("payload", "data"),
            ],
            Self::ContextForge => &[
                ("type", "type"),
                ("source", "source"),
                ("trace_id", "traceid"),
                ("timestamp", "time"),
                ("payload", "data"),
            ],
            Self::DataKnobs => &[
                ("event_id", "id"),
                ("id", "id"),
                ("type", "type"),
                ("topic", "topic"),
                ("timestamp", "time"),
                ("source", "source"),
                ("correlation_id", "correlationid"),
                ("payload", "data"),
            ],
        }
    }

    /// Members that are put together or taken apart.
    pub(super) fn composed(self) -> &'static [&'static str] {
        match self {
            Self::Victor => &["category", "name"],
            Self::DataKnobs => &["metadata"],
            Self::Vidurai | Self::ContextForge => &[],
        }
    }

    /// Members without which an object is not taken for this shape.
    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Victor => &["category", "name"],
            Self::Vidurai => &["id", "type"],
            Self::ContextForge => &["type", "source", "payload"],
            Self::DataKnobs => &["type", "topic"],
        }
    }

    fn knows(self, member: &str) -> bool {
        self.composed().contains(&member)
            || self.attributes().iter().any(|&(name, _)| name == member)
    }

    /// The one shape that an object has, or why there is none.
    pub(super) fn of(members: &Members<'_>) -> Result<Self, String> {
        let fits = |shape: &Self| shape.required().iter().all(|&name| members.get(name).is_some());
        let fitting: Vec<Self> = Self::ALL.into_iter().filter(fits).collect();
        let knows_all = |shape: &Self| members.iter().all(|(name, _)| shape.knows(name));
        let whole: Vec<Self> = fitting.iter().copied().filter(knows_all).collect();
        match (&*whole, &*fitting) {
            (&[shape], _) | (&[], &[shape]) => Ok(shape),
            (&[], &[]) => Err("an object without specversion that has the members of no known \
                               shape (victor, vidurai, contextforge, dataknobs)"
                .into()),
            (&[], several) | (several, _) => {
                let names: Vec<_> = several.iter().map(|shape| shape.name()).collect();
                Err(format!("the shape is ambiguous: {}; --from would say", names.join(" or ")))
            }
        }
    }
}
