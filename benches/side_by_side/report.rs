//! Writes the table: to the terminal, and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use crate::measure::{Run, Side, median};

/// The target of a ratio.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

/// A row of the table.
#[derive(Debug)]
pub struct ReportRow {
    pub name: &'static str,
    pub what: &'static str,
    pub wanted: Wanted,
    /// The unit of the ratio if the row has a figure instead.
    unit: &'static str,
    /// The ratio of each round.
    ratios: Vec<f64>,
    sides: Vec<Side>,
    /// A further remark.
    note: String,
}

/// A measured figure: its values, and their unit.
#[derive(Debug)]
pub struct Figure {
    pub value: Vec<f64>,
    pub unit: &'static str,
}

impl ReportRow {
    /// Returns a row with the first side divided by the second, round by round.
    pub fn ratio(name: &'static str, what: &'static str, wanted: Wanted, sides: [Side; 2]) -> Self {
        let rounds = sides[0].runs.iter().zip(&sides[1].runs);
        let ratios = rounds.map(|(one, other)| one.value / other.value).collect();
        Self { name, what, wanted, unit: "", ratios, sides: sides.into(), note: String::new() }
    }

    /// Returns a row with a single figure.
    pub fn figure(name: &'static str, what: &'static str, wanted: Wanted, figure: Figure) -> Self {
        let Figure { value, unit } = figure;
        Self { name, what, wanted, unit, ratios: value, sides: Vec::new(), note: String::new() }
    }

    /// Adds a note to the measured values.
    pub fn with_note(self, note: String) -> Self {
        Self { note, ..self }
    }

    fn median(&self) -> f64 {
        median(self.ratios.clone())
    }

    fn holds(&self) -> bool {
        match self.wanted {
            Wanted::AtLeast(least) => self.median() >= least,
            Wanted::AtMost(most) => self.median() <= most,
        }
    }

    fn measured(&self) -> String {
        let side = |side: &Side| format!("{} {} {}", side.label, figure(side.value()), side.unit);
        let note = Some(self.note.clone()).filter(|note| !note.is_empty());
        self.sides.iter().map(side).chain(note).collect::<Vec<_>>().join("; ")
    }

    fn print(&self) {
        let lowest = self.ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = self.ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let wanted = match self.wanted {
            Wanted::AtLeast(least) => format!("≥ {least}"),
            Wanted::AtMost(most) => format!("≤ {most}"),
        };
        let ratio = format!("{} {}", figure(self.median()), self.unit);
        let range = format!("{}..{}", figure(lowest), figure(highest));
        let holds = if self.holds() { "yes" } else { "NO" };
        let (name, what, measured, ratio) = (self.name, self.what, self.measured(), ratio.trim_end());
        println!("| {name} | {what} | {measured} | {ratio} | {range} | {wanted} | {holds} |");
    }

    fn print_spent(&self) {
        for side in &self.sides {
            let of_runs = |part: fn(&Run) -> f64| side.runs.iter().map(part).sum::<f64>();
            let (seconds, units) = (of_runs(|run| run.seconds), of_runs(|run| run.units));
            let parties =
                [of_runs(|run| run.spent.callers), of_runs(|run| run.spent.server), of_runs(|run| run.spent.postgres)];
            let cells: Vec<_> =
                parties.iter().map(|spent| format!("{spent:.1} s, {:.1} µs", spent * 1e6 / units)).collect();
            println!(
                "| {} | {} | {seconds:.1} s | {} {} | {} |",
                self.name,
                side.label,
                figure(units),
                side.per,
                cells.join(" | ")
            );
        }
    }

    fn json(&self) -> Value {
        let run = |run: &Run| {
            json!({
                "value": run.value, "units": run.units, "seconds": run.seconds,
                "processorSeconds": {
                    "callers": run.spent.callers, "server": run.spent.server, "postgres": run.spent.postgres
                }
            })
        };
        let side = |side: &Side| {
            let runs: Vec<_> = side.runs.iter().map(run).collect();
            json!({"label": side.label, "unit": side.unit, "per": side.per, "median": side.value(), "runs": runs})
        };
        let (wanted, bound) = match self.wanted {
            Wanted::AtLeast(least) => ("atLeast", least),
            Wanted::AtMost(most) => ("atMost", most),
        };
        json!({
            "name": self.name, "what": self.what, "unit": self.unit, "note": self.note, "median": self.median(), "rounds": self.ratios,
            "wanted": {wanted: bound}, "holds": self.holds(), "sides": self.sides.iter().map(side).collect::<Vec<_>>()
        })
    }
}

/// Formats a value with its significant digits.
fn figure(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

pub fn print(rows: &[ReportRow]) {
    println!("| row | what | measured | ratio | lowest..highest | wanted | holds |");
    println!("|---|---|---|---|---|---|---|");
    rows.iter().for_each(ReportRow::print);
    println!("\nProcessor time of all rounds, and per unit of work:\n");
    println!("| row | side | took | did | callers | server | PostgreSQL |");
    println!("|---|---|---|---|---|---|---|");
    rows.iter().for_each(ReportRow::print_spent);
}

pub fn write_json(file: &Path, rows: &[ReportRow]) {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).unwrap();
    }
    let rows: Vec<_> = rows.iter().map(ReportRow::json).collect();
    std::fs::write(file, serde_json::to_vec_pretty(&rows).unwrap()).unwrap();
    println!("\nAlso in {}", file.display());
}
