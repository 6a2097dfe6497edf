//! What an operator does by hand, each command in a few lines: open the database, read, call the use case, print.
//!
//! Called by `main`. The use cases are those that the doors call, and messages are read and written by `wire`, as there.
//! Knows neither the database's library nor HTTP and gRPC. Each of them may run beside a running service.

pub mod clients;
pub mod customers;
pub mod error;
pub mod import;
pub mod migrate;
pub mod promotions;
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

/// How long closing the database may take: a statement that was given up may hold it up for as long as it waits itself.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// Opens the database, does `what` on it, and closes it.
async fn on_database<T>(
    common: &Common,
    what: impl AsyncFnOnce(&Store) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let store = server::open(common).await?;
    let done = what(&store).await;
    // What was done is committed, and what was not is undone by the database.
    let _ = tokio::time::timeout(CLOSED_WITHIN, store.close()).await;
    done
}

/// Prints to standard output, whole.
fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CommandError::Output)
}

/// Tells the operator what is no part of the output.
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
