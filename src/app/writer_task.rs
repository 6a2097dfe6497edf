//! The background task of the writer, which decides and saves earnings, and the changes of what was earned.

use super::bulk_earn::BatchEarner;
use super::changes::BatchChanger;
use crate::writer::Workers;

/// The writer's background task.
pub struct WriterTask {
    pub(super) earnings: Workers<BatchEarner>,
    pub(super) changes: Workers<BatchChanger>,
}

impl WriterTask {
    /// Runs until every [`super::App`] is dropped and all accepted requests are answered.
    pub async fn run(self) {
        let (earned, changed) = tokio::join!(self.earnings.run(), self.changes.run());
        let (transactions, requests) = (earned.0 + changed.0, earned.1 + changed.1);
        tracing::info!(transactions, requests, "writer stopped");
    }
}
