//! The level of the log lines, which signals change while the service runs.

use std::time::Duration;

use tokio::signal::unix::Signal;

use crate::telemetry::LogLevel;

/// Time for which a signal raises the level.
pub(super) const RAISED_FOR: Duration = Duration::from_mins(10);

/// Signals that change the level.
#[derive(Debug)]
pub struct LevelSignals {
    /// Raises the level to debug for ten minutes.
    pub raise: Signal,
    /// Resets the level.
    pub reset: Signal,
}

/// Runs until it is dropped. A raised level is reset after the time `raised_for`.
pub(super) async fn run(level: LogLevel, mut signals: LevelSignals, raised_for: Duration) {
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
                () = tokio::time::sleep(raised_for) => break,
            }
        }
        level.reset();
        tracing::info!("the log level is as configured again");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::signal::unix::{SignalKind, signal};
    use tracing::level_filters::LevelFilter;

    use super::*;

    /// Longest time until a signal arrives on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    async fn becomes(level: &LogLevel, expected: LevelFilter) {
        let so = async {
            while level.present() != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, so).await.unwrap_or_else(|_| panic!("the level does not become {expected}"));
    }

    #[tokio::test]
    async fn a_raised_level_is_reset_after_its_time() {
        let signals = LevelSignals {
            raise: signal(SignalKind::user_defined1()).unwrap(),
            reset: signal(SignalKind::user_defined2()).unwrap(),
        };
        let (level, _layer) = LogLevel::of_no_log(LevelFilter::INFO);
        let running = tokio::spawn(run(level.clone(), signals, Duration::from_secs(1)));
        kill_process(getpid(), Signal::USR1).unwrap();
        becomes(&level, LevelFilter::DEBUG).await;
        becomes(&level, LevelFilter::INFO).await;
        running.abort();
        assert_eq!(RAISED_FOR, Duration::from_mins(10));
    }
}
