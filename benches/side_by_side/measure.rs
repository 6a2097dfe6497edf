//! Timed parts, and comparisons of two that alternate.

use std::time::Instant;

use crate::processes::{Spent, Watched};

/// A timed part.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The compared value: rows per second, or milliseconds.
    pub value: f64,
    /// Number of requests, transactions or rows, by which processor time is divided.
    pub units: f64,
    pub seconds: f64,
    pub spent: Spent,
}

impl Run {
    /// Times `work`, which returns the number of rows that it wrote, and the number of units.
    pub fn of_rate(watched: Watched, work: impl FnOnce() -> (f64, f64)) -> Self {
        let mut run = Self::of(watched, work);
        run.value /= run.seconds;
        run
    }

    /// Times `work`, which returns the value and the units.
    pub fn of(watched: Watched, work: impl FnOnce() -> (f64, f64)) -> Self {
        let before = watched.spent();
        let begun = Instant::now();
        let (value, units) = work();
        let seconds = begun.elapsed().as_secs_f64();
        Self { value, units, seconds, spent: watched.spent() - before }
    }
}

impl Run {
    /// Replaces the value by the processor time of a unit of work, in microseconds, of all processes together.
    pub fn as_cost(self) -> Self {
        let Spent { callers, server, postgres } = self.spent;
        Self { value: (callers + server + postgres) / self.units * 1e6, ..self }
    }
}

/// All runs of one side of a comparison.
#[derive(Debug)]
pub struct Side {
    /// A name, and the unit of the values after the figure.
    pub label: &'static str,
    pub unit: &'static str,
    /// The unit of `Run::units`.
    pub per: &'static str,
    pub runs: Vec<Run>,
}

impl Side {
    pub fn new(label: &'static str, unit: &'static str, per: &'static str) -> Self {
        Self { label, unit, per, runs: Vec::new() }
    }

    /// Returns the median of the values.
    pub fn value(&self) -> f64 {
        median(self.runs.iter().map(|run| run.value).collect())
    }
}

/// Runs both sides alternately, so that other load of the machine affects them alike.
pub fn alternate(
    rounds: usize,
    mut sides: [Side; 2],
    mut one: impl FnMut() -> Run,
    mut other: impl FnMut() -> Run,
) -> [Side; 2] {
    for _ in 0..rounds {
        sides[0].runs.push(one());
        sides[1].runs.push(other());
    }
    sides
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the count as a float: no count here comes near the limit of exact floats.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// Returns the figure as a count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small figures above zero")]
pub fn count(figure: f64) -> usize {
    figure.round() as usize
}
