//! The handler that the listener calls for each request, with what it takes and returns.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;

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

/// A head of HTTP/1.1 that is no request.
#[derive(Debug)]
pub struct MalformedHead {
    /// Status of the answer.
    pub status: StatusCode,
    /// The violation, as the library names it.
    pub violation: String,
    /// Address of the peer.
    pub peer: Option<IpAddr>,
}
