//! The database engines: the trait that they implement, and the statements that two of them share.
//!
//! Every difference between SQLite, PostgreSQL and Citus is in this folder, in one file for each engine.

mod citus;
mod postgres;
mod postgres_texts;
mod sqlite;

use std::fmt;

use async_trait::async_trait;
use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use super::StorageError;
use super::batch::catalogs::{self, CatalogVersions};
use super::batch::earnings::{EarningsWanted, Grants};
use super::batch::session::Fence;
use super::connection::Connection;
use super::org_owned::{Removal, SearchText};
use super::rows::{Rows, WANTED};
use crate::earning::Facts;

pub(super) use citus::Citus;
pub(super) use postgres::Postgres;
pub(super) use sqlite::Sqlite;

/// Database engine. The default methods suit PostgreSQL and Citus.
#[async_trait]
pub(super) trait Engine: fmt::Debug + Send + Sync {
    /// Returns the dialect for SeaORM's query builders.
    fn backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    /// Returns the statement of the probe. Its result is true in `writable` if the database reports that it accepts
    /// writes, and has the number of these tables that do not exist in `missing`. It reads none of the tables, so no
    /// lock on one delays it.
    fn probe(&self, tables: &[&str]) -> String {
        let tables = tables.join("', '");
        format!(
            "SELECT NOT pg_is_in_recovery() AS writable, \
             (SELECT count(*) FROM unnest(ARRAY['{tables}']) AS name WHERE to_regclass(name) IS NULL) AS missing"
        )
    }

    /// Returns the statement that lists the settings that are off although durability depends on them.
    fn durability_settings(&self) -> &'static str {
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"
    }

    /// Returns the statement that begins a transaction that may write.
    fn begin(&self) -> &'static str {
        "BEGIN"
    }

    /// Returns true if only one transaction at a time may write to the database.
    fn has_one_writer(&self) -> bool {
        false
    }

    /// Returns true if a batch of earnings is read and written within one transaction, false if one statement writes
    /// it.
    fn needs_transaction(&self) -> bool {
        true
    }

    /// Returns true if a batch may be written before its facts are read, on the condition that they are as presumed.
    fn writes_as_presumed(&self) -> bool {
        true
    }

    /// Returns the SQL of a search.
    fn search(&self, search: &SearchText<'_>) -> String;

    /// Returns the SQL of a removal.
    fn removal(&self, removal: &Removal<'_>) -> String {
        let Removal { table, columns, .. } = removal;
        format!("DELETE FROM {table} WHERE ({columns}) IN (SELECT {columns} FROM {WANTED})")
    }

    /// Returns the statement `body` with a list of rows bound to it, which it reads as `wanted`.
    fn statement(&self, rows: Rows<'_>, body: &str) -> Statement {
        postgres_texts::with_lists(rows, body)
    }

    /// Returns a list of texts as one value to bind.
    fn texts(&self, texts: Vec<String>) -> Value {
        Value::Array(ArrayType::String, Some(Box::new(texts.into_iter().map(Value::from).collect())))
    }

    /// Returns the condition that the column is in the list bound at this place.
    fn is_one_of(&self, column: &str, place: &str) -> String {
        format!("{column} = ANY ({place})")
    }

    /// Returns the text that makes a search use this index.
    fn index_hint(&self, _index: &str) -> String {
        String::new()
    }

    /// Locks the catalogs in shared mode until the transaction ends. Returns true if each of them has the listed
    /// version.
    async fn hold_catalogs(&self, connection: &Connection, catalogs: &CatalogVersions) -> Result<bool, StorageError> {
        let hold = self.statement(catalogs::rows(catalogs), catalogs::HOLD);
        let held = connection.query_all_raw(hold).await?;
        let held = held.iter().map(|row| row.try_get("", "held")).collect::<Result<Vec<bool>, _>>()?;
        Ok(held.into_iter().all(|held| held))
    }

    /// Takes an exclusive lock of this name until the transaction ends.
    async fn lock(&self, connection: &Connection, name: i64) -> Result<(), StorageError> {
        let lock = "SELECT pg_advisory_xact_lock($1)";
        connection.execute_raw(Statement::from_sql_and_values(self.backend(), lock, [name.into()])).await?;
        Ok(())
    }

    /// Limits how long a statement on the connection waits for a lock, in milliseconds.
    async fn limit_lock_waits(&self, connection: &Connection, ms: u64) -> Result<(), StorageError> {
        connection.execute_unprepared(&format!("SET lock_timeout = {ms}")).await?;
        Ok(())
    }

    /// Reads the facts of a batch of earnings. Returns `None` if its catalogs are no longer those of the decision.
    async fn read(&self, connection: &mut Connection, wanted: &EarningsWanted) -> Result<Option<Facts>, StorageError>;

    /// Writes the grants of a batch of earnings. Returns false, with nothing written, if it was decided from another
    /// catalog version or from facts that do not hold.
    async fn write(&self, connection: &mut Connection, batch: &Write<'_>) -> Result<bool, StorageError>;
}

/// Batch of earnings to write.
#[derive(Debug)]
pub(super) struct Write<'a> {
    pub wanted: &'a EarningsWanted,
    pub grants: &'a Grants,
    pub fence: &'a Fence<'a>,
}

/// Returns the engine of the database that the connection leads to.
pub(super) async fn of(connection: &impl ConnectionTrait) -> Result<&'static dyn Engine, StorageError> {
    if connection.get_database_backend() == DbBackend::Sqlite {
        return Ok(&Sqlite);
    }
    let citus = "SELECT 1 FROM pg_extension WHERE extname = 'citus'";
    let found = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, citus)).await?;
    Ok(if found.is_some() { &Citus } else { &Postgres })
}
