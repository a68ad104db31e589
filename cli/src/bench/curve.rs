//! What measurements came to, as they are printed: one by one, and side by side.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Measured;
use super::sweep::Setting;
use crate::console::{grouped, per_second};
use crate::latency::Quantiles;
use crate::plot::{Line, Panel, Plot, Scale, Unit};

/// One measurement.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Summary {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    pub(crate) events_per_s: f64,
    pub(crate) deliveries_per_s: f64,
    pub(crate) publish_ns: Option<Quantiles>,
    pub(crate) latency_ns: Option<Quantiles>,
}

impl Summary {
    pub(crate) fn of(measured: &Measured) -> Self {
        Self {
            published: measured.published,
            delivered: measured.delivered,
            dropped: measured.dropped,
            events_per_s: per_second(measured.published, measured.elapsed),
            deliveries_per_s: per_second(measured.delivered, measured.elapsed),
            publish_ns: measured.publish.quantiles(1.0),
            latency_ns: measured.latency.quantiles(1.0),
        }
    }

    /// The part of what subscribers were to get that they did not; none if they were to get
    /// nothing.
    fn loss(&self) -> Option<f64> {
        let matched = self.delivered + self.dropped;
        (matched > 0).then(|| self.dropped as f64 / matched as f64)
    }
}

/// A measurement with the value that made it differ from the others.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) value: usize,
    pub(crate) summary: Summary,
}

impl Point {
    /// A line of the table.
    pub(crate) fn row(&self) -> String {
        let Summary { events_per_s, deliveries_per_s, latency_ns, .. } = &self.summary;
        let (p50, p99) = match latency_ns {
            Some(Quantiles { p50, p99, .. }) => (grouped(*p50 as u64), grouped(*p99 as u64)),
            None => ("-".into(), "-".into()),
        };
        let loss = match self.summary.loss() {
            Some(loss) => format!("{:.4} %", loss * 100.0),
            None => "-".into(),
        };
        format!(
            "{:>13} {:>14} {:>14} {p50:>13} {p99:>13} {:>13} {loss:>10}\n",
            grouped(self.value as u64),
            grouped(*events_per_s as u64),
            grouped(*deliveries_per_s as u64),
            grouped(self.summary.dropped),
        )
    }
}

/// Measurements of one setting's values.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) setting: Setting,
    pub(crate) points: Vec<Point>,
}

impl Curve {
    /// The head of the table.
    pub(crate) fn head(&self) -> String {
        format!(
            "{:>13} {:>14} {:>14} {:>13} {:>13} {:>13} {:>10}\n",
            self.setting.name(),
            "published/s",
            "delivered/s",
            "p50 ns",
            "p99 ns",
            "dropped",
            "loss"
        )
    }

    /// Throughput, latency and loss over the swept value.
    pub(crate) fn plot(&self) -> Plot {
        let line = |name: &'static str, value: fn(&Summary) -> Option<f64>| {
            let point = |point: &Point| Some((point.value as f64, value(&point.summary)?));
            Line { name, points: self.points.iter().filter_map(point).collect() }
        };
        let x = match self.setting {
            Setting::Mailbox => "mailbox (messages)",
            Setting::Batch => "batch (messages)",
            Setting::Subscribers => "subscribers",
            Setting::Publishers => "publishers",
        };
        Plot {
            title: format!("Throughput, latency and loss by {}", self.setting.name()),
            x: x.into(),
            panels: vec![
                Panel {
                    y: "throughput (messages)",
                    unit: Unit::PerSecond,
                    scale: Scale::Linear,
                    lines: vec![
                        line("published", |summary| Some(summary.events_per_s)),
                        line("delivered", |summary| Some(summary.deliveries_per_s)),
                    ],
                },
                Panel {
                    y: "latency",
                    unit: Unit::Seconds,
                    scale: Scale::Log,
                    lines: vec![
                        line("p50", |summary| Some(summary.latency_ns?.p50 / 1e9)),
                        line("p99", |summary| Some(summary.latency_ns?.p99 / 1e9)),
                    ],
                },
                Panel {
                    y: "lost",
                    unit: Unit::Percent,
                    scale: Scale::Linear,
                    lines: vec![line("lost", |summary| Some(summary.loss()? * 100.0))],
                },
            ],
        }
    }
}

/// `{"sweep": [...]}`, of which each element has the swept value and what a measurement has.
impl Serialize for Curve {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Element<'a> {
            #[serde(flatten)]
            value: BTreeMap<&'static str, usize>,
            #[serde(flatten)]
            summary: &'a Summary,
        }
        let elements = self.points.iter().map(|point| Element {
            value: BTreeMap::from([(self.setting.name(), point.value)]),
            summary: &point.summary,
        });
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("sweep", &elements.collect::<Vec<_>>())?;
        map.end()
    }
}
