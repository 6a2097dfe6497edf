//! The observers of a writer: the state of the database, its metrics, and its traces.

use super::reachability::Reachability;
use crate::telemetry::metrics::WriterMetrics;
use crate::telemetry::traces::Traces;

/// The state of the database, and the metrics and traces of one writer.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Tells whether the database answers.
    pub reachability: Reachability,
    /// Metrics of the writer.
    pub metrics: WriterMetrics,
    /// Traces of sampled requests.
    pub traces: Traces,
}
