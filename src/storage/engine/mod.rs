//! The database engines: the interface behind which they stand, and the text forms that two of them share.
//!
//! Everything that is said differently to SQLite, PostgreSQL and Citus is said in this room, one file each.

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
use super::batch::earnings::{Grants, Wanted};
use super::batch::session::Fence;
use super::connection::Connection;
use super::org_owned::{Removal, SearchText};
use super::statement::{Rows, WANTED};
use crate::earning::Facts;

pub(super) use citus::Citus;
pub(super) use postgres::Postgres;
pub(super) use sqlite::Sqlite;

/// A database engine. What is not said otherwise is as PostgreSQL and Citus have it.
#[async_trait]
pub(super) trait Engine: fmt::Debug + Send + Sync {
    /// Returns the dialect of SeaORM's own builders.
    fn backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    /// Returns the question of the probe: whether the database takes writes, as far as it says, and how many of these tables
    /// are missing. It looks into no table, so no lock on one holds it up.
    fn probe(&self, tables: &[&str]) -> String {
        let tables = tables.join("', '");
        format!(
            "SELECT NOT pg_is_in_recovery() AS writable, \
             (SELECT count(*) FROM unnest(ARRAY['{tables}']) AS name WHERE to_regclass(name) IS NULL) AS missing"
        )
    }

    /// Returns the question for the names of settings on which durability rests and that are off.
    fn durability_settings(&self) -> &'static str {
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"
    }

    /// Returns the statement that begins a transaction that may write.
    fn begin(&self) -> &'static str {
        "BEGIN"
    }

    /// Returns true where one transaction at a time may write to the database.
    fn has_one_writer(&self) -> bool {
        false
    }

    /// Returns true where a batch of earnings is read and written within one transaction, false where it is written by one
    /// statement.
    fn needs_transaction(&self) -> bool {
        true
    }

    /// Returns true where a batch may be written before its facts were read, provided that they are as presumed.
    fn writes_as_presumed(&self) -> bool {
        true
    }

    /// Writes the text of a search.
    fn search(&self, search: &SearchText<'_>) -> String;

    /// Writes a removal.
    fn removal(&self, removal: &Removal<'_>) -> String {
        let Removal { table, columns, .. } = removal;
        format!("DELETE FROM {table} WHERE ({columns}) IN (SELECT {columns} FROM {WANTED})")
    }

    /// Binds a list of rows to `body`, which reads it as `wanted`.
    fn statement(&self, rows: Rows<'_>, body: &str) -> Statement {
        postgres_texts::with_lists(rows, body)
    }

    /// Binds a list of texts as one value.
    fn texts(&self, texts: Vec<String>) -> Value {
        Value::Array(ArrayType::String, Some(Box::new(texts.into_iter().map(Value::from).collect())))
    }

    /// Writes the condition that the column is one of the list that is bound at this place.
    fn is_one_of(&self, column: &str, place: &str) -> String {
        format!("{column} = ANY ({place})")
    }

    /// Writes what makes a search take this index.
    fn index_hint(&self, _index: &str) -> String {
        String::new()
    }

    /// Holds the catalogs in shared mode until the transaction ends. Returns true if each of them is the one of its version.
    async fn hold_catalogs(&self, connection: &Connection, catalogs: &CatalogVersions) -> Result<bool, StorageError> {
        let hold = self.statement(catalogs::rows(catalogs), catalogs::HOLD);
        let held = connection.query_all_raw(hold).await?;
        let held = held.iter().map(|row| row.try_get("", "held")).collect::<Result<Vec<bool>, _>>()?;
        Ok(held.into_iter().all(|held| held))
    }

    /// Takes a lock of this name exclusively until the transaction ends.
    async fn lock(&self, connection: &Connection, name: i64) -> Result<(), StorageError> {
        let lock = "SELECT pg_advisory_xact_lock($1)";
        connection.execute_raw(Statement::from_sql_and_values(self.backend(), lock, [name.into()])).await?;
        Ok(())
    }

    /// Bounds how long a statement on the connection waits for a lock, in milliseconds.
    async fn limit_lock_waits(&self, connection: &Connection, ms: u64) -> Result<(), StorageError> {
        connection.execute_unprepared(&format!("SET lock_timeout = {ms}")).await?;
        Ok(())
    }

    /// Reads the facts of a batch of earnings; `None` if its catalogs are no longer those of the decision.
    async fn read(&self, connection: &mut Connection, wanted: &Wanted) -> Result<Option<Facts>, StorageError>;

    /// Writes what a batch of earnings was granted. Returns false, with nothing written, if it was decided from another
    /// catalog or from facts that are not so.
    async fn write(&self, connection: &mut Connection, batch: &Write<'_>) -> Result<bool, StorageError>;
}

/// A batch of earnings to be written.
#[derive(Debug)]
pub(super) struct Write<'a> {
    pub wanted: &'a Wanted,
    pub grants: &'a Grants,
    pub fence: &'a Fence<'a>,
}

/// Returns the engine that the connection leads to.
pub(super) async fn of(connection: &impl ConnectionTrait) -> Result<&'static dyn Engine, StorageError> {
    if connection.get_database_backend() == DbBackend::Sqlite {
        return Ok(&Sqlite);
    }
    let citus = "SELECT 1 FROM pg_extension WHERE extname = 'citus'";
    let found = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, citus)).await?;
    Ok(if found.is_some() { &Citus } else { &Postgres })
}
