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
mod handler;
mod head;
mod limits;
mod malformed;
mod moment;
mod orders;
mod registry;
mod sending;
mod stream;
mod tls;
mod unread;
mod waits;
mod windows;

pub use accept::{EdgeSettings, Stop, serve};
pub use descriptors::raise_limit;
pub use handler::{Answered, Handler, MalformedHead, Received};
pub use limits::{EdgeLimits, MAX_RUNNING_OF_STRANGERS};
pub use registry::{ConnectionCounts, Registry};
pub use tls::{Certificates, TlsError, TlsFiles};
