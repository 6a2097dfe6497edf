//! Running a statement with a list of rows, and reading the rows that it finds.

use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};

use super::StorageError;
use super::dialect::Dialect;
use super::rows::{Rows, at_place};

/// Database to run statements on, with its dialect.
pub(super) struct On<'a, C> {
    pub dialect: &'static dyn Dialect,
    pub database: &'a C,
}

impl<C: ConnectionTrait> On<'_, C> {
    /// Runs `body` with `rows`. Returns the resulting rows.
    pub async fn query(&self, body: &str, rows: Rows<'_>) -> Result<Vec<QueryResult>, StorageError> {
        Ok(self.database.query_all_raw(self.dialect.statement(rows, body)).await?)
    }

    /// Runs `body` with `rows`. Returns the number of rows written.
    pub async fn execute(&self, body: &str, rows: Rows<'_>) -> Result<u64, StorageError> {
        Ok(self.database.execute_raw(self.dialect.statement(rows, body)).await?.rows_affected())
    }
}

/// Row that was found for an element of a list, with the place of that element.
#[derive(Debug)]
pub(super) struct Placed<M> {
    place: i64,
    pub row: M,
}

impl<M: FromQueryResult> Placed<M> {
    /// Reads a found row and its place.
    pub fn read(row: &QueryResult) -> Result<Self, StorageError> {
        Ok(Self { place: row.try_get("", "place")?, row: M::from_query_result(row, "")? })
    }
}

impl<M> Placed<M> {
    /// Returns the element of `keys` that the row was found for.
    pub fn of<'k, K>(&self, keys: &'k [K]) -> Result<&'k K, StorageError> {
        at_place(self.place, keys)
    }
}
