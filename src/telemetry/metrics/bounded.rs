//! A family of histograms with a limited number of label sets.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt};
use parking_lot::RwLock;
use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry};

use super::registration::{MetricsError, registered};

/// Value of every label of the histogram that stands for all label sets beyond the limit.
const OTHER: &str = "_OTHER";

/// Histograms by label set. Sets beyond the limit share one histogram.
#[derive(Debug)]
pub(super) struct BoundedHistograms<K> {
    family: HistogramVec,
    known: RwLock<HashMap<K, Histogram>>,
    max: usize,
    labels: usize,
}

impl<K: Eq + Hash> BoundedHistograms<K> {
    /// Returns an empty family of at most `max` histograms, and the one for all others.
    pub fn new(registry: &Registry, options: HistogramOpts, labels: &[&str], max: usize) -> Result<Self, MetricsError> {
        let family = registered(registry, HistogramVec::new(options, labels)?)?;
        Ok(Self { family, known: RwLock::new(HashMap::new()), max, labels: labels.len() })
    }

    /// Adds a value, in seconds, to the histogram of `key`. `labels` returns the values of the labels.
    pub fn observe<const N: usize>(&self, key: K, labels: impl FnOnce(&K) -> [String; N], seconds: f64) {
        if let Some(histogram) = self.known.read().get(&key) {
            histogram.observe(seconds);
            return;
        }
        let mut known = self.known.write();
        let histogram = if known.len() < self.max {
            let values = labels(&key);
            self.family.with_label_values(&values)
        } else {
            return self.family.with_label_values(&vec![OTHER; self.labels]).observe(seconds);
        };
        known.entry(key).or_insert(histogram).observe(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::core::Collector;

    #[test]
    fn label_sets_beyond_the_limit_share_one_histogram() {
        let options = HistogramOpts::new("durations", "Durations.");
        let histograms = BoundedHistograms::<u32>::new(&Registry::new(), options, &["of"], 2).unwrap();
        for key in [1, 2, 3, 4, 1] {
            histograms.observe(key, |key| [key.to_string()], 0.1);
        }
        let family = histograms.family.collect();
        let mut counts: Vec<_> = family[0]
            .get_metric()
            .iter()
            .map(|metric| (metric.get_label()[0].value().to_owned(), metric.get_histogram().get_sample_count()))
            .collect();
        counts.sort();
        assert_eq!(counts, [("1".to_owned(), 2), ("2".to_owned(), 1), (OTHER.to_owned(), 2)]);
    }
}
