//! Commands for operators, each in a few lines: open the database, read, call the use case, print.
//!
//! Called by `main`. The use cases are those that the endpoints call, and `wire` converts the messages as it does
//! there. Knows neither the database library nor HTTP or gRPC. Every command may run beside a running service.

pub mod clients;
mod customer_input;
pub mod customers;
pub mod doctor;
pub mod error;
pub mod export;
mod history;
pub mod import;
pub mod manual;
pub mod migrate;
pub mod orgs;
pub mod probe;
pub mod promotions;
mod rejects;
pub mod serve;
mod table;
pub mod verify;
pub mod wallet;

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

pub use error::CommandError;

use crate::config::Common;
use crate::server;
use crate::storage::Store;
use table::Table;

/// Maximum time for closing the database: an abandoned statement may delay it.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// Opens the database, runs `what` on it, and closes it.
async fn on_database<T>(
    common: &Common,
    what: impl AsyncFnOnce(&Store) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let store = server::open(common).await?;
    let done = what(&store).await;
    // Completed changes are committed, and the database rolls back the others.
    let _ = tokio::time::timeout(CLOSED_WITHIN, store.close()).await;
    done
}

/// Prints a text to standard output, and flushes it.
fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CommandError::Output)
}

/// Prints a message for the operator to standard error, apart from the output.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints one JSON object a line, or the table.
fn show<T: Serialize>(json: bool, objects: &[T], table: impl FnOnce() -> Table) -> Result<(), CommandError> {
    if !json {
        return print(&table().to_string());
    }
    let mut text = String::new();
    for object in objects {
        text.push_str(&serde_json::to_string(object).map_err(|error| CommandError::Output(error.into()))?);
        text.push('\n');
    }
    print(&text)
}
