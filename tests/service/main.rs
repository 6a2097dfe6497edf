//! The service as its callers meet it: a real server on a port of its own, through both doors.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod catalogue;
#[path = "../support/cluster.rs"]
mod cluster;
mod command_line;
mod concurrency;
mod database;
mod documented;
mod errors;
mod fairness;
mod health;
mod import;
mod model;
mod openapi;
mod operator;
mod process;
mod races;
mod response_size;
mod rpcs;
mod server_process;
mod support;
mod verify;
mod wallet;

/// What the databases of these tests are of.
const ENGINE: database::Engine = database::Engine::Sqlite;
