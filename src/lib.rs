//! cart-promotions: grants cart promotions in bulk, over gRPC and JSON.
//!
//! Each module is a room; `docs/architecture.md` says what each does, and follows a request through them.

pub mod access;
pub mod app;
pub mod background;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demo;
pub mod earning;
pub mod edge;
pub mod encoding;
mod files;
mod http_client;
pub mod object;
pub mod printable;
pub mod proto;
pub mod server;
pub mod storage;
pub mod telemetry;
pub mod transport;
pub mod wire;
pub mod writer;

#[cfg(test)]
#[path = "../tests/support/mutate.rs"]
mod mutate;
