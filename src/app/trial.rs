//! A trial write, where writes fail or hang and no call shows whether they still do.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::storage::{StorageError, Store};
use crate::writer::Reachability;

/// How long a trial may take before writes count as failing.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long it is waited for each time once they do, so that the probe goes on asking whether the database answers.
const TIMEOUT_WHILE_FAILING: Duration = Duration::from_millis(100);
/// How long it may take before it is begun anew. A commit that waits for a standby holds a session of the database until then.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(1);

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// The trial that is under way, if there is one. Dropped, it ends.
    under_way: JoinSet<Result<(), StorageError>>,
    /// True if the last one failed.
    pub failed: bool,
}

impl Trial {
    /// Tries to write; a trial that is under way goes on.
    ///
    /// # Errors
    /// The failure of the write.
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
            // A lock says nothing of the disk: what was known before counts.
            Err(StorageError::Busy(_)) if !self.failed => return Ok(()),
            Err(_) => {}
        }
        self.failed = tried.is_err();
        tried
    }
}
