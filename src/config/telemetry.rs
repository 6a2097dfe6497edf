//! Options of `serve` for its log of calls and its metrics.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::every_command::MAX_TIMEOUT_MS;
use super::listen::ListenAddress;
use crate::transport::LoggedCalls;

/// Options for the log of calls and for metrics.
#[derive(Debug, Clone, Args)]
pub struct TelemetryOptions {
    /// The calls that get a log line. A slow call gets one in any case.
    #[arg(long, env = "CART_PROMOTIONS_LOG_REQUESTS", value_name = "CALLS", default_value = "all")]
    log_requests: LogRequests,
    /// Time from which a call is slow, in milliseconds. The log line of a slow call is a warning.
    #[arg(long, env = "CART_PROMOTIONS_SLOW_REQUEST_MS", value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    slow_request_ms: u64,
    /// Address and port of a listener for `/metrics`, `/healthz` and `/readyz` over plain HTTP without credentials. Off
    /// by default; for a network that only operators reach.
    #[arg(long, env = "CART_PROMOTIONS_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<ListenAddress>,
}

/// The calls that get a log line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogRequests {
    /// All calls, except those of probes.
    All,
    /// Calls that were refused or failed.
    Failed,
    /// Slow calls.
    Slow,
}

impl TelemetryOptions {
    /// Returns the calls that get a log line.
    pub fn logged_calls(&self) -> LoggedCalls {
        match self.log_requests {
            LogRequests::All => LoggedCalls::All,
            LogRequests::Failed => LoggedCalls::Failed,
            LogRequests::Slow => LoggedCalls::Slow,
        }
    }

    /// Returns the time from which a call is slow.
    pub fn slow(&self) -> Duration {
        Duration::from_millis(self.slow_request_ms)
    }
}
