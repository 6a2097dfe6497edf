//! SQLite: a database with one writer, whose transaction excludes all other writers from its first statement.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use serde_json::Value as Json;

use super::interface::{Engine, Write};
use crate::earning::Facts;
use crate::storage::StorageError;
use crate::storage::batch::earnings::{EarningsWanted, rows};
use crate::storage::batch::fence::Basis;
use crate::storage::batch::{counts, read, write};
use crate::storage::connection::Connection;
use crate::storage::dialect::{Dialect, SearchText};
use crate::storage::rows::{ColumnValues, Rows};
use crate::storage::statement::On;

/// Limits the rows of one `INSERT`: SQLite allows 32,766 values in a statement.
const MAX_INSERT_ROWS: usize = 1_024;

/// Engine for SQLite.
#[derive(Debug)]
pub struct Sqlite;

impl Dialect for Sqlite {
    fn backend(&self) -> DbBackend {
        DbBackend::Sqlite
    }

    /// Returns `BEGIN IMMEDIATE`: a deferred transaction would read first, and fail to write if another one wrote in
    /// between.
    fn begin(&self) -> &'static str {
        "BEGIN IMMEDIATE"
    }

    /// Returns a statement that reads from the file: one that names no table would not even open it.
    fn probe(&self, tables: &[&str]) -> String {
        let tables = tables.iter().map(|name| format!("('{name}')")).collect::<Vec<_>>().join(", ");
        format!(
            "SELECT true AS writable, coalesce(group_concat(column1, ', '), '') AS missing FROM (VALUES {tables}) \
             WHERE column1 NOT IN (SELECT name FROM sqlite_schema WHERE type = 'table')"
        )
    }

    /// Checks `synchronous`. Every connection sets it, but a build of SQLite may ignore it.
    fn durability_settings(&self) -> &'static str {
        "SELECT 'synchronous' AS name FROM pragma_synchronous WHERE synchronous < 2"
    }

    fn examination(&self, _rights: &[(&str, &str)]) -> Option<String> {
        None
    }

    fn has_one_writer(&self) -> bool {
        true
    }

    /// Writes a `CROSS JOIN`, whose order SQLite keeps: the list comes first, and each of its rows takes one index
    /// search.
    fn search(&self, search: &SearchText<'_>) -> String {
        let SearchText { table, list, answers, conditions, index, .. } = search;
        let (comma, index) =
            (if answers.is_empty() { "" } else { ", " }, index.map_or(String::new(), |i| self.index_hint(i)));
        format!("SELECT {list}.place{comma}{answers} FROM {list} CROSS JOIN {table} {index} WHERE {conditions}")
    }

    fn statement(&self, rows: Rows<'_>, body: &str) -> Statement {
        let (length, columns) = (rows.length(), rows.into_columns());
        let mut list: Vec<Vec<Json>> = (0..length).map(|_| Vec::with_capacity(columns.len())).collect();
        let mut names = Vec::new();
        for (index, (name, values)) in columns.into_iter().enumerate() {
            names.push(format!("value ->> {index} AS {name}"));
            let values: Box<dyn Iterator<Item = Json> + '_> = match values {
                ColumnValues::Integers(integers) => Box::new(integers.into_iter().map(Json::from)),
                ColumnValues::Texts(texts) => Box::new(texts.into_iter().map(Json::from)),
                ColumnValues::Owned(texts) => Box::new(texts.into_iter().map(Json::from)),
                ColumnValues::Ids(ids) => Box::new(ids.into_iter().map(|id| id.to_string().into())),
            };
            list.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
        }
        let list = Json::from(list.into_iter().map(Json::from).collect::<Vec<_>>()).to_string();
        let names = names.join(", ");
        let sql = format!("WITH wanted AS (SELECT {names}, key + 1 AS place FROM json_each(?1)) {body}");
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, [list.into()])
    }

    fn texts(&self, texts: Vec<String>) -> Value {
        Json::from(texts).to_string().into()
    }

    fn is_one_of(&self, column: &str, place: &str) -> String {
        format!("{column} IN (SELECT value FROM json_each({place}))")
    }

    fn index_hint(&self, index: &str) -> String {
        format!("INDEXED BY {index}")
    }

    /// Returns `None`, as the transaction already excludes other writers.
    fn lock(&self) -> Option<&'static str> {
        None
    }

    /// Returns `None`, as the connection's busy time-out already limits the wait for the one lock.
    fn limit_lock_waits(&self, _: u64) -> Option<String> {
        None
    }
}

#[async_trait]
impl Engine for Sqlite {
    async fn read(&self, connection: &mut Connection, wanted: &EarningsWanted) -> Result<Option<Facts>, StorageError> {
        Ok(Some(read::one_by_one(&On { dialect: &Sqlite, database: &*connection }, wanted).await?))
    }

    /// Inserts value by value, as extracting the rows from a list in JSON costs SQLite more than the insertion. The
    /// number of rows is a power of two, so that there are few statements to prepare.
    async fn write(&self, connection: &mut Connection, batch: &Write<'_>) -> Result<bool, StorageError> {
        let on = On { dialect: &Sqlite, database: &*connection };
        let Write { wanted, grants, fence } = *batch;
        if fence.basis == Basis::Presumed {
            // A recorded earning violates the unique key only if the batch writes an instance of it.
            let shown = grants.untouched(wanted).is_empty();
            if !shown || !read::is_as_presumed(&on, wanted, grants).await? {
                return Ok(false);
            }
        }
        counts::add(&on, grants).await?;
        let all = rows(grants);
        let mut left = all.as_slice();
        while !left.is_empty() {
            let (now, later) = left.split_at(MAX_INSERT_ROWS.min(1 << left.len().ilog2()));
            left = later;
            connection.execute_raw(write::values(now, fence.now)).await?;
        }
        Ok(true)
    }
}
