//! The refresh of what is kept in memory of callers.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::app::App;

/// Interval at which remembered data is compared with the database: twice within the second for which it is used.
const REFRESH_EVERY: Duration = Duration::from_millis(400);
/// Keeps what is in memory true to the database and to trusted issuers, of which neither waits for the other.
pub(super) async fn run(app: App) {
    tokio::join!(keep_to_database(&app), app.credentials().keep_issuers_fresh(REFRESH_EVERY));
}

/// Compares remembered data with the database. Errors are logged at debug level, as health reports a database that does
/// not answer.
async fn keep_to_database(app: &App) {
    let mut every = tokio::time::interval(REFRESH_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Err(error) = app.refresh().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "memory could not be compared with the database");
        }
    }
}
