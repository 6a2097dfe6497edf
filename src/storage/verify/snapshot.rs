//! The snapshot that all checks read.

use sea_orm::{AccessMode, DatabaseTransaction, DbBackend, IsolationLevel, TransactionOptions, TransactionTrait};

use crate::storage::dialect::Dialect;
use crate::storage::{StorageError, Store};

/// Snapshot of the database at one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub(in crate::storage) transaction: DatabaseTransaction,
    pub(super) dialect: &'static dyn Dialect,
}

impl Store {
    /// Takes a snapshot of the database.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn snapshot(&self) -> Result<Snapshot, StorageError> {
        let options = match self.engine.backend() {
            DbBackend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
            // Every transaction of SQLite reads one snapshot.
            _ => TransactionOptions::default(),
        };
        Ok(Snapshot { transaction: self.reads.database().begin_with_options(options).await?, dialect: self.engine })
    }
}
