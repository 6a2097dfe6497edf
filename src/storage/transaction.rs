//! Transactions that may write.
//!
//! `BEGIN`, `COMMIT` and `ROLLBACK` are plain statements here, not the driver's nested transactions. A `BEGIN` on a
//! connection that is inside a transaction is an error of the database, never a savepoint, so a commit always commits
//! the outermost transaction.

use sea_orm::{ConnectionTrait, Statement};
use tokio::sync::OwnedMutexGuard;

use super::StorageError;
use super::connection::Connection;
use super::dialect::Dialect;
use super::statement::On;

/// Transaction that may write. Dropping it rolls it back.
#[derive(Debug)]
pub struct Transaction {
    pub(super) connection: Connection,
    pub(super) dialect: &'static dyn Dialect,
    /// Permit of this process to write, on an engine with one writer.
    pub(super) write_permit: Option<OwnedMutexGuard<()>>,
}

impl Transaction {
    /// Begins a transaction on a connection.
    pub(super) async fn begin(
        connection: Connection,
        dialect: &'static dyn Dialect,
        write_permit: Option<OwnedMutexGuard<()>>,
    ) -> Result<Self, StorageError> {
        connection.execute_unprepared(dialect.begin()).await?;
        Ok(Self { connection, dialect, write_permit })
    }

    /// Takes an exclusive lock of this name until the transaction ends.
    pub(super) async fn lock(&self, name: i64) -> Result<(), StorageError> {
        if let Some(lock) = self.dialect.lock() {
            let lock = Statement::from_sql_and_values(self.dialect.backend(), lock, [name.into()]);
            self.connection.execute_raw(lock).await?;
        }
        Ok(())
    }

    /// Commits the transaction, which makes its writes durable.
    ///
    /// # Errors
    /// Returns an error when the outcome is unknown: the writes may or may not be recorded.
    pub async fn commit(self) -> Result<(), StorageError> {
        self.end("COMMIT").await.map(Connection::release)
    }

    /// Rolls the transaction back.
    ///
    /// # Errors
    /// Returns an error when the database became unreachable; it then rolls back by itself.
    pub async fn rollback(self) -> Result<(), StorageError> {
        self.end("ROLLBACK").await.map(Connection::release)
    }

    /// Ends the transaction and returns its connection. If that fails the connection is closed, as the database may
    /// have ended the transaction by itself, or may have left it open.
    pub(super) async fn end(self, sql: &str) -> Result<Connection, StorageError> {
        let Self { connection, write_permit, .. } = self;
        connection.execute_unprepared(sql).await?;
        drop(write_permit);
        Ok(connection)
    }

    /// Returns the connection with its dialect, for running statements.
    pub(super) fn on(&self) -> On<'_, Connection> {
        On { dialect: self.dialect, database: &self.connection }
    }
}
