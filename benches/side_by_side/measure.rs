//! Timed parts, and two of them in turns.

use std::time::Instant;

use crate::processes::{Spent, Watched};

/// A timed part.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// What is compared: rows per second, or milliseconds.
    pub value: f64,
    /// Requests, transactions, or rows: what processor time is told by.
    pub units: f64,
    pub seconds: f64,
    pub spent: Spent,
}

impl Run {
    /// Times `work`, which gives how many rows it wrote, in how many units.
    pub fn of_rate(watched: Watched, work: impl FnOnce() -> (f64, f64)) -> Self {
        let mut run = Self::of(watched, work);
        run.value /= run.seconds;
        run
    }

    /// Times `work`, which gives the value and the units.
    pub fn of(watched: Watched, work: impl FnOnce() -> (f64, f64)) -> Self {
        let before = watched.spent();
        let begun = Instant::now();
        let (value, units) = work();
        let seconds = begun.elapsed().as_secs_f64();
        Self { value, units, seconds, spent: watched.spent() - before }
    }
}

impl Run {
    /// With the processor time of a unit of work for its value, in microseconds, all sides together.
    pub fn as_cost(self) -> Self {
        let Spent { callers, server, postgres } = self.spent;
        Self { value: (callers + server + postgres) / self.units * 1e6, ..self }
    }
}

/// All runs of one side of a comparison.
#[derive(Debug)]
pub struct Side {
    /// What it is, and the unit of its values after the figure.
    pub label: &'static str,
    pub unit: &'static str,
    /// What `Run::units` are.
    pub per: &'static str,
    pub runs: Vec<Run>,
}

impl Side {
    pub fn new(label: &'static str, unit: &'static str, per: &'static str) -> Self {
        Self { label, unit, per, runs: Vec::new() }
    }

    /// Median of its values.
    pub fn value(&self) -> f64 {
        median(self.runs.iter().map(|run| run.value).collect())
    }
}

/// Runs both sides in turns: what else goes on at the machine meets them alike.
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

/// As a figure: no count here comes near what a float cannot hold.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// As a count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small figures above zero")]
pub fn count(figure: f64) -> usize {
    figure.round() as usize
}
