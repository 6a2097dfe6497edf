//! The service as its callers meet it: a real server on a port of its own, through both doors.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod command_line;
mod concurrency;
mod documented;
mod errors;
mod health;
mod import;
mod process;
mod support;
