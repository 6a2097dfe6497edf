//! The refresh of what is kept in memory of callers.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::app::App;

/// How often what is kept in memory is compared with the database: twice within the time for which it is used.
const REFRESH_EVERY: Duration = Duration::from_millis(400);
/// Keeps what is in memory true to the database and to trusted issuers, of which neither waits for the other.
pub(super) async fn run(app: App) {
    tokio::join!(keep_to_database(&app), app.credentials().keep_issuers_fresh(REFRESH_EVERY));
}

/// That it cannot is told by health.
async fn keep_to_database(app: &App) {
    let mut every = tokio::time::interval(REFRESH_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Err(error) = app.refresh().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "nothing could be compared with the database");
        }
    }
}
