//! Metrics of the database as the service sees it.

use std::time::Instant;

use prometheus::{Gauge, Histogram, HistogramVec, IntGauge, IntGaugeVec, Opts, Registry};
use strum::{IntoStaticStr, VariantArray};

use super::registration::{MetricsError, durations, registered, set_count};

/// Buckets of the durations of operations, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// A kind of work in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Operation {
    /// A batch of earnings.
    Earn,
    /// A batch of revocations and redemptions.
    Change,
    /// A look-up or listing of a caller.
    Read,
    /// A change of a catalog, an audience or customers.
    ChangeCatalog,
    /// A probe.
    Probe,
}

/// Metrics of the database.
#[derive(Debug)]
pub struct DatabaseMetrics {
    operations: HistogramVec,
    durations: parking_lot::RwLock<Vec<Histogram>>,
    up: IntGauge,
    catalog_age: Gauge,
    pools: IntGaugeVec,
}

/// An operation that runs.
#[derive(Debug)]
#[must_use]
pub struct Timed {
    histogram: Option<Histogram>,
    begun: Instant,
}

impl Drop for Timed {
    fn drop(&mut self) {
        if let Some(histogram) = &self.histogram {
            histogram.observe(self.begun.elapsed().as_secs_f64());
        }
    }
}

/// The number of connections of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolState {
    /// Name of the pool.
    pub name: &'static str,
    /// Connections in use.
    pub used: usize,
    /// Connections that wait for work.
    pub idle: usize,
}

impl DatabaseMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let operations =
            durations("db_client_operation_duration_seconds", "Duration of operations in the database.", &BUCKETS);
        let operations = HistogramVec::new(operations, &["db_system_name", "db_operation_name"])?;
        let up = Opts::new("cart_promotions_database_up", "1 while the database answers, else 0.");
        let age = Opts::new(
            "cart_promotions_catalog_age_seconds",
            "Time since the catalog in memory that was not read for the longest time was read. It is valid until it changes.",
        );
        let pools = Opts::new("cart_promotions_pool_connections", "Connections to the database.");
        Ok(Self {
            operations: registered(registry, operations)?,
            durations: parking_lot::RwLock::default(),
            up: registered(registry, IntGauge::with_opts(up)?)?,
            catalog_age: registered(registry, Gauge::with_opts(age)?)?,
            pools: registered(registry, IntGaugeVec::new(pools, &["pool", "state"])?)?,
        })
    }

    /// Names the system of the database, such as `postgresql`. Operations are counted from then on.
    pub fn set_system(&self, system: &'static str) {
        let histogram = |operation: &Operation| {
            let name: &str = (*operation).into();
            self.operations.with_label_values(&[system, name])
        };
        *self.durations.write() = Operation::VARIANTS.iter().map(histogram).collect();
    }

    /// Counts an operation, which begins now and ends when the timer is dropped.
    pub fn time(&self, operation: Operation) -> Timed {
        Timed { histogram: self.durations.read().get(operation as usize).cloned(), begun: Instant::now() }
    }

    /// Sets whether the database answers.
    pub fn set_up(&self, up: bool) {
        self.up.set(i64::from(up));
    }

    /// Sets the age of the catalog in memory that was not read for the longest time, in seconds.
    pub fn set_catalog_age(&self, seconds: f64) {
        self.catalog_age.set(seconds);
    }

    /// Sets the number of connections of a pool.
    pub fn set_pool(&self, pool: PoolState) {
        for (state, count) in [("used", pool.used), ("idle", pool.idle)] {
            set_count(&self.pools.with_label_values(&[pool.name, state]), count);
        }
    }
}
