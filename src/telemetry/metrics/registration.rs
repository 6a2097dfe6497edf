//! The registration of metrics, the form of a duration, and the error of both.

use prometheus::core::Collector;
use prometheus::{HistogramOpts, IntGauge, Registry};

/// Error of a metric that cannot be made.
pub type MetricsError = prometheus::Error;

/// Sets a gauge to a number of things.
pub(super) fn set_count(gauge: &IntGauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// Registers a metric.
pub(super) fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, MetricsError> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Returns the options of a histogram of durations.
pub(super) fn durations(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(buckets.to_vec())
}
