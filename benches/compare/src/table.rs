//! Figures as text.

use crate::results::{Cell, Row};

/// A figure with three digits that count.
pub fn figure(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => "-".to_owned(),
        v if v >= 1e9 => format!("{:.2} G", value / 1e9),
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.1} k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How far the machine's cores were from each other, if that was measured.
pub fn machine(round_trip: &Row) -> String {
    let Row { median, .. } = *round_trip;
    if !median.is_finite() {
        return String::new();
    }
    let (low, high) = (round_trip.lowest(), round_trip.highest());
    format!("; a line there and back: {median:.0} ns ({low:.0} to {high:.0})")
}

/// One cell, best first, each with its ratio to the best and how far its runs went apart.
pub fn print(cell: &Cell) {
    println!("\n{}: {} ({}){}", cell.scenario, cell.case, cell.unit, machine(&cell.round_trip));
    let mut rows: Vec<_> = cell.rows.iter().collect();
    rows.sort_by(|a, b| a.median.total_cmp(&b.median));
    if !cell.lower_is_better() {
        rows.reverse();
    }
    let Some(best) = rows.first().map(|row| row.median) else { return };
    for row in rows {
        let ratio = row.median / best;
        println!(
            "  {:48} {:>10}  {:>8}   {:>9} to {}",
            row.system,
            figure(row.median),
            figure(ratio),
            figure(row.lowest()),
            figure(row.highest()),
        );
    }
}
