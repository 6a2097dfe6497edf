//! The way in: accepts connections, with TLS or without, and keeps what they can hold within limits.
//!
//! `server` starts it with the doors. From the outside in: `accept` (how many connections), `tls`,
//! `stream` (what its bytes tell of a connection), hyper (HTTP/1.1 and HTTP/2), `calls` (how many calls, and how they
//! end), `rest` (what of a request nobody read). `roster` knows every connection and ends those that are overdue. Knows
//! nothing of what is called.

mod accept;
mod activity;
mod calls;
mod descriptors;
mod frames;
mod rest;
mod roster;
mod stream;
mod tls;
mod windows;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;

pub use accept::{Stop, serve};
pub use descriptors::raise_limit;
pub use tls::{Certificates, TlsError, TlsFiles};

/// Answers one request.
pub type Handler = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Answered> + Send>> + Send + Sync>;

/// The response to a request.
#[derive(Debug)]
pub struct Answered {
    /// The response, whose body is handed on as the peer takes it.
    pub response: Response,
    /// True if the request had credentials that are right: its connection is not a stranger's from then on.
    pub is_authenticated: bool,
}

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct EdgeLimits {
    /// Connections at a time.
    pub max_connections: usize,
    /// Calls under way of one HTTP/2 connection.
    pub max_streams: u32,
    /// Bytes of the headers of one call on HTTP/2, counted as HTTP/2 does; on HTTP/1.1 the address comes on top.
    pub max_header_bytes: u32,
    /// Calls that an HTTP/2 connection may give up before they are answered, beyond those it lets finish.
    pub max_resets: isize,
    /// How long a connection may have no call under way.
    pub idle_timeout: Duration,
    /// How long the headers of a call may take to arrive, the beginning of a connection and its TLS handshake included.
    pub header_timeout: Duration,
    /// How long the peer may take nothing, or next to nothing, of what is sent to it.
    pub write_timeout: Duration,
    /// The same once the connection was told to leave.
    pub leave_timeout: Duration,
    /// How often the peer of an HTTP/2 connection is asked whether it is there.
    pub ping_interval: Duration,
}
