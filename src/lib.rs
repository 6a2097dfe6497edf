//! cart-promotions: grants cart promotions in bulk, over gRPC and JSON.
//!
//! A request passes through the rooms in this order: `transport` → `wire` → `app` → `earning` (pure) → `app` →
//! `storage`. `docs/architecture.md` maps them.

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
