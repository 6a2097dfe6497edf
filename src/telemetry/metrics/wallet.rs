//! Metrics of what is written to wallets, counted once it is durable.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::registration::{MetricsError, registered};

/// Counts what batches wrote.
#[derive(Debug, Clone)]
pub struct WalletMetrics {
    entries: IntCounterVec,
    granted: IntCounter,
    replayed: IntCounter,
    grants: IntCounter,
    revocations: IntCounter,
    redemptions: IntCounter,
}

impl WalletMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counter = |name: &str, help: &str| {
            let name = format!("cart_promotions_{name}_total");
            registered(registry, IntCounter::with_opts(Opts::new(name, help))?)
        };
        let entries = Opts::new("cart_promotions_entries_total", "Entries of requests to earn, by outcome.");
        let entries = registered(registry, IntCounterVec::new(entries, &["outcome"])?)?;
        Ok(Self {
            granted: entries.with_label_values(&["granted"]),
            replayed: entries.with_label_values(&["replayed"]),
            entries,
            grants: counter("grants", "Instances that were granted.")?,
            revocations: counter("revocations", "Earned promotions that were revoked.")?,
            redemptions: counter("redemptions", "Earned promotions that were redeemed.")?,
        })
    }

    /// Counts entries whose instances were all granted, at least one of them now.
    pub fn granted(&self, entries: u64) {
        self.granted.inc_by(entries);
    }

    /// Counts entries whose instances were all granted before.
    pub fn replayed(&self, entries: u64) {
        self.replayed.inc_by(entries);
    }

    /// Counts an entry that failed, wholly or partly, with this error number.
    pub fn failed(&self, code: i32) {
        self.entries.with_label_values(&[&code.to_string()]).inc();
    }

    /// Counts instances that were granted.
    pub fn grants(&self, instances: u64) {
        self.grants.inc_by(instances);
    }

    /// Counts earned promotions that were revoked.
    pub fn revocations(&self, instances: u64) {
        self.revocations.inc_by(instances);
    }

    /// Counts earned promotions that were redeemed.
    pub fn redemptions(&self, instances: u64) {
        self.redemptions.inc_by(instances);
    }
}
