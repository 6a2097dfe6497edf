//! Statements with one parameter: a JSON list of rows, which keeps them constant whatever their number.

use sea_orm::{ConnectionTrait, QueryResult, Statement};
use serde::Serialize;

use super::StorageError;

/// Runs `sql` with `rows`; gives what it answers.
pub async fn query(
    database: &impl ConnectionTrait,
    sql: &'static str,
    rows: &[impl Serialize],
) -> Result<Vec<QueryResult>, StorageError> {
    Ok(database.query_all_raw(with_rows(database, sql, rows)?).await?)
}

/// Runs `sql` with `rows`; gives how many rows it wrote.
pub async fn execute(
    database: &impl ConnectionTrait,
    sql: &'static str,
    rows: &[impl Serialize],
) -> Result<u64, StorageError> {
    Ok(database.execute_raw(with_rows(database, sql, rows)?).await?.rows_affected())
}

fn with_rows(
    database: &impl ConnectionTrait,
    sql: &'static str,
    rows: &[impl Serialize],
) -> Result<Statement, StorageError> {
    let rows = serde_json::to_string(rows).map_err(|error| StorageError::Corrupt(error.to_string()))?;
    Ok(Statement::from_sql_and_values(database.get_database_backend(), sql, [rows.into()]))
}
