//! The listener: accepts connections, with or without TLS, and limits the resources that they hold.
//!
//! `server` starts it with the endpoints. A request passes, in this order: `accept` (number of connections), `tls`,
//! `stream` (observes the bytes of a connection), hyper (HTTP/1.1 and HTTP/2), `calls` (number of calls, and their
//! ends), `unread` (the unread part of a request). A head that hyper refuses is answered by way of `malformed` instead.
//! `registry`, the connection registry, ends overdue connections. This module knows nothing of the services that are
//! called.

mod accept;
mod activity;
mod calls;
mod crowd;
mod descriptors;
mod frames;
mod malformed;
mod registry;
mod stream;
mod tls;
mod unread;
mod windows;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;

pub use accept::{EdgeSettings, Stop, serve};
pub use descriptors::raise_limit;
pub use malformed::MalformedHead;
pub use registry::{ConnectionCounts, Registry};
pub use tls::{Certificates, TlsError, TlsFiles};

/// Answers whatever a peer sends.
pub type Handler = Arc<dyn Fn(Received) -> Pin<Box<dyn Future<Output = Answered> + Send>> + Send + Sync>;

/// The part of a connection that is answered.
#[derive(Debug)]
pub enum Received {
    /// A request.
    Request(Request),
    /// A head of HTTP/1.1 that is no request.
    Malformed(MalformedHead),
}

/// The response to a request.
#[derive(Debug)]
pub struct Answered {
    /// The response, whose body is handed on as the peer takes it.
    pub response: Response,
    /// True if the request had valid credentials: its connection counts as that of an API client from then on.
    pub is_authenticated: bool,
}

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct EdgeLimits {
    /// Open connections.
    pub max_connections: usize,
    /// Running calls of one HTTP/2 connection.
    pub max_streams: u32,
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
