//! Metrics in the text format of Prometheus.
//!
//! Names follow the semantic conventions of OpenTelemetry where those are stable. Every label value is of a closed
//! list, and the number of series is bounded, whatever callers send: there are less than 2,000.

mod bounded;
mod calls;
mod database;
mod process;
mod registration;
mod wallet;
mod writer;

use std::fmt;
use std::sync::Arc;

use prometheus::{Encoder, IntGaugeVec, Opts, Registry, TextEncoder};

pub use calls::{CallMetrics, HttpCall};
pub use database::{DatabaseMetrics, Operation, PoolState};
pub use registration::MetricsError;
pub use wallet::WalletMetrics;
pub use writer::{Conflict, WorkerState, WriterMetrics};

use registration::{registered, set_count};

/// A counter of log lines.
pub type LineCounter = prometheus::IntCounter;
/// A counter of spans.
pub type SpanCounter = prometheus::IntCounter;

/// All metrics of a service.
pub struct Metrics {
    registry: Registry,
    /// Calls of both endpoints.
    pub calls: CallMetrics,
    /// Entries, and instances that were written.
    pub wallet: WalletMetrics,
    /// The writer of earnings.
    pub earn: WriterMetrics,
    /// The writer of revocations and redemptions.
    pub change: WriterMetrics,
    /// The database.
    pub database: DatabaseMetrics,
    connections: IntGaugeVec,
    /// Spans that were dropped.
    pub spans_dropped: SpanCounter,
    /// Log lines that were dropped.
    pub log_lines_dropped: LineCounter,
    process: process::ProcessMetrics,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// The identity of a build.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// Version of the program.
    pub version: &'static str,
    /// Commit that it was built from.
    pub commit: &'static str,
}

impl Metrics {
    /// Returns the metrics of a service that has done nothing yet.
    ///
    /// # Errors
    /// Returns an error when two metrics have one name.
    pub fn new(build: Build) -> Result<Arc<Self>, MetricsError> {
        let registry = Registry::new();
        let info = Opts::new("cart_promotions_build_info", "Version and commit of the running program, as labels.");
        let info = registered(&registry, IntGaugeVec::new(info, &["version", "commit"])?)?;
        info.with_label_values(&[build.version, build.commit]).set(1);
        let connections = Opts::new("cart_promotions_connections", "Open connections of callers.");
        let dropped = Opts::new("cart_promotions_log_lines_dropped_total", "Log lines that were dropped.");
        let spans = Opts::new("cart_promotions_trace_spans_dropped_total", "Spans of traces that were dropped.");
        let [earn, change] = writer::both(&registry)?;
        let metrics = Self {
            calls: CallMetrics::new(&registry)?,
            wallet: WalletMetrics::new(&registry)?,
            earn,
            change,
            database: DatabaseMetrics::new(&registry)?,
            connections: registered(&registry, IntGaugeVec::new(connections, &["state"])?)?,
            spans_dropped: registered(&registry, SpanCounter::with_opts(spans)?)?,
            log_lines_dropped: registered(&registry, LineCounter::with_opts(dropped)?)?,
            process: process::ProcessMetrics::new(&registry)?,
            registry,
        };
        Ok(Arc::new(metrics))
    }

    /// Sets the number of connections of callers.
    pub fn set_connections(&self, idle: usize, active: usize) {
        for (state, count) in [("idle", idle), ("active", active)] {
            set_count(&self.connections.with_label_values(&[state]), count);
        }
    }

    /// Returns the content type and the text of a scrape.
    ///
    /// # Errors
    /// Returns an error when a metric cannot be written.
    pub fn scrape(&self) -> Result<(&'static str, Vec<u8>), MetricsError> {
        self.process.read();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok((prometheus::TEXT_FORMAT, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_service_has_few_families_with_a_help_and_a_type_each() {
        let metrics = Metrics::new(Build { version: "1", commit: "2" }).unwrap();
        metrics.log_lines_dropped.inc();
        let (_, text) = metrics.scrape().unwrap();
        let text = String::from_utf8(text).unwrap();
        let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(families, text.lines().filter(|line| line.starts_with("# HELP")).count());
        assert!((10..=40).contains(&families), "{text}");
        assert!(text.contains("cart_promotions_log_lines_dropped_total 1\n"), "{text}");
        assert!(text.contains("cart_promotions_build_info{commit=\"2\",version=\"1\"} 1\n"), "{text}");
    }
}
