//! The migrations of the schema. A released migration is never edited: later changes need a new one.

use sea_orm::{ConnectionTrait, DbBackend, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use sea_orm_migration::prelude::*;

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
    /// Brings the schema up to date. Several processes may do so at the same time.
    ///
    /// # Errors
    /// Returns an error when the database is of another version, or when a migration fails; then no migration is
    /// applied.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let transaction = self.changes.database().begin_with_options(options).await?;
        lock_schema(&transaction).await?;
        Migrator::install(&transaction).await?;
        refuse_other(&transaction).await?;
        Migrator::up(&transaction, None).await?;
        Ok(transaction.commit().await?)
    }

    /// Refuses a database whose schema was not made by this version of the program. Changes nothing.
    ///
    /// # Errors
    /// Returns [`StorageError::OtherSchema`] for another schema, and errors of the database.
    pub async fn require_own_schema(&self) -> Result<(), StorageError> {
        refuse_other(&self.reads.database()).await
    }
}

/// Refuses a database whose schema was not made by this version of the program. Changes nothing.
async fn refuse_other(database: &impl ConnectionTrait) -> Result<(), StorageError> {
    let known: Vec<_> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let applied = Migrator::get_migration_models(database).await?;
    match applied.into_iter().find(|applied| !known.contains(&applied.version)) {
        Some(other) => Err(StorageError::OtherSchema(other.version)),
        None => Ok(()),
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
