//! Metrics of the calls of both endpoints.

use prometheus::{IntCounterVec, Opts, Registry};

use super::bounded::BoundedHistograms;
use super::registration::{MetricsError, durations, registered};

/// Buckets of the durations of calls, in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Limits the label sets of each of the two histograms. A label set is 14 series.
const MAX_LABEL_SETS: usize = 55;

/// A gRPC call: its method, and the name of its status.
type RpcKey = (&'static str, &'static str);
/// A JSON call: the template of its path, its HTTP method, and its status.
type HttpKey = (&'static str, &'static str, u16);

/// Metrics of calls.
#[derive(Debug)]
pub struct CallMetrics {
    rpc: BoundedHistograms<RpcKey>,
    http: BoundedHistograms<HttpKey>,
    refused: IntCounterVec,
}

/// A call of the JSON endpoint that was answered.
#[derive(Debug, Clone, Copy)]
pub struct HttpCall {
    /// Template of the path.
    pub route: &'static str,
    /// HTTP method.
    pub verb: &'static str,
    /// Status.
    pub status: u16,
}

impl CallMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let rpc = durations("rpc_server_call_duration_seconds", "Duration of gRPC calls.", &BUCKETS);
        let http = durations("http_server_request_duration_seconds", "Duration of JSON calls.", &BUCKETS);
        let refused = Opts::new("cart_promotions_refused_total", "Calls that were refused as a whole, by reason.");
        let rpc_labels = ["rpc_method", "rpc_status_code"];
        let http_labels = ["http_route", "http_request_method", "http_response_status_code"];
        Ok(Self {
            rpc: BoundedHistograms::new(registry, rpc, &rpc_labels, MAX_LABEL_SETS)?,
            http: BoundedHistograms::new(registry, http, &http_labels, MAX_LABEL_SETS)?,
            refused: registered(registry, IntCounterVec::new(refused, &["reason"])?)?,
        })
    }

    /// Counts a gRPC call that took so many seconds.
    pub fn rpc(&self, method: &'static str, status: &'static str, seconds: f64) {
        self.rpc.observe((method, status), |(method, status)| [method, status].map(|text| (*text).to_owned()), seconds);
    }

    /// Counts a JSON call that took so many seconds.
    pub fn http(&self, call: HttpCall, seconds: f64) {
        let HttpCall { route, verb, status } = call;
        let labels = |(route, verb, status): &HttpKey| [(*route).to_owned(), (*verb).to_owned(), status.to_string()];
        self.http.observe((route, verb, status), labels, seconds);
    }

    /// Counts a call that was refused as a whole, for a reason of the table of errors.
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}
