//! The database: entities, migrations, and the statements of each use case.
//!
//! Called by `app`. Batches in, batches out: what a batch of requests needs is read and written in a constant number of
//! statements. Knows the types of the rules, but neither proto nor HTTP and gRPC.

pub mod batch;
pub mod catalog;
mod citus;
pub mod clients;
mod connection;
mod engine;
mod entity;
pub mod error;
pub mod import;
pub mod listing;
mod migration;
mod org_owned;
mod pools;
mod redemption_content;
#[cfg(test)]
mod schema_tests;
mod secret_hash;
mod statement;
pub mod verify;
mod write_probe;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use connection::Transaction;
use connection::{Connection, Pool};
use engine::Engine;
pub use error::StorageError;
use pools::Pools;
pub use secret_hash::SecretHash;
use statement::On;
use write_probe::WriteHealth;

/// How the database is used.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Connections of the writer, at most.
    pub writers: u32,
    /// Connections of changes that may wait for a lock, at most.
    pub changes: u32,
    /// Connections of look-ups and listings, at most.
    pub reads: u32,
    /// Bound of a wait for a connection, and on SQLite for others to finish writing.
    pub timeout: Duration,
    /// Bound of a statement, and of a wait for a lock (PostgreSQL). `None`: no bound, for maintenance.
    pub statement_timeout: Option<Duration>,
    /// True for verification: statements read whole tables, and PostgreSQL chooses how; a file that is not there is not made.
    /// All others look rows up by their whole key, whatever PostgreSQL believes of the tables.
    pub recounts: bool,
}

/// The database.
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
    /// SQLite has one writer, and lets whoever waits for it try at random: in this process they go in turn.
    turn: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the database at `url`, making the file of an SQLite database that is not there.
    ///
    /// # Errors
    /// When it cannot be opened, or hands sessions from one client to another.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StorageError> {
        let Pools { writers, changes, reads, lookups, probe } = Pools::open(url, options).await?;
        let engine = engine::of(&writers.database()).await?;
        let StoreOptions { timeout, statement_timeout, .. } = options;
        let (write_health, turn) = (WriteHealth::default(), Arc::default());
        Ok(Self { engine, writers, changes, reads, lookups, probe, write_health, timeout, statement_timeout, turn })
    }

    /// Brings the schema up to date. Several processes may do so at once.
    ///
    /// # Errors
    /// When the database is of another version, or a migration fails. Then none of them is applied.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        migration::run(self).await
    }

    /// Refuses a database whose schema this version of the program did not make. Changes nothing.
    ///
    /// # Errors
    /// [`StorageError::OtherSchema`] where it did not; or those of the database.
    pub async fn require_own_schema(&self) -> Result<(), StorageError> {
        migration::refuse_other(&self.reads.database()).await
    }

    /// Returns settings of the database on which durability rests and that are off, each in words for the operator.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn warnings(&self) -> Result<Vec<String>, StorageError> {
        let question = self.engine.durability_settings();
        let rows = self.reads.database().query_all_raw(Statement::from_string(self.engine.backend(), question)).await?;
        let warn = |row: &QueryResult| {
            let name: String = row.try_get("", "name")?;
            Ok(format!("the database runs with {name} = off: a crash of its machine may lose what was acknowledged"))
        };
        rows.iter().map(warn).collect()
    }

    /// Asks whether the database answers, and takes writes as far as it says by itself. The question is about no table, so
    /// no lock on one holds it up.
    ///
    /// # Errors
    /// When it does not.
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

    /// Begins a transaction that may write. Dropped, it is undone.
    ///
    /// # Errors
    /// When others do not finish writing in time.
    pub async fn begin(&self) -> Result<Transaction, StorageError> {
        let turn = self.turn().await?;
        Transaction::begin(self.changes.acquire().await?, self.engine, turn).await
    }

    /// Waits for the turn of this process to write, on an engine with one writer.
    async fn turn(&self) -> Result<Option<OwnedMutexGuard<()>>, StorageError> {
        if !self.engine.has_one_writer() {
            return Ok(None);
        }
        let turn = tokio::time::timeout(self.timeout, Arc::clone(&self.turn).lock_owned()).await;
        turn.map(Some).map_err(|_| StorageError::waited_too_long())
    }

    /// Returns what is read through.
    fn on<'a>(&self, connection: &'a Connection) -> On<'a, Connection> {
        On { engine: self.engine, database: connection }
    }

    /// Closes every connection.
    pub async fn close(self) {
        for pool in [self.writers, self.changes, self.reads, self.lookups, self.probe] {
            pool.close().await;
        }
    }
}
