//! The database: entities, migrations, and the statements of each use case.
//!
//! Called by `app`. Each batch of requests is read and written in a constant number of statements. Storage knows the
//! types of the rules, but neither proto nor HTTP and gRPC.

pub mod batch;
pub mod catalog;
mod citus;
pub mod clients;
mod connection;
mod dialect;
mod engine;
mod entity;
pub mod error;
pub mod import;
mod last_break;
pub mod listing;
mod migration;
mod org_owned;
mod pools;
mod redemption_content;
mod rows;
#[cfg(test)]
mod schema_tests;
mod secret_hash;
mod statement;
mod transaction;
pub mod verify;
mod write_probe;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};
use tokio::sync::{Mutex, OwnedMutexGuard};

use connection::{Connection, Pool};
use engine::Engine;
pub use error::StorageError;
use pools::Pools;
pub use secret_hash::SecretHash;
use statement::On;
pub use transaction::Transaction;
use write_probe::WriteHealth;

/// Options for opening the database.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Largest number of connections of the writer.
    pub writers: u32,
    /// Largest number of connections for changes that may wait for a lock.
    pub changes: u32,
    /// Largest number of connections for look-ups and for listings.
    pub reads: u32,
    /// Limits a wait for a connection, and on SQLite the wait for another writer.
    pub timeout: Duration,
    /// Limits a statement, and on PostgreSQL a wait for a lock. `None` sets no limit, for maintenance.
    pub statement_timeout: Option<Duration>,
    /// True for verification: statements read whole tables with a plan of PostgreSQL's choice, and a missing file of
    /// SQLite is not created. All other uses look rows up by their whole key, whatever statistics PostgreSQL has of the
    /// tables.
    pub recounts: bool,
}

/// Handle to the database.
#[derive(Debug, Clone)]
pub struct Store {
    engine: &'static dyn Engine,
    writers: Pool,
    changes: Pool,
    reads: Pool,
    lookups: Pool,
    probe: Pool,
    write_health: WriteHealth,
    timeout: Duration,
    statement_timeout: Option<Duration>,
    /// Queue of this process for the one writer of SQLite, which lets waiting connections retry at random.
    write_permit: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the database at `url`. Creates the file of an SQLite database if it is missing.
    ///
    /// # Errors
    /// Returns an error when the database cannot be opened, or when a pooler shares its sessions between clients.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StorageError> {
        let Pools { writers, changes, reads, lookups, probe } = Pools::open(url, options).await?;
        let engine = engine::of(&writers.database()).await?;
        let StoreOptions { timeout, statement_timeout, .. } = options;
        let (write_health, write_permit) = (WriteHealth::default(), Arc::default());
        Ok(Self {
            engine,
            writers,
            changes,
            reads,
            lookups,
            probe,
            write_health,
            timeout,
            statement_timeout,
            write_permit,
        })
    }

    /// Brings the schema up to date. Several processes may do so at the same time.
    ///
    /// # Errors
    /// Returns an error when the database is of another version, or when a migration fails; then no migration is
    /// applied.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        migration::run(self).await
    }

    /// Refuses a database whose schema was not made by this version of the program. Changes nothing.
    ///
    /// # Errors
    /// Returns [`StorageError::OtherSchema`] for another schema, and errors of the database.
    pub async fn require_own_schema(&self) -> Result<(), StorageError> {
        migration::refuse_other(&self.reads.database()).await
    }

    /// Returns a warning for the operator for each setting that is off although durability depends on it.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn warnings(&self) -> Result<Vec<String>, StorageError> {
        let question = self.engine.durability_settings();
        let rows = self.reads.database().query_all_raw(Statement::from_string(self.engine.backend(), question)).await?;
        let warn = |row: &QueryResult| {
            let name: String = row.try_get("", "name")?;
            Ok(format!("the database runs with {name} = off: a crash of its machine may lose what was acknowledged"))
        };
        rows.iter().map(warn).collect()
    }

    /// Checks that the database answers, and that it accepts writes as far as it reports. The statement reads no table,
    /// so no lock on a table delays it.
    ///
    /// # Errors
    /// Returns an error when the database does not answer, is a standby, or lacks tables.
    pub async fn ping(&self) -> Result<(), StorageError> {
        let question = self.engine.probe(&org_owned::tables());
        let connection = self.probe.acquire().await?;
        let row = connection.query_one_raw(Statement::from_string(self.engine.backend(), question)).await?;
        connection.release();
        let Some(row) = row else { return Err(StorageError::Corrupt("no answer to the probe".to_owned())) };
        match (row.try_get("", "writable")?, row.try_get::<i64>("", "missing")?) {
            (true, 0) => Ok(()),
            (false, _) => Err(StorageError::Unwritable(DbErr::Custom("the database is a standby".to_owned()))),
            (true, missing) => Err(StorageError::Corrupt(format!("{missing} tables too few"))),
        }
    }

    /// Begins a transaction that may write. Dropping it rolls it back.
    ///
    /// # Errors
    /// Returns an error when no connection is free or other writers do not finish in time, and errors of the database.
    pub async fn begin(&self) -> Result<Transaction, StorageError> {
        let write_permit = self.write_permit().await?;
        Transaction::begin(self.changes.acquire().await?, self.engine, write_permit).await
    }

    /// Waits until this process may write, on an engine with one writer.
    async fn write_permit(&self) -> Result<Option<OwnedMutexGuard<()>>, StorageError> {
        if !self.engine.has_one_writer() {
            return Ok(None);
        }
        let write_permit = tokio::time::timeout(self.timeout, Arc::clone(&self.write_permit).lock_owned()).await;
        write_permit.map(Some).map_err(|_| StorageError::waited_too_long())
    }

    /// Returns the connection with its dialect, for a read.
    fn on<'a>(&self, connection: &'a Connection) -> On<'a, Connection> {
        On { dialect: self.engine, database: connection }
    }

    /// Closes all connections.
    pub async fn close(self) {
        for pool in [self.writers, self.changes, self.reads, self.lookups, self.probe] {
            pool.close().await;
        }
    }
}
