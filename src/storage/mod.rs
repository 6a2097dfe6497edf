//! The database: entities, migrations, and the statements of each use case.
//!
//! Called by `app`. Batches in, batches out: what a batch of requests needs is read and written in a constant number of
//! statements. Knows the types of the rules, but neither proto nor HTTP and gRPC.

mod catalogue;
pub mod changes;
mod citus;
pub mod clients;
mod entity;
pub mod error;
pub mod facts;
mod grants;
pub mod import;
pub mod listing;
mod migration;
mod org_owned;
mod secret_hash;
mod statement;
pub mod verify;
pub mod wallet;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::Executor;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use error::StorageError;
pub use secret_hash::SecretHash;
use statement::Dialect;

/// How long a connection may have been idle before it is tried: shorter than anything that drops idle ones.
const TRIED_AFTER_IDLE: Duration = Duration::from_secs(5);
/// Names the lock under which one process at a time migrates a PostgreSQL database: "cartprom" in ASCII.
const MIGRATION_LOCK: i64 = 0x6361_7274_7072_6f6d;

/// How the database is used.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Connections that are kept, at most.
    pub max_connections: u32,
    /// How long to wait for a connection, and on SQLite for others to finish writing.
    pub timeout: Duration,
    /// How long one statement may take, and one wait for a lock (PostgreSQL). `None`: as long as it likes, for
    /// maintenance.
    pub statement_timeout: Option<Duration>,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    database: DatabaseConnection,
    dialect: Dialect,
    /// SQLite has one writer, and lets whoever waits for it try at random: in this process they go in turn.
    turn: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the database at `url`, making the file of an SQLite database that is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StorageError> {
        let timeout = options.timeout;
        let mut connect = ConnectOptions::new(url);
        connect
            .max_connections(options.max_connections)
            .acquire_timeout(timeout)
            .test_before_acquire_if_idle_for(TRIED_AFTER_IDLE)
            .set_application_name("cart-promotions")
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(move |sqlite| {
                sqlite
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    // A commit is on the disk before it is answered; anything less may lose it with the power.
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(timeout)
            });
        if let Some(statement_timeout) = options.statement_timeout {
            let settings = settings_for_calls(statement_timeout);
            connect.map_sqlx_postgres_pool_opts(move |pool| {
                let settings = settings.clone();
                pool.after_connect(move |connection, _| {
                    let settings = sea_orm::sqlx::AssertSqlSafe(settings.clone());
                    Box::pin(async move { connection.execute(settings).await.map(drop) })
                })
            });
        }
        let database = Database::connect(connect).await?;
        let dialect = Dialect::of(&database).await?;
        Ok(Self { database, dialect, turn: Arc::default() })
    }

    /// Brings the schema up to date. Several processes may do so at once.
    ///
    /// # Errors
    /// When a migration fails. Then none of them is applied.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        let transaction = self.begin().await?;
        transaction.lock_schema().await?;
        migration::Migrator::up(&transaction.0, None).await?;
        transaction.commit().await
    }

    /// Whether the database answers, from the tables: a bare `SELECT 1` would not so much as open an SQLite file.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StorageError> {
        self.database
            .query_one_raw(Statement::from_string(self.database.get_database_backend(), org_owned::probe()))
            .await?;
        Ok(())
    }

    /// Begins a transaction that may write. Dropped, it is rolled back, and so it is when nobody waits for it any longer.
    ///
    /// In a task of its own: given up between `BEGIN` and its answer, the driver would forget about it, and the connection
    /// would go back to the pool with a transaction open, in which the writes of others would be lost.
    ///
    /// # Errors
    /// When others do not finish writing in time.
    pub async fn begin(&self) -> Result<Transaction, StorageError> {
        // A deferred one would read first and fail to write later, when another wrote in between.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let turn = match self.dialect {
            Dialect::Sqlite => Some(Arc::clone(&self.turn).lock_owned().await),
            Dialect::Postgres | Dialect::Citus => None,
        };
        let (database, dialect) = (self.database.clone(), self.dialect);
        let begun = tokio::spawn(async move {
            let transaction = database.begin_with_options(options).await?;
            Ok(Transaction(transaction, dialect, turn))
        });
        // The task is only ever cancelled with the runtime.
        begun.await.unwrap_or(Err(StorageError::Lost))
    }

    /// Closes every connection.
    pub async fn close(self) {
        if let Err(error) = self.database.close().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database was not closed cleanly");
        }
    }
}

/// A transaction that may write. What it has of the turn ends with it.
#[derive(Debug)]
pub struct Transaction(
    DatabaseTransaction,
    Dialect,
    #[expect(dead_code, reason = "it is held")] Option<OwnedMutexGuard<()>>,
);

/// What a connection to PostgreSQL that serves calls is told first.
///
/// Every statement of a call looks rows up by their whole key, and its text is constant: one plan, made once, that uses
/// the indexes. Citus cannot plan without the values.
fn settings_for_calls(statement_timeout: Duration) -> String {
    let timeout_ms = statement_timeout.as_millis();
    // Shorter, or the statement would be cancelled first, and a wait for a lock could not be told from slow work.
    let lock_timeout_ms = (timeout_ms * 4 / 5).max(1);
    format!(
        "SET statement_timeout = {timeout_ms}; SET lock_timeout = {lock_timeout_ms}; \
         SET idle_in_transaction_session_timeout = {timeout_ms}; SET enable_seqscan = off; \
         SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
         SELECT set_config('plan_cache_mode', 'force_generic_plan', false) \
         WHERE NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')"
    )
}

impl Transaction {
    /// Keeps other processes from changing the schema until the transaction ends. Whoever comes second waits here, for
    /// as long as the first one takes, and finds nothing left to do. SQLite has one writer anyway.
    async fn lock_schema(&self) -> Result<(), StorageError> {
        if self.1 != Dialect::Sqlite {
            let wait = format!(
                "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
                 SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"
            );
            self.0.execute_unprepared(&wait).await?;
        }
        Ok(())
    }

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
