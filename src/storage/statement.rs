//! Statements that take a list of rows, of any length, and stay the same text: so they are prepared once, and no
//! engine's limit of parameters is met.
//!
//! A statement reads the list as `wanted`, with the columns it was given and `place`, counted from 1. On PostgreSQL each
//! column is one array parameter, on SQLite the whole list is one JSON parameter.

use sea_orm::sea_query::ArrayType;
use sea_orm::sqlx::postgres::{PgArguments, Postgres};
use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::{self, AssertSqlSafe};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use serde_json::Value as Json;

use super::StorageError;

/// What has to be said differently to each engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
    /// PostgreSQL as the coordinator of a Citus cluster.
    Citus,
}

impl Dialect {
    /// Of a database that was just opened.
    pub async fn of(database: &impl ConnectionTrait) -> Result<Self, StorageError> {
        if database.get_database_backend() == DbBackend::Sqlite {
            return Ok(Self::Sqlite);
        }
        let sql = "SELECT 1 FROM pg_extension WHERE extname = 'citus'";
        let citus = database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
        Ok(if citus.is_some() { Self::Citus } else { Self::Postgres })
    }
}

/// A search for each of the wanted rows, by the whole of a key.
#[derive(Debug, Clone, Copy)]
pub struct Lookup {
    /// What is answered of each row that is found, behind the place of the wanted row.
    pub answers: &'static str,
    /// Where it is searched; `t` in `key`.
    pub table: &'static str,
    /// The index of the key, where SQLite would take another and walk through all that an organization granted.
    pub index: Option<&'static str>,
    /// The columns of the key, named as those of the wanted rows are.
    pub key: &'static [&'static str],
    /// What follows: `GROUP BY`.
    pub rest: &'static str,
}

impl Lookup {
    /// The wanted rows come first, each with one search in the index: never the other way round, whatever the engine
    /// believes of how many rows the table has. SQLite keeps to the order of a `CROSS JOIN`. PostgreSQL has to be kept
    /// from reordering (`OFFSET 0`): a plan that was made while the table was known to be empty would read all of it,
    /// and is kept. Citus takes no such subquery, and plans each time.
    pub fn body(&self, dialect: Dialect) -> String {
        let Self { answers, table, rest, .. } = self;
        let conditions: Vec<_> = self.key.iter().map(|column| format!("t.{column} = wanted.{column}")).collect();
        let conditions = conditions.join(" AND ");
        let select = format!("SELECT wanted.place{}{answers} FROM wanted", if answers.is_empty() { "" } else { ", " });
        match dialect {
            Dialect::Sqlite => {
                let index = self.index.map(|index| format!("INDEXED BY {index} ")).unwrap_or_default();
                format!("{select} CROSS JOIN {table} AS t {index}WHERE {conditions} {rest}")
            }
            Dialect::Postgres => format!(
                "{select} CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {conditions} OFFSET 0) AS t {rest}"
            ),
            Dialect::Citus => format!("{select} CROSS JOIN {table} AS t WHERE {conditions} {rest}"),
        }
    }
}

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
        let sql = self.sql_on_postgres(body);
        let values = self.columns.into_iter().map(|(_, column)| match column {
            Column::Integers(integers) => {
                let integers = integers.into_iter().map(Value::from).collect();
                Value::Array(ArrayType::BigInt, Some(Box::new(integers)))
            }
            Column::Texts(texts) => {
                let texts = texts.into_iter().map(Value::from).collect();
                Value::Array(ArrayType::String, Some(Box::new(texts)))
            }
        });
        Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
    }

    fn sql_on_postgres(&self, body: &str) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        let arrays = self.columns.iter().enumerate().map(|(index, (_, column))| match column {
            Column::Integers(_) => format!("${}::bigint[]", index + 1),
            Column::Texts(_) => format!("${}::text[]", index + 1),
        });
        let (names, arrays) = (names.join(", "), arrays.collect::<Vec<_>>().join(", "));
        format!("WITH wanted AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS list ({names}, place)) {body}")
    }

    /// `body` with these rows for the driver itself, where a statement is on the way of every call: the lists go as they
    /// are, instead of value by value.
    pub(super) fn query(self, body: &str) -> Query<'static, Postgres, PgArguments> {
        let sql = self.sql_on_postgres(body);
        self.columns.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, (_, column)| match column {
            Column::Integers(integers) => query.bind(integers),
            Column::Texts(texts) => query.bind(texts),
        })
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
pub async fn query(database: &impl ConnectionTrait, body: &str, rows: Rows) -> Result<Vec<QueryResult>, StorageError> {
    Ok(database.query_all_raw(rows.statement(database.get_database_backend(), body)).await?)
}

/// Runs `body` with `rows`.
pub async fn execute(database: &impl ConnectionTrait, body: &str, rows: Rows) -> Result<(), StorageError> {
    database.execute_raw(rows.statement(database.get_database_backend(), body)).await?;
    Ok(())
}
