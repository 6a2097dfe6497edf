//! The probe of the database, which health tells of.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::transport::{Health, Lifecycle, Phase};

/// Interval at which the database is probed.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Interval at which the database is probed while it does not answer.
const PROBE_LOST_EVERY: Duration = Duration::from_millis(100);
/// Keeps health true to whether the database answers.
pub(super) async fn run(app: App, health: Health, lifecycle: Arc<Lifecycle>) {
    loop {
        let answers = app.probe().await;
        let next = if answers.is_ok() { PROBE_EVERY } else { PROBE_LOST_EVERY };
        if lifecycle.phase() != Phase::Serving {
            return;
        }
        if health.set_ready(answers.is_ok()).await {
            match answers {
                Ok(()) => tracing::info!("the database answers and accepts writes: ready"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the database does not answer or accepts no writes: not ready");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            () = app.suspected() => {}
        }
    }
}
