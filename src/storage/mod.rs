//! The database: entities, migrations, and the statements of each use case.
//!
//! Called by `app`. Batches in, batches out: what a batch of requests needs is read and written in a constant number of
//! statements. Knows the types of the rules, but neither proto nor HTTP and gRPC.

pub mod clients;
mod entity;
pub mod error;
pub mod import;
mod migration;
mod statement;
pub mod wallet;

use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;

pub use error::StorageError;

/// Connections kept to SQLite: one writes at a time, the others read beside it.
const MAX_CONNECTIONS: u32 = 4;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    database: DatabaseConnection,
}

impl Store {
    /// Opens the database at `url`, making the file of an SQLite database that is not there. `timeout` is how long a
    /// statement waits for a connection, and for others to finish writing.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(url: &str, timeout: Duration) -> Result<Self, StorageError> {
        let mut options = ConnectOptions::new(url);
        options.max_connections(MAX_CONNECTIONS).acquire_timeout(timeout).sqlx_logging(false).map_sqlx_sqlite_opts(
            move |options| {
                options
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    // A commit is on the disk before it is answered; anything less may lose it with the power.
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(timeout)
            },
        );
        Ok(Self { database: Database::connect(options).await? })
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// When a migration fails. Then none of them is applied.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        let transaction = self.begin().await?;
        migration::Migrator::up(&transaction.0, None).await?;
        transaction.commit().await
    }

    /// Whether the database answers, from the tables: a bare `SELECT 1` would not so much as open an SQLite file.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StorageError> {
        // One row of each table that a call needs, all in one statement.
        let sql = "SELECT (SELECT count(*) FROM (SELECT 1 FROM orgs LIMIT 1))
                        + (SELECT count(*) FROM (SELECT 1 FROM promotions LIMIT 1))
                        + (SELECT count(*) FROM (SELECT 1 FROM customers LIMIT 1))
                        + (SELECT count(*) FROM (SELECT 1 FROM audiences LIMIT 1))
                        + (SELECT count(*) FROM (SELECT 1 FROM api_clients LIMIT 1))
                        + (SELECT count(*) FROM (SELECT 1 FROM earned_promotions LIMIT 1))";
        self.database.query_one_raw(Statement::from_string(self.database.get_database_backend(), sql)).await?;
        Ok(())
    }

    /// Begins a transaction that may write. Dropped, it is rolled back.
    ///
    /// # Errors
    /// When others do not finish writing in time.
    pub async fn begin(&self) -> Result<Transaction, StorageError> {
        // A deferred one would read first and fail to write later, when another wrote in between.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        Ok(Transaction(self.database.begin_with_options(options).await?))
    }

    /// Closes every connection.
    pub async fn close(self) {
        if let Err(error) = self.database.close().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database was not closed cleanly");
        }
    }
}

/// A transaction that may write.
#[derive(Debug)]
pub struct Transaction(DatabaseTransaction);

impl Transaction {
    /// Makes what was written durable.
    ///
    /// # Errors
    /// When it is not known to be: it may or may not be there.
    pub async fn commit(self) -> Result<(), StorageError> {
        Ok(self.0.commit().await?)
    }

    /// Gives the transaction up.
    ///
    /// # Errors
    /// When the database went away; it then gives it up by itself.
    pub async fn rollback(self) -> Result<(), StorageError> {
        Ok(self.0.rollback().await?)
    }
}
