//! Curves over one logarithmic axis, as an SVG file: `bench --sweep` and `tune` draw here.
#![forbid(unsafe_code)]

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::console::grouped;

/// Panels one below the other, with one horizontal axis for all.
#[derive(Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    /// What the horizontal axis shows, with its unit.
    pub(crate) x: String,
    pub(crate) panels: Vec<Panel>,
}

/// Some curves with one vertical axis.
#[derive(Debug)]
pub(crate) struct Panel {
    /// What the vertical axis shows.
    pub(crate) y: &'static str,
    pub(crate) unit: Unit,
    pub(crate) scale: Scale,
    pub(crate) lines: Vec<Line>,
}

/// What the numbers on an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Messages,
    PerSecond,
    Percent,
    Seconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0.
    Linear,
    /// Values that are 0 are left out.
    Log,
}

/// One curve.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: u32 = 900;
const HEIGHT: u32 = 300;
const TITLE: u32 = 44;
const COLOURS: [RGBColor; 3] =
    [RGBColor(0x1f, 0x5f, 0xa8), RGBColor(0xc2, 0x4f, 0x1d), RGBColor(0x2e, 0x7d, 0x4f)];

impl Plot {
    /// Writes the file.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let svg = self.svg()?;
        fs::write(file, svg).with_context(|| {
            format!("cannot write the plot to {}; name a file that can be made", file.display())
        })
    }

    fn svg(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        let height = TITLE + HEIGHT * self.panels.len() as u32;
        {
            let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            root.fill(&WHITE).map_err(failed)?;
            let area = root.titled(&self.title, ("sans-serif", 20)).map_err(failed)?;
            let areas = area.split_evenly((self.panels.len().max(1), 1));
            let x = self.x_range();
            for (panel, area) in self.panels.iter().zip(&areas) {
                let y = panel.y_range();
                match panel.scale {
                    Scale::Linear => self.draw(panel, area, x.clone(), y)?,
                    Scale::Log => self.draw(panel, area, x.clone(), y.log_scale())?,
                }
            }
            root.present().map_err(failed)?;
        }
        Ok(svg)
    }

    fn x_range(&self) -> Range<f64> {
        let all = self.panels.iter().flat_map(|panel| &panel.lines);
        extent(all.flat_map(|line| &line.points).map(|(x, _)| *x))
    }

    fn draw<Y>(
        &self,
        panel: &Panel,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        x: Range<f64>,
        y: Y,
    ) -> anyhow::Result<()>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(x.log_scale().base(2.0), y)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(panel.y)
            .x_label_formatter(&|x| Unit::Messages.label(*x))
            .y_label_formatter(&|y| panel.unit.label(*y))
            .x_labels(12)
            .y_labels(6)
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .draw()
            .map_err(failed)?;
        for (line, colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
            let shown = |(_, y): &&(f64, f64)| panel.scale == Scale::Linear || *y > 0.0;
            let points: Vec<(f64, f64)> = line.points.iter().filter(shown).copied().collect();
            let dots = points.iter().map(|at| Circle::new(*at, 3, colour.filled()));
            chart.draw_series(dots).map_err(failed)?;
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))
                .map_err(failed)?
                .label(line.name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        if panel.lines.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.3))
                .label_font(("sans-serif", 13))
                .draw()
                .map_err(failed)?;
        }
        Ok(())
    }
}

impl Panel {
    fn y_range(&self) -> Range<f64> {
        let all = self.lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
        // Above the curves is the place of their names.
        let headroom = if self.lines.len() > 1 { 0.3 } else { 0.05 };
        match self.scale {
            Scale::Linear => {
                let top = all.fold(0.0, f64::max);
                0.0..if top > 0.0 { top * (1.0 + headroom) } else { 1.0 }
            }
            Scale::Log => {
                let Range { start, end } = extent(all.filter(|y| *y > 0.0));
                start / 1.3..end * 1.3 * (end / start).powf(headroom)
            }
        }
    }
}

/// From the least to the greatest, wide enough to be drawn.
fn extent(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) = values
        .fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    match least <= most {
        true if least < most => least..most,
        true => least / 2.0..most * 2.0,
        false => 1.0..10.0,
    }
}

impl Unit {
    /// A number in few characters: 1,024, 2.5M/s, 0.05 %, 40 us.
    fn label(self, value: f64) -> String {
        let rates = [(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")];
        let seconds = [(1.0, " s"), (1e-3, " ms"), (1e-6, " us"), (1e-9, " ns")];
        let units = match self {
            Self::Messages => return grouped(value.round() as u64),
            Self::Percent => return format!("{} %", trimmed(value)),
            Self::PerSecond => rates,
            Self::Seconds => seconds,
        };
        // A little below, so that 999.9999 is a thousand.
        match units.iter().find(|(unit, _)| value >= unit * 0.999_95) {
            Some((unit, name)) => format!("{}{name}", trimmed(value / unit)),
            None => trimmed(value),
        }
    }
}

/// At most three decimals, and none that say nothing.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw the plot: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_axes_are_short_and_say_their_unit() {
        assert_eq!(
            [1.0, 1024.0, 65536.0].map(|x| Unit::Messages.label(x)),
            ["1", "1,024", "65,536"]
        );
        assert_eq!(
            [0.0, 999.9999, 2.5e6].map(|y| Unit::PerSecond.label(y)),
            ["0", "1k/s", "2.5M/s"]
        );
        assert_eq!([0.05, 100.0].map(|y| Unit::Percent.label(y)), ["0.05 %", "100 %"]);
        assert_eq!([4e-8, 0.05, 1.5].map(|y| Unit::Seconds.label(y)), ["40 ns", "50 ms", "1.5 s"]);
    }

    #[test]
    fn curves_of_nothing_of_one_point_and_of_zeros_can_be_drawn() {
        for points in [vec![], vec![(64.0, 3.0)], vec![(64.0, 0.0), (128.0, 0.0)]] {
            for scale in [Scale::Linear, Scale::Log] {
                let line = Line { name: "p50", points: points.clone() };
                let panel = Panel { y: "delay", unit: Unit::Seconds, scale, lines: vec![line] };
                let plot = Plot { title: "t".into(), x: "x".into(), panels: vec![panel] };
                let svg = plot.svg().unwrap();
                assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }
}
