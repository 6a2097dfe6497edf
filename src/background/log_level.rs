//! The level of the log lines, which signals change while the service runs.

use std::time::Duration;

use tokio::signal::unix::Signal;

use crate::telemetry::LogLevel;

/// Time for which a signal raises the level.
const RAISED_FOR: Duration = Duration::from_mins(10);

/// Signals that change the level.
#[derive(Debug)]
pub struct LevelSignals {
    /// Raises the level to debug for ten minutes.
    pub raise: Signal,
    /// Resets the level.
    pub reset: Signal,
}

/// Runs until it is dropped.
pub(super) async fn run(level: LogLevel, mut signals: LevelSignals) {
    loop {
        if signals.raise.recv().await.is_none() {
            return;
        }
        level.raise();
        tracing::info!("the log level is raised to debug for ten minutes");
        // Another signal to raise it begins the time anew.
        loop {
            tokio::select! {
                raised = signals.raise.recv() => if raised.is_none() { return },
                _ = signals.reset.recv() => break,
                () = tokio::time::sleep(RAISED_FOR) => break,
            }
        }
        level.reset();
        tracing::info!("the log level is as configured again");
    }
}
