//! Runs a change in a transaction of its own, and repeats it after a write conflict.

use std::time::Duration;

use async_trait::async_trait;

use crate::storage::{StorageError, Store, Transaction};

/// Maximum number of times that a change is tried before its caller is told of the write conflict.
const MAX_TRIES: u32 = 8;
/// Longest pause before a change is tried again, in milliseconds. The pause is random, so that two processes do not
/// conflict again and again.
const MAX_PAUSE_MS: u64 = 20;

/// The end of a change that was not refused.
pub(super) enum TransactionEnd<T> {
    /// The writes are made durable.
    Commit(T),
    /// Nothing has to be written.
    Rollback(T),
}

/// An error of a change.
pub(super) trait ChangeError: From<StorageError> {
    /// Returns the error of the database, if it was the database that failed.
    fn storage(&self) -> Option<&StorageError>;
}

impl ChangeError for StorageError {
    fn storage(&self) -> Option<&StorageError> {
        Some(self)
    }
}

/// A change. It reads everything that it depends on, so it can be repeated.
#[async_trait]
pub(super) trait TransactionWork: Sync {
    /// The result for the caller.
    type Done: Send;
    /// The reason for which the change is not made.
    type Error: ChangeError + Send;

    /// Makes the change within a transaction.
    async fn make(&self, transaction: &Transaction) -> Result<TransactionEnd<Self::Done>, Self::Error>;
}

/// Makes a change in a transaction, and repeats all of it after a write conflict (a deadlock, or a row that was
/// inserted meanwhile).
pub(super) async fn in_transaction<C: TransactionWork>(store: &Store, change: &C) -> Result<C::Done, C::Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        // The future is boxed because it is large, and would make the caller's future as large.
        let error = match Box::pin(attempt(store, change)).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match error.storage() {
            Some(StorageError::Conflict(_)) if tries < MAX_TRIES => {
                tracing::debug!(tries, "write conflict: trying the change again");
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..=MAX_PAUSE_MS))).await;
            }
            failed => {
                if let Some(failed) = failed {
                    store.note_failure(failed);
                }
                return Err(error);
            }
        }
    }
}

async fn attempt<C: TransactionWork>(store: &Store, change: &C) -> Result<C::Done, C::Error> {
    let transaction = store.begin().await?;
    match change.make(&transaction).await {
        Ok(TransactionEnd::Commit(done)) => {
            transaction.commit().await?;
            store.note_write();
            Ok(done)
        }
        Ok(TransactionEnd::Rollback(done)) => {
            transaction.rollback().await?;
            Ok(done)
        }
        Err(error) => {
            // The connection stays usable; if the rollback fails, the connection is closed.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}
