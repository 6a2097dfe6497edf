//! The migrations of the schema. A released migration is never edited: later changes need a new one.

use sea_orm::{
    ConnectionTrait, DbBackend, EntityTrait, QueryOrder, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::prelude::*;
use sea_orm_migration::seaql_migrations;

use super::{StorageError, Store};

mod m0001_catalog_and_wallet;

/// Number of the lock under which one process at a time migrates a PostgreSQL database: "cartprom" in ASCII.
const MIGRATION_LOCK: i64 = 0x6361_7274_7072_6f6d;

/// List of all migrations, in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_catalog_and_wallet::Migration)]
    }
}

impl Store {
    /// Brings the schema up to date. Several processes may do so at the same time. A current schema is only read, so no
    /// right to change it is needed.
    ///
    /// # Errors
    /// Returns an error when the database is of another version, or when a migration fails; then no migration is
    /// applied.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        if pending(&SchemaManager::new(&self.reads.database())).await?.is_empty() {
            return Ok(());
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let transaction = self.changes.database().begin_with_options(options).await?;
        lock_schema(&transaction).await?;
        // Another process may have migrated the database meanwhile, to a later version, too.
        pending(&SchemaManager::new(&transaction)).await?;
        Migrator::up(&transaction, None).await?;
        Ok(transaction.commit().await?)
    }

    /// Refuses a database whose schema is not that of this version of the program. Changes nothing.
    ///
    /// # Errors
    /// Returns [`StorageError::OldSchema`] when migrations are missing, [`StorageError::NewerSchema`] or
    /// [`StorageError::OtherSchema`] for a schema of another version, and errors of the database.
    pub async fn require_current_schema(&self) -> Result<(), StorageError> {
        let pending = pending(&SchemaManager::new(&self.reads.database())).await?;
        if pending.is_empty() { Ok(()) } else { Err(StorageError::OldSchema(pending.join(", "))) }
    }
}

/// Returns the names of the migrations that the database lacks. Refuses a database whose schema was not made by this
/// version of the program or an earlier one. Changes nothing.
async fn pending(manager: &SchemaManager<'_>) -> Result<Vec<String>, StorageError> {
    let known: Vec<_> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let applied = if manager.has_table(Migrator::migration_table_name().to_string()).await? {
        let recorded = seaql_migrations::Entity::find().order_by_asc(seaql_migrations::Column::Version);
        recorded.all(manager.get_connection()).await?
    } else {
        Vec::new()
    };
    let applied: Vec<_> = applied.into_iter().map(|migration| migration.version).collect();
    let pending: Vec<_> = known.iter().filter(|name| !applied.contains(name)).cloned().collect();
    match applied.into_iter().rfind(|applied| !known.contains(applied)) {
        // A later version adds migrations to those of this one.
        Some(newest) if pending.is_empty() && known.last().is_some_and(|last| newest > *last) => {
            Err(StorageError::NewerSchema(newest))
        }
        Some(other) => Err(StorageError::OtherSchema(other)),
        None => Ok(pending),
    }
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
