//! Changes in a transaction of their own, tried again where they met another one.

use std::time::Duration;

use async_trait::async_trait;

use crate::storage::{StorageError, Store, Transaction};

/// Times that a change is tried before its caller is told that others were in the way.
const MAX_TRIES: u32 = 8;
/// Longest wait before it is tried again: random up to this, so that two processes do not meet again and again.
const MAX_PAUSE_MS: u64 = 20;

/// How a change ends that was not refused.
pub(super) enum Ended<T> {
    /// What was written is made durable.
    Commit(T),
    /// Nothing is to be written.
    Rollback(T),
}

/// An error of a change.
pub(super) trait ChangeError: From<StorageError> {
    /// Returns what the database said, if it was the database that failed.
    fn storage(&self) -> Option<&StorageError>;
}

impl ChangeError for StorageError {
    fn storage(&self) -> Option<&StorageError> {
        Some(self)
    }
}

/// A change. It reads everything that it depends on, so it may be made again.
#[async_trait]
pub(super) trait Change: Sync {
    /// What is told of it.
    type Done: Send;
    /// Why it is not made.
    type Error: ChangeError + Send;

    /// Makes the change within a transaction.
    async fn make(&self, transaction: &Transaction) -> Result<Ended<Self::Done>, Self::Error>;
}

/// Makes a change in a transaction, and all of it again when it met another transaction (a deadlock, a row that came in
/// between).
pub(super) async fn in_transaction<C: Change>(store: &Store, change: &C) -> Result<C::Done, C::Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        // On the heap: it is large, and its caller's future would be as large.
        let error = match Box::pin(attempt(store, change)).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match error.storage() {
            Some(StorageError::Conflict(_)) if tries < MAX_TRIES => {
                tracing::debug!(tries, "a change met another one: trying again");
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

async fn attempt<C: Change>(store: &Store, change: &C) -> Result<C::Done, C::Error> {
    let transaction = store.begin().await?;
    match change.make(&transaction).await {
        Ok(Ended::Commit(done)) => {
            transaction.commit().await?;
            store.note_write();
            Ok(done)
        }
        Ok(Ended::Rollback(done)) => {
            transaction.rollback().await?;
            Ok(done)
        }
        Err(error) => {
            // The connection is as good as before; where it is not, it is closed.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}
