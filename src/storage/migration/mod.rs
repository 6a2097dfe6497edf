//! The migrations of the schema. A released migration is never edited: later changes need a new one.

use sea_orm::{
    ActiveValue, ConnectionTrait, DbBackend, EntityTrait, FromQueryResult, QueryOrder, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};

use super::entity::applied_migration;
use super::{StorageError, Store};

mod m0001_catalog_and_wallet;

/// Number of the lock under which one process at a time migrates a PostgreSQL database: "cartprom" in ASCII.
const MIGRATION_LOCK: i64 = 0x6361_7274_7072_6f6d;

/// Step from one version of the schema to the next.
#[derive(Debug, Clone, Copy)]
struct Migration {
    /// Name by which the database records the migration. Names sort in the order of the migrations.
    name: &'static str,
    /// Statements for an engine, in order.
    statements: fn(DbBackend) -> Vec<String>,
}

/// All migrations, in order.
const MIGRATIONS: [Migration; 1] =
    [Migration { name: "m0001_catalog_and_wallet", statements: m0001_catalog_and_wallet::statements }];

/// Table of applied migrations.
const CREATE_APPLIED: &str =
    "CREATE TABLE IF NOT EXISTS seaql_migrations (version varchar NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)";

impl Store {
    /// Brings the schema up to date. Several processes may do so at the same time. A current schema is only read, so no
    /// right to change it is needed.
    ///
    /// # Errors
    /// Returns an error when the database is of another version, or when a migration fails; then no migration is
    /// applied.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        if pending(&self.reads.database()).await?.is_empty() {
            return Ok(());
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let transaction = self.changes.database().begin_with_options(options).await?;
        lock_schema(&transaction).await?;
        // Another process may have migrated the database meanwhile, to a later version, too.
        for migration in pending(&transaction).await? {
            apply(migration, &transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Refuses a database whose schema is not that of this version of the program. Changes nothing.
    ///
    /// # Errors
    /// Returns [`StorageError::OldSchema`] when migrations are missing, [`StorageError::NewerSchema`] or
    /// [`StorageError::OtherSchema`] for a schema of another version, [`StorageError::TablesMissing`] when tables are gone,
    /// and errors of the database.
    pub async fn require_current_schema(&self) -> Result<(), StorageError> {
        let pending = pending(&self.reads.database()).await?;
        if pending.is_empty() {
            self.require_tables().await
        } else {
            Err(StorageError::OldSchema(pending.iter().map(|migration| migration.name).collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Returns the migrations that the database lacks. Refuses a database whose schema was not made by this version of the
/// program or an earlier one. Changes nothing.
async fn pending(database: &impl ConnectionTrait) -> Result<Vec<Migration>, StorageError> {
    let applied = applied(database).await?;
    let pending: Vec<_> =
        MIGRATIONS.into_iter().filter(|known| applied.iter().all(|applied| applied != known.name)).collect();
    let [.., last] = MIGRATIONS;
    match applied.into_iter().rfind(|applied| MIGRATIONS.iter().all(|known| known.name != applied)) {
        // A later version adds migrations to those of this one.
        Some(newest) if pending.is_empty() && *newest > *last.name => Err(StorageError::NewerSchema(newest)),
        Some(other) => Err(StorageError::OtherSchema(other)),
        None => Ok(pending),
    }
}

/// Returns the names of the applied migrations, in order.
async fn applied(database: &impl ConnectionTrait) -> Result<Vec<String>, StorageError> {
    let backend = database.get_database_backend();
    let is_recorded = match backend {
        DbBackend::Sqlite => "SELECT count(*) AS tables FROM sqlite_schema WHERE name = 'seaql_migrations'",
        _ => "SELECT count(to_regclass('seaql_migrations')) AS tables",
    };
    let counted = Counted::find_by_statement(Statement::from_string(backend, is_recorded)).one(database).await?;
    if counted.is_none_or(|counted| counted.tables == 0) {
        return Ok(Vec::new());
    }
    let recorded = applied_migration::Entity::find().order_by_asc(applied_migration::Column::Version);
    Ok(recorded.all(database).await?.into_iter().map(|migration| migration.version).collect())
}

/// Number of tables with a name.
#[derive(Debug, FromQueryResult)]
struct Counted {
    tables: i64,
}

/// Executes the statements of a migration, and records it.
async fn apply(migration: Migration, database: &impl ConnectionTrait) -> Result<(), StorageError> {
    tracing::debug!(migration = migration.name, "applying a migration");
    database.execute_unprepared(CREATE_APPLIED).await?;
    for statement in (migration.statements)(database.get_database_backend()) {
        database.execute_unprepared(&statement).await?;
    }
    let applied = applied_migration::ActiveModel {
        version: ActiveValue::Set(migration.name.to_owned()),
        applied_at: ActiveValue::Set(chrono::Utc::now().timestamp()),
    };
    applied_migration::Entity::insert(applied).exec_without_returning(database).await?;
    Ok(())
}

/// Keeps other processes from changing the schema until the transaction ends. A second process waits here as long as
/// the first one takes, and then finds nothing left to do. SQLite has one writer, so it needs no lock.
pub(super) async fn lock_schema(database: &impl ConnectionTrait) -> Result<(), StorageError> {
    if database.get_database_backend() == DbBackend::Postgres {
        let wait = format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
             SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"
        );
        database.execute_unprepared(&wait).await?;
    }
    Ok(())
}
