//! A trial write, made while writes fail or hang and no call shows whether they still do.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::storage::{StorageError, Store};
use crate::writer::Reachability;

/// Time that a trial may take before writes count as failing.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which each probe waits for the trial once writes fail, so that the probe continues to check whether the
/// database answers.
const TIMEOUT_WHILE_FAILING: Duration = Duration::from_millis(100);
/// Time after which a trial is abandoned and a new one begins. A commit that waits for a standby holds a database
/// session until then.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(1);

/// The trial of a probe.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// The trial under way, if there is one. When dropped, it ends.
    under_way: JoinSet<Result<(), StorageError>>,
    /// True if the last trial failed.
    pub failed: bool,
}

impl Trial {
    /// Tries to write; continues a trial that is under way.
    ///
    /// # Errors
    /// Returns the error of the write.
    pub async fn run(&mut self, store: &Store, reachability: &Reachability) -> Result<(), StorageError> {
        if self.under_way.is_empty() {
            let store = store.clone();
            self.under_way.spawn(async move {
                let written = tokio::time::timeout(GIVEN_UP_AFTER, store.try_write()).await;
                written.unwrap_or(Err(StorageError::TimedOut))
            });
        }
        let timeout = if self.failed { TIMEOUT_WHILE_FAILING } else { TIMEOUT };
        let tried = match tokio::time::timeout(timeout, self.under_way.join_next()).await {
            Ok(Some(Ok(tried))) => tried,
            Ok(Some(Err(_)) | None) | Err(_) => Err(StorageError::TimedOut),
        };
        match &tried {
            Ok(()) => reachability.wrote(),
            // A lock tells nothing about the disk, so the previous result stands.
            Err(StorageError::Busy(_)) if !self.failed => return Ok(()),
            Err(_) => {}
        }
        self.failed = tried.is_err();
        tried
    }
}
