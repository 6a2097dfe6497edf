//! The limits of connections, which the options of `serve` set.

use std::time::Duration;

/// Limits the running calls of all connections without credentials, beyond a few of each. A call takes about 10 KiB
/// until its answer is taken, also while its connection is being closed.
pub const MAX_RUNNING_OF_STRANGERS: usize = 4 * 1024;

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct EdgeLimits {
    /// Open connections.
    pub max_connections: usize,
    /// Running calls of one HTTP/2 connection.
    pub max_streams: u32,
    /// Running calls of all connections without credentials, beyond a few of each.
    pub max_running_of_strangers: usize,
    /// Headers of one call on HTTP/2, counted as HTTP/2 does: bytes. On HTTP/1.1 the request target comes on top.
    pub max_header_bytes: u32,
    /// Calls that an HTTP/2 connection may abandon before their answers, beyond those that it lets finish.
    pub max_resets: isize,
    /// Time that a connection may have no running call.
    pub idle_timeout: Duration,
    /// Age at which a connection takes no further calls, spread by a tenth either way; `None` for no limit.
    pub max_age: Option<Duration>,
    /// Time in which the headers of a call must arrive. The first one includes the TLS handshake.
    pub header_timeout: Duration,
    /// Time that a peer may read none, or next to none, of the data sent to it.
    pub write_timeout: Duration,
    /// Like `write_timeout`, once the service stops.
    pub leave_timeout: Duration,
    /// Interval at which the peer of an HTTP/2 connection is pinged.
    pub ping_interval: Duration,
}
