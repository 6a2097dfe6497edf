//! The service as its callers see it: a real server on a port of its own, over gRPC and JSON.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::type_complexity,
    reason = "tests print figures, and count little"
)]

mod access;
mod bad_input;
mod catalog;
#[path = "../support/cluster.rs"]
mod cluster;
mod command_line;
mod commands;
mod concurrency;
mod configuration;
mod credentials;
mod database;
mod database_url;
mod deploy;

mod disk_full;
mod documented;
mod edge;
mod errors;
mod exactly;
mod fair_kinds;
mod fairness;
mod files;
#[path = "../support/frame.rs"]
mod frame;
#[path = "../support/gzip.rs"]
mod gzip;
mod health;
mod history;
mod import;
mod isolation;
mod keeping;
mod limits;
mod log;
mod metrics;
mod model;
mod openapi;
mod operator;
mod plain_http;
mod process;
mod proxies;
mod races;
mod redemptions;
mod rejects;
mod repeats;
mod response_size;
mod rpcs;
mod schema;
mod secrets;
mod server_process;
mod service_manager;
mod set_back;
mod stale;
mod support;
mod support_question;
#[path = "../support/terms.rs"]
mod terms;
mod tokens;
mod traces;
mod upgrade;
mod verify;
mod wallet;
mod written;

/// The engine of the databases of these tests.
const ENGINE: database::DatabaseKind = database::DatabaseKind::Sqlite;
