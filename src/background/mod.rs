//! The loops that run beside the calls, each in a file of its own. `server` starts them here, in one place.

mod log_level;
mod memory;
mod probe;
mod refresh;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::app::App;
use crate::edge::Certificates;
use crate::telemetry::LogLevel;
use crate::transport::{Health, Lifecycle};

pub use log_level::LevelSignals;

/// The loops that run. Dropped, they end.
#[derive(Debug, Default)]
pub struct Background {
    loops: JoinSet<()>,
    /// The probe, which ends before the others.
    probe: JoinSet<()>,
}

impl Background {
    /// Serves changed certificates to new connections.
    pub fn refresh_certificates(&mut self, certificates: Certificates) {
        self.loops.spawn(certificates.keep_fresh());
    }

    /// Compares what is kept in memory with the database and with trusted issuers.
    pub fn refresh_memory(&mut self, app: App) {
        self.loops.spawn(refresh::run(app));
    }

    /// Changes the level of the log lines when a signal asks for it.
    pub fn change_log_level(&mut self, level: LogLevel, signals: LevelSignals) {
        self.loops.spawn(log_level::run(level, signals, log_level::RAISED_FOR));
    }

    /// Returns freed memory to the system.
    pub fn return_memory(&mut self) {
        self.loops.spawn(memory::run());
    }

    /// Keeps health true to whether the database answers.
    pub fn probe(&mut self, app: App, health: Health, lifecycle: Arc<Lifecycle>) {
        self.probe.spawn(probe::run(app, health, lifecycle));
    }

    /// Ends the probe. Once this returns, it changes health no more.
    pub async fn end_probe(&mut self) {
        self.probe.shutdown().await;
    }
}
