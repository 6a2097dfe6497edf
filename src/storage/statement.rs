//! Statements that take a list of rows, of any length, and stay the same text: so they are prepared once, and no
//! engine's limit of parameters is met.
//!
//! A statement reads the list as `wanted`, with the columns it was given and `place`, counted from 1. On PostgreSQL each
//! column is one array parameter, on SQLite the whole list is one JSON parameter.

use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use serde_json::Value as Json;

use super::StorageError;

/// Rows for a statement, column by column.
#[derive(Debug, Default)]
pub struct Rows {
    columns: Vec<(&'static str, Column)>,
}

#[derive(Debug)]
enum Column {
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

impl Rows {
    /// With a column of integers more.
    pub fn integers(mut self, name: &'static str, values: impl IntoIterator<Item = i64>) -> Self {
        self.columns.push((name, Column::Integers(values.into_iter().collect())));
        self
    }

    /// With a column of texts more.
    pub fn texts(mut self, name: &'static str, values: impl IntoIterator<Item = String>) -> Self {
        self.columns.push((name, Column::Texts(values.into_iter().collect())));
        self
    }

    /// `body`, which reads from `wanted`, with these rows.
    pub(super) fn statement(self, backend: DbBackend, body: &str) -> Statement {
        match backend {
            DbBackend::Postgres => self.on_postgres(body),
            _ => self.on_sqlite(body),
        }
    }

    fn on_postgres(self, body: &str) -> Statement {
        let (mut names, mut arrays) = (Vec::new(), Vec::new());
        let mut values = Vec::new();
        for (index, (name, column)) in self.columns.into_iter().enumerate() {
            names.push(name);
            let (kind, array) = match column {
                Column::Integers(integers) => {
                    let integers = integers.into_iter().map(Value::from).collect();
                    ("bigint", Value::Array(ArrayType::BigInt, Some(Box::new(integers))))
                }
                Column::Texts(texts) => {
                    let texts = texts.into_iter().map(Value::from).collect();
                    ("text", Value::Array(ArrayType::String, Some(Box::new(texts))))
                }
            };
            arrays.push(format!("${}::{kind}[]", index + 1));
            values.push(array);
        }
        let (names, arrays) = (names.join(", "), arrays.join(", "));
        let sql = format!(
            "WITH wanted AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS list ({names}, place)) {body}"
        );
        Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
    }

    fn on_sqlite(self, body: &str) -> Statement {
        let length = self.columns.first().map_or(0, |(_, column)| match column {
            Column::Integers(integers) => integers.len(),
            Column::Texts(texts) => texts.len(),
        });
        let mut rows: Vec<Vec<Json>> = (0..length).map(|_| Vec::with_capacity(self.columns.len())).collect();
        let mut names = Vec::new();
        for (index, (name, column)) in self.columns.into_iter().enumerate() {
            names.push(format!("value ->> {index} AS {name}"));
            let values: Box<dyn Iterator<Item = Json>> = match column {
                Column::Integers(integers) => Box::new(integers.into_iter().map(Json::from)),
                Column::Texts(texts) => Box::new(texts.into_iter().map(Json::from)),
            };
            rows.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
        }
        let list = Json::from(rows.into_iter().map(Json::from).collect::<Vec<_>>()).to_string();
        let names = names.join(", ");
        let sql = format!("WITH wanted AS (SELECT {names}, key + 1 AS place FROM json_each(?1)) {body}");
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, [list.into()])
    }
}

/// Runs `body` with `rows`; gives what it answers.
pub async fn query(
    database: &impl ConnectionTrait,
    body: &str,
    rows: Rows,
) -> Result<Vec<QueryResult>, StorageError> {
    Ok(database.query_all_raw(rows.statement(database.get_database_backend(), body)).await?)
}

/// Runs `body` with `rows`.
pub async fn execute(database: &impl ConnectionTrait, body: &str, rows: Rows) -> Result<(), StorageError> {
    database.execute_raw(rows.statement(database.get_database_backend(), body)).await?;
    Ok(())
}
