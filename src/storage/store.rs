//! The handle to the database: opening it, its probe, and beginning transactions. The files above add their statements.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::StorageError;
use super::connection::{Connection, Pool};
use super::engine::{self, Engine};
use super::org_owned;
use super::pools::Pools;
use super::statement::On;
use super::store_options::StoreOptions;
use super::transaction::Transaction;
use super::write_health::WriteHealth;
use crate::telemetry::metrics::PoolState;

/// Handle to the database.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) engine: &'static dyn Engine,
    pub(super) writers: Pool,
    pub(super) changes: Pool,
    pub(super) reads: Pool,
    pub(super) lookups: Pool,
    pub(super) probe: Pool,
    pub(super) write_health: WriteHealth,
    pub(super) timeout: Duration,
    pub(super) statement_timeout: Option<Duration>,
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

    /// Returns a warning for the operator for each setting that is off although durability depends on it.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn warnings(&self) -> Result<Vec<String>, StorageError> {
        let statement = self.engine.durability_settings();
        let rows =
            self.reads.database().query_all_raw(Statement::from_string(self.engine.backend(), statement)).await?;
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
        let connection = self.probe.acquire().await?;
        let (is_writable, missing) = self.ask(&connection).await?;
        connection.release();
        if is_writable {
            none_of(missing)
        } else {
            Err(StorageError::Unwritable(DbErr::Custom("the database is a standby".to_owned())))
        }
    }

    /// Requires that every table is there, whatever the recorded version of the schema says.
    ///
    /// # Errors
    /// Returns an error when the database lacks tables, and errors of the database.
    pub(super) async fn require_tables(&self) -> Result<(), StorageError> {
        none_of(self.ask(&self.reads.database()).await?.1)
    }

    /// Returns true if the database accepts writes as far as it reports, and the names of missing tables.
    async fn ask(&self, connection: &impl ConnectionTrait) -> Result<(bool, String), StorageError> {
        let statement = self.engine.probe(&org_owned::tables());
        let row = connection.query_one_raw(Statement::from_string(self.engine.backend(), statement)).await?;
        let Some(row) = row else { return Err(StorageError::Corrupt("no answer to the probe".to_owned())) };
        Ok((row.try_get("", "writable")?, row.try_get("", "missing")?))
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
    pub(super) async fn write_permit(&self) -> Result<Option<OwnedMutexGuard<()>>, StorageError> {
        if !self.engine.has_one_writer() {
            return Ok(None);
        }
        let write_permit = tokio::time::timeout(self.timeout, Arc::clone(&self.write_permit).lock_owned()).await;
        write_permit.map(Some).map_err(|_| StorageError::waited_too_long())
    }

    /// Returns the connection with its dialect, for a read.
    pub(super) fn on<'a>(&self, connection: &'a Connection) -> On<'a, Connection> {
        On { dialect: self.engine, database: connection }
    }

    /// Returns the name of the database system, as OpenTelemetry spells it.
    pub fn system(&self) -> &'static str {
        match self.engine.backend() {
            DbBackend::Sqlite => "sqlite",
            _ => "postgresql",
        }
    }

    /// Returns the number of connections of each pool.
    pub fn pool_states(&self) -> [PoolState; 5] {
        let Self { writers, changes, reads, lookups, probe, .. } = self;
        [
            writers.state("writers"),
            changes.state("changes"),
            reads.state("reads"),
            lookups.state("lookups"),
            probe.state("probe"),
        ]
    }

    /// Closes all connections.
    pub async fn close(self) {
        for pool in [self.writers, self.changes, self.reads, self.lookups, self.probe] {
            pool.close().await;
        }
    }
}

/// Refuses a database that lacks tables, whose names are separated by commas.
fn none_of(missing: String) -> Result<(), StorageError> {
    if missing.is_empty() { Ok(()) } else { Err(StorageError::TablesMissing(missing)) }
}
