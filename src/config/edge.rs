//! Options of `serve` for connections, their limits, and TLS.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::every_command::MAX_TIMEOUT_MS;
use crate::edge::{EdgeLimits, MAX_RUNNING_OF_STRANGERS, TlsFiles};

/// Accepted memory for bodies, or for answers, in MiB: at least enough for two of the largest of one client.
const MEMORY_MIB: RangeInclusive<i64> = 8..=65_536;
/// Longest lifetime of a stream, in milliseconds: one day.
const MAX_STREAM_LIFETIME_MS: u64 = 24 * 3_600_000;

/// Highest age limit of a connection, in milliseconds: one day.
const MAX_CONNECTION_AGE_MS: u64 = 24 * 3_600_000;

/// Divisor of the drain timeout: a peer that reads nothing of its answer for this part of it is not waited for.
const STALLED_OF_DRAIN: u32 = 4;

/// Options for connections, their limits, and TLS.
#[derive(Debug, Clone, Args)]
pub struct EdgeOptions {
    /// Maximum number of connections. When it is reached, a new connection replaces the one that is idle the longest:
    /// first among those that never made a call with credentials, then among all. When none is idle, the new one is
    /// closed.
    #[arg(long, env = "CART_PROMOTIONS_MAX_CONNECTIONS", value_name = "N", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Maximum number of concurrent calls of one HTTP/2 connection.
    #[arg(long, env = "CART_PROMOTIONS_MAX_STREAMS", value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_streams: u32,
    /// Maximum number of calls that an HTTP/2 connection may reset before they are answered, beyond the number that it
    /// lets finish. The next one closes it.
    #[arg(long, env = "CART_PROMOTIONS_MAX_RESETS", value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    pub max_resets: i32,
    /// Maximum size in bytes of the headers of one call; each counts 32 bytes beside its name and value. Over HTTP/1.1
    /// the address, of up to 64 KiB, is not included. Longer headers are refused with 431.
    #[arg(long, env = "CART_PROMOTIONS_MAX_HEADER_BYTES", value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1_024..=1_048_576))]
    pub max_header_bytes: u32,
    /// Memory for the bodies of all calls under way, in MiB. A client may take as much of it as is left free, alone
    /// half; callers without credentials share half of it. A call beyond that is refused as `OVERLOADED`.
    #[arg(long, env = "CART_PROMOTIONS_MAX_BODY_MEMORY_MIB", value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(MEMORY_MIB))]
    pub max_body_memory_mib: u32,
    /// Memory for answers that their callers have not read yet, in MiB, shared in the same way. A client that does not
    /// read its answers is refused as `OVERLOADED`.
    #[arg(long, env = "CART_PROMOTIONS_MAX_ANSWER_MEMORY_MIB", value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(MEMORY_MIB))]
    pub max_answer_memory_mib: u32,
    /// Maximum lifetime of a stream that watches health or queries reflection, in milliseconds. It then ends, and its
    /// caller may open another.
    #[arg(long, env = "CART_PROMOTIONS_STREAM_LIFETIME_MS", value_name = "MS", default_value_t = 3_600_000, value_parser = clap::value_parser!(u64).range(1..=MAX_STREAM_LIFETIME_MS))]
    pub stream_lifetime_ms: u64,
    /// Time without a call after which a connection is closed, in milliseconds. Must be longer than a proxy in front
    /// keeps its connections: otherwise the proxy may call over a connection that is being closed.
    #[arg(long, env = "CART_PROMOTIONS_IDLE_TIMEOUT_MS", value_name = "MS", default_value_t = 120_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub idle_timeout_ms: u64,
    /// Age at which a connection is told to send no further calls (`GOAWAY`, or `Connection: close`), in milliseconds,
    /// spread at random by 10 % either way. Calls under way finish. New servers behind a balancer of connections get
    /// their share so. 0 means no limit.
    #[arg(long, env = "CART_PROMOTIONS_MAX_CONNECTION_AGE_MS", value_name = "MS", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(..=MAX_CONNECTION_AGE_MS))]
    pub max_connection_age_ms: u64,
    /// Maximum time in which the headers of a call arrive, and in which a connection begins, TLS handshake included, in
    /// milliseconds.
    #[arg(long, env = "CART_PROMOTIONS_HEADER_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub header_timeout_ms: u64,
    /// Maximum time in which the body of a call arrives, in milliseconds. A slower call is refused as `TOO_SLOW`.
    #[arg(long, env = "CART_PROMOTIONS_BODY_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub body_timeout_ms: u64,
    /// Time for which a caller may read nothing of an answer before its connection is closed, in milliseconds.
    #[arg(long, env = "CART_PROMOTIONS_WRITE_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub write_timeout_ms: u64,
    /// Interval at which an HTTP/2 peer is pinged, in milliseconds. A peer that does not answer within 10 s is
    /// disconnected.
    #[arg(long, env = "CART_PROMOTIONS_PING_INTERVAL_MS", value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub ping_interval_ms: u64,
    /// Maximum time of a call, from its headers to its answer, in milliseconds. A call that takes longer is answered
    /// with `DEADLINE_EXCEEDED`, and may have been recorded. A shorter `grpc-timeout` of the caller takes precedence.
    #[arg(long, env = "CART_PROMOTIONS_CALL_TIMEOUT_MS", value_name = "MS", default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub call_timeout_ms: u64,
    /// Certificate for TLS 1.2 and 1.3, followed by the intermediate certificates (PEM). A changed file is used for new
    /// connections within seconds.
    #[arg(long, env = "CART_PROMOTIONS_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, env = "CART_PROMOTIONS_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Accepts connections only from callers with a certificate of one of these authorities (PEM). They must still
    /// present their credentials.
    #[arg(long, env = "CART_PROMOTIONS_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_certificate")]
    pub tls_client_ca: Option<PathBuf>,
}

impl EdgeOptions {
    /// Returns the limits of the listener. `open_files` is the number of connections that the process may open,
    /// `drain_timeout` the time that it may take to stop.
    pub fn limits(&self, open_files: usize, drain_timeout: Duration) -> EdgeLimits {
        let asked = self.max_connections as usize;
        if open_files < asked {
            tracing::warn!(
                max_connections = asked,
                lowered_to = open_files,
                "the process may open fewer files than that: raise its limit (ulimit -n) or lower --max-connections"
            );
        }
        EdgeLimits {
            max_connections: asked.min(open_files),
            max_streams: self.max_streams,
            max_running_of_strangers: MAX_RUNNING_OF_STRANGERS,
            max_header_bytes: self.max_header_bytes,
            max_resets: self.max_resets as isize,
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            max_age: (self.max_connection_age_ms > 0).then(|| Duration::from_millis(self.max_connection_age_ms)),
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            write_timeout: Duration::from_millis(self.write_timeout_ms),
            leave_timeout: drain_timeout / STALLED_OF_DRAIN,
            ping_interval: Duration::from_millis(self.ping_interval_ms),
        }
    }

    /// Returns the files of the certificates; `None` without TLS.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            certificate: self.tls_certificate.clone()?,
            key: self.tls_key.clone()?,
            client_ca: self.tls_client_ca.clone(),
        })
    }
}
