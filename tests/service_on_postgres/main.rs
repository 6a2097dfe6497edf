//! The suite of `tests/service` on PostgreSQL, and tests that need several processes on one database.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::type_complexity,
    reason = "tests print figures, and count little"
)]

mod at_once;
#[path = "../service/bad_input.rs"]
mod bad_input;
mod bulkheads;
#[path = "../service/catalog.rs"]
mod catalog;
#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../service/commands.rs"]
mod commands;
#[path = "../service/concurrency.rs"]
mod concurrency;
#[path = "../service/credentials.rs"]
mod credentials;
#[path = "../service/database.rs"]
mod database;
#[path = "../service/database_url.rs"]
mod database_url;
#[path = "../service/documented.rs"]
mod documented;
mod durability;
#[path = "../service/errors.rs"]
mod errors;
#[path = "../service/exactly.rs"]
mod exactly;
mod failures;
#[path = "../service/fair_kinds.rs"]
mod fair_kinds;
#[path = "../service/fairness.rs"]
mod fairness;
#[path = "../service/health.rs"]
mod health;
#[path = "../service/history.rs"]
mod history;
#[path = "../service/import.rs"]
mod import;
#[path = "../service/isolation.rs"]
mod isolation;
#[path = "../service/keeping.rs"]
mod keeping;
mod least_privileges;
mod load;
mod locks;
mod meeting;
#[path = "../service/model.rs"]
mod model;
#[path = "../service/operator.rs"]
mod operator;
mod pauses;
#[path = "../service/plain_http.rs"]
mod plain_http;
mod plans;
mod proxy;
#[path = "../service/races.rs"]
mod races;
#[path = "../service/redemptions.rs"]
mod redemptions;
#[path = "../service/repeats.rs"]
mod repeats;
#[path = "../service/response_size.rs"]
mod response_size;
#[path = "../service/rpcs.rs"]
mod rpcs;
#[path = "../service/schema.rs"]
mod schema;
#[path = "../service/secrets.rs"]
mod secrets;
#[path = "../service/server_process.rs"]
mod server_process;
#[path = "../service/set_back.rs"]
mod set_back;
mod soak;
#[path = "../service/stale.rs"]
mod stale;
mod start;
mod statements;
#[path = "../service/support.rs"]
mod support;
#[path = "../support/terms.rs"]
mod terms;
#[path = "../service/tokens.rs"]
mod tokens;
#[path = "../service/upgrade.rs"]
mod upgrade;
#[path = "../service/verify.rs"]
mod verify;
#[path = "../service/wallet.rs"]
mod wallet;

/// The engine of the databases of these tests.
const ENGINE: database::DatabaseKind = database::DatabaseKind::Postgres;
