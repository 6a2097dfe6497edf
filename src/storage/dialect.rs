//! The texts in which the engines differ, as a trait that all statements are put together on.
//!
//! Everything above names the trait alone. `engine` has the implementations, in one file for each engine.

use std::fmt;

use sea_orm::sea_query::ArrayType;
use sea_orm::{DbBackend, Statement, Value};

use super::rows::{Rows, WANTED};

/// SQL of a database engine. The default methods suit PostgreSQL and Citus.
pub(super) trait Dialect: fmt::Debug + Send + Sync {
    /// Returns the dialect for SeaORM's query builders.
    fn backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    /// Returns the statement of the probe. Its result is true in `writable` if the database reports that it accepts
    /// writes, and has the names of these tables that do not exist in `missing`, separated by commas. It reads none of the tables, so no
    /// lock on one delays it.
    fn probe(&self, tables: &[&str]) -> String {
        let tables = tables.join("', '");
        format!(
            "SELECT NOT pg_is_in_recovery() AS writable, \
             (SELECT coalesce(string_agg(name, ', '), '') FROM unnest(ARRAY['{tables}']) AS name \
              WHERE to_regclass(name) IS NULL) AS missing"
        )
    }

    /// Returns the statement that lists the settings that are off although durability depends on them.
    fn durability_settings(&self) -> &'static str {
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"
    }

    /// Returns the statement that examines the server of the database; `None` where there is none. Its result has the
    /// time in `now_ms`, those of the rights on tables that the role lacks in `lacking`, and `is_superuser`.
    fn examination(&self, rights: &[(&str, &str)]) -> Option<String> {
        let rights = rights.iter().map(|(table, right)| format!("('{table}', '{right}')"));
        let rights = rights.collect::<Vec<_>>().join(", ");
        Some(format!(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms, \
             current_setting('is_superuser') = 'on' AS is_superuser, \
             (SELECT coalesce(string_agg(permission || ' on ' || name, '; '), '') \
              FROM (VALUES {rights}) AS rights (name, permission) \
              WHERE to_regclass(name) IS NOT NULL AND NOT has_table_privilege(name, permission)) AS lacking"
        ))
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
    fn statement(&self, rows: Rows<'_>, body: &str) -> Statement;

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

    /// Returns the statement that takes an exclusive lock, whose name is `$1`, until the transaction ends. Returns
    /// `None` if the transaction already excludes other writers.
    fn lock(&self) -> Option<&'static str> {
        Some("SELECT pg_advisory_xact_lock($1)")
    }

    /// Returns the statement that limits how long the next statements of a connection wait for a lock, in milliseconds.
    /// Returns `None` if the limit is an option of the connection.
    fn limit_lock_waits(&self, ms: u64) -> Option<String> {
        Some(format!("SET lock_timeout = {ms}"))
    }
}

/// Parts of a search, for an engine to combine.
#[derive(Debug)]
pub(super) struct SearchText<'a> {
    pub table: &'static str,
    pub list: &'a str,
    /// Columns of the result, separated by commas; empty for the place alone.
    pub answers: &'a str,
    pub conditions: &'a str,
    pub index: Option<&'static str>,
    /// Columns of `ORDER BY`; empty for none.
    pub order: &'a str,
    pub most: Option<usize>,
}

/// Parts of a removal, for an engine to combine.
#[derive(Debug)]
pub(super) struct Removal<'a> {
    pub table: &'static str,
    /// Columns of the key, separated by commas, with the same names in the list and in the table.
    pub columns: &'a str,
    /// Condition by which a row of the list finds its row.
    pub one: &'a str,
}
