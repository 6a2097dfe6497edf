//! What a writer learns of the database, and tells of its work.

use super::reachability::Reachability;
use crate::telemetry::metrics::WriterMetrics;

/// The state of the database, and the metrics of one writer.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Tells whether the database answers.
    pub reachability: Reachability,
    /// Metrics of the writer.
    pub metrics: WriterMetrics,
}
