//! Metrics of the writer: its queue, its batches, its conflicts, and its workers.

use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use strum::IntoStaticStr;

use super::registration::{MetricsError, durations, registered, set_count};

/// Names of the two writers.
const WRITERS: [&str; 2] = ["earn", "change"];
/// Buckets of the rows of a batch.
const ROWS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1_000.0, 2_500.0, 10_000.0];
/// Buckets of the durations of batches and of waits, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// The reason for which a batch was not written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Conflict {
    /// Another transaction changed the facts of the decision.
    Write,
    /// The catalog changed.
    Catalog,
    /// Another transaction held a lock.
    Lock,
    /// The connection broke.
    Connection,
}

/// The state of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum WorkerState {
    /// The worker has no batch.
    Idle,
    /// The worker writes a batch.
    Writing,
    /// The worker writes a batch that waits for the lock of another transaction.
    Waiting,
}

impl WorkerState {
    const VARIANTS: [Self; 3] = [Self::Idle, Self::Writing, Self::Waiting];
}

/// Metrics of one writer.
#[derive(Debug, Clone)]
pub struct WriterMetrics {
    rows: Histogram,
    duration: Histogram,
    wait: Histogram,
    queued: IntGauge,
    conflicts: IntCounterVec,
    /// Number of workers in each state.
    workers: [IntGauge; 3],
}

/// Returns the metrics of the writer of earnings, and of that of changes.
pub(super) fn both(registry: &Registry) -> Result<[WriterMetrics; 2], MetricsError> {
    let histogram = |name, help, buckets: &[f64]| {
        registered(registry, HistogramVec::new(durations(name, help, buckets), &["writer"])?)
    };
    let rows = histogram("cart_promotions_batch_rows", "Wallet rows that a batch was to write.", &ROWS)?;
    let duration =
        histogram("cart_promotions_batch_duration_seconds", "Duration of a batch, until it is durable.", &BUCKETS)?;
    let wait = histogram("cart_promotions_queue_wait_seconds", "Wait of a request in the queue.", &BUCKETS)?;
    let queued = Opts::new("cart_promotions_queue_requests", "Requests that wait in the queue.");
    let queued = registered(registry, IntGaugeVec::new(queued, &["writer"])?)?;
    let conflicts = Opts::new("cart_promotions_conflicts_total", "Batches that were not written at once, by reason.");
    let conflicts = registered(registry, IntCounterVec::new(conflicts, &["kind"])?)?;
    let workers = Opts::new("cart_promotions_lanes", "Workers of both writers, by state.");
    let workers = registered(registry, IntGaugeVec::new(workers, &["state"])?)?;
    Ok(WRITERS.map(|writer| WriterMetrics {
        rows: rows.with_label_values(&[writer]),
        duration: duration.with_label_values(&[writer]),
        wait: wait.with_label_values(&[writer]),
        queued: queued.with_label_values(&[writer]),
        conflicts: conflicts.clone(),
        workers: WorkerState::VARIANTS.map(|state| workers.with_label_values(&[<&str>::from(state)])),
    }))
}

impl WriterMetrics {
    /// Counts a batch of so many rows, which took so many seconds.
    pub fn batch(&self, rows: usize, seconds: f64) {
        #[expect(clippy::cast_precision_loss, reason = "a batch has few rows")]
        self.rows.observe(rows as f64);
        self.duration.observe(seconds);
    }

    /// Counts a request that waited so many seconds for its batch.
    pub fn waited(&self, seconds: f64) {
        self.wait.observe(seconds);
    }

    /// Sets the number of requests in the queue.
    pub fn queued(&self, requests: usize) {
        set_count(&self.queued, requests);
    }

    /// Counts a batch that was not written at once.
    pub fn conflict(&self, conflict: Conflict) {
        let kind: &str = conflict.into();
        self.conflicts.with_label_values(&[kind]).inc();
    }

    /// Counts a new worker.
    pub fn worker(&self) {
        self.state(WorkerState::Idle).inc();
    }

    /// Counts a worker that changes its state.
    pub fn moves(&self, from: WorkerState, to: WorkerState) {
        self.state(from).dec();
        self.state(to).inc();
    }

    fn state(&self, state: WorkerState) -> &IntGauge {
        &self.workers[state as usize]
    }
}
