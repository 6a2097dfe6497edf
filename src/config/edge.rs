//! Options of the way in: connections, their limits, and TLS. Part of `serve`'s.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::MAX_TIMEOUT_MS;
use crate::edge::{EdgeLimits, TlsFiles};
use crate::transport::CallLimits;

/// Memory that bodies, or answers, may be given: from what lets one client have two of the largest, to 64 GiB.
const MEMORY_MIB: RangeInclusive<i64> = 8..=65_536;
/// Longest lifetime of a stream: a day.
const MAX_STREAM_LIFETIME_MS: u64 = 24 * 3_600_000;

/// A peer that takes nothing of its answer for this part of the time that stopping may take is not waited for.
const STALLED_OF_DRAIN: u32 = 4;

/// Options of the way in.
#[derive(Debug, Clone, Args)]
pub struct Edge {
    /// Connections at a time. When there are as many, a new one takes the place of the one that is idle the longest:
    /// of those that never made a call with credentials, else of all. When none is idle, the new one is closed.
    #[arg(long, env = "CART_PROMOTIONS_MAX_CONNECTIONS", value_name = "N", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Calls under way of one HTTP/2 connection.
    #[arg(long, env = "CART_PROMOTIONS_MAX_STREAMS", value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_streams: u32,
    /// Calls that an HTTP/2 connection may give up before they are answered, beyond as many as it lets finish. With one
    /// more it is closed.
    #[arg(long, env = "CART_PROMOTIONS_MAX_RESETS", value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    pub max_resets: i32,
    /// Bytes of the headers of one call; each counts 32 bytes beside its name and value. Over HTTP/1.1 the
    /// address, of up to 64 KiB, comes on top. Longer ones are refused with 431.
    #[arg(long, env = "CART_PROMOTIONS_MAX_HEADER_BYTES", value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1_024..=1_048_576))]
    pub max_header_bytes: u32,
    /// Memory that the bodies of all calls under way may take. A client may take as much of it as it leaves free, alone
    /// half; callers without credentials have half of it together. A call beyond that is refused with 503.
    #[arg(long, env = "CART_PROMOTIONS_MAX_BODY_MEMORY_MIB", value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(MEMORY_MIB))]
    pub max_body_memory_mib: u32,
    /// Memory that answers may take until their callers have them, shared in the same way. A client that does not take its
    /// answers is refused with 503.
    #[arg(long, env = "CART_PROMOTIONS_MAX_ANSWER_MEMORY_MIB", value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(MEMORY_MIB))]
    pub max_answer_memory_mib: u32,
    /// How long a stream may last: one that watches health, or asks about the schema. Then it ends, and its caller may open
    /// another.
    #[arg(long, env = "CART_PROMOTIONS_STREAM_LIFETIME_MS", value_name = "MS", default_value_t = 3_600_000, value_parser = clap::value_parser!(u64).range(1..=MAX_STREAM_LIFETIME_MS))]
    pub stream_lifetime_ms: u64,
    /// How long a connection may have no call under way before it is closed. Longer than what stands in front keeps its
    /// connections: it would call over one that is about to close.
    #[arg(long, env = "CART_PROMOTIONS_IDLE_TIMEOUT_MS", value_name = "MS", default_value_t = 120_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub idle_timeout_ms: u64,
    /// How long the headers of a call may take to arrive, and the beginning of a connection with its TLS handshake.
    #[arg(long, env = "CART_PROMOTIONS_HEADER_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub header_timeout_ms: u64,
    /// How long the body of a call may take to arrive. One that takes longer is refused with 408.
    #[arg(long, env = "CART_PROMOTIONS_BODY_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub body_timeout_ms: u64,
    /// How long a caller may take nothing of an answer before its connection is closed.
    #[arg(long, env = "CART_PROMOTIONS_WRITE_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub write_timeout_ms: u64,
    /// How often an HTTP/2 peer is asked whether it is there. One that does not answer within 10 s is closed.
    #[arg(long, env = "CART_PROMOTIONS_PING_INTERVAL_MS", value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub ping_interval_ms: u64,
    /// How long a call may take, from its headers to its answer. One that takes longer is answered with 504, and may
    /// have been recorded. A shorter `grpc-timeout` of the caller counts instead.
    #[arg(long, env = "CART_PROMOTIONS_CALL_TIMEOUT_MS", value_name = "MS", default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub call_timeout_ms: u64,
    /// Serve TLS 1.2 and 1.3 with this certificate, and those that lead to its authority behind it (PEM). A changed file
    /// is served to new connections within seconds.
    #[arg(long, env = "CART_PROMOTIONS_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The private key of the certificate (PEM).
    #[arg(long, env = "CART_PROMOTIONS_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Take connections only from callers with a certificate of one of these authorities (PEM). They need their
    /// credentials all the same.
    #[arg(long, env = "CART_PROMOTIONS_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_certificate")]
    pub tls_client_ca: Option<PathBuf>,
}

impl Edge {
    /// What the accept loop is told. `open_files` is how many connections the process may have, `drain_timeout` how long
    /// it may take to stop.
    pub fn limits(&self, open_files: usize, drain_timeout: Duration) -> EdgeLimits {
        let asked = self.max_connections as usize;
        if open_files < asked {
            tracing::warn!(
                max_connections = asked,
                lowered_to = open_files,
                "the process may not open as many files: raise its limit (ulimit -n), or lower --max-connections"
            );
        }
        EdgeLimits {
            max_connections: asked.min(open_files),
            max_streams: self.max_streams,
            max_header_bytes: self.max_header_bytes,
            max_resets: self.max_resets as isize,
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            write_timeout: Duration::from_millis(self.write_timeout_ms),
            leave_timeout: drain_timeout / STALLED_OF_DRAIN,
            ping_interval: Duration::from_millis(self.ping_interval_ms),
        }
    }

    /// What one call may take.
    pub fn call_limits(&self) -> CallLimits {
        CallLimits {
            timeout: Duration::from_millis(self.call_timeout_ms),
            max_header_bytes: self.max_header_bytes as usize,
        }
    }

    /// Where the certificates are; `None` without TLS.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            certificate: self.tls_certificate.clone()?,
            key: self.tls_key.clone()?,
            client_ca: self.tls_client_ca.clone(),
        })
    }
}
