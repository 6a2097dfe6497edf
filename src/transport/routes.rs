//! The routes of every service, over gRPC and over JSON. `build.rs` writes them from `proto/`, so a new method or service
//! costs no line here.
//!
//! A JSON route calls `json_endpoint::answer` with the method of the service.

use super::json_endpoint::{Binding, BodyRule, answer};

include!(concat!(env!("OUT_DIR"), "/routes.rs"));

/// A JSON route, and the method that it calls.
#[derive(Debug, Clone, Copy)]
pub struct JsonBinding {
    /// HTTP method.
    pub verb: &'static str,
    /// Template of the path.
    pub path: &'static str,
    /// Full name of the method.
    pub rpc: &'static str,
    /// True if the body of a request is read.
    pub takes_body: bool,
}
