//! Statements that take a list of rows, of any length, and stay the same text: so they are prepared once, and no
//! engine's limit of parameters is met.
//!
//! A statement reads the list as `wanted`, with the columns it was given and `place`, counted from 1. On PostgreSQL each
//! column is one array parameter, on SQLite the whole list is one JSON parameter.

use std::sync::OnceLock;

use sea_orm::sea_query::ArrayType;
use sea_orm::sqlx::postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgTypeInfo, Postgres};
use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::{self, AssertSqlSafe};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use serde_json::Value as Json;

use super::StorageError;
use crate::earning::{ObjectId, OrgId};

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

/// Rows for a statement, column by column.
#[derive(Debug)]
pub struct Rows<'a> {
    columns: Vec<(&'static str, Column<'a>)>,
}

#[derive(Debug)]
enum Column<'a> {
    Integers(Vec<i64>),
    Texts(Vec<&'a str>),
    Owned(Vec<String>),
    Ids(Vec<ObjectId>),
}

/// The name by which a statement with one list reads it.
pub const WANTED: &str = "wanted";

impl<'a> Rows<'a> {
    /// Rows that belong to these organizations, one each: the column `org_id`.
    pub fn of_orgs(orgs: impl IntoIterator<Item = OrgId>) -> Self {
        Self::of_any_org().integers("org_id", orgs.into_iter().map(|org_id| org_id.0))
    }

    /// Rows that name no organization.
    pub fn of_any_org() -> Self {
        Self { columns: Vec::new() }
    }

    /// With a column of integers more.
    pub fn integers(mut self, name: &'static str, values: impl IntoIterator<Item = i64>) -> Self {
        self.columns.push((name, Column::Integers(values.into_iter().collect())));
        self
    }

    /// With a column of texts more.
    pub fn texts(mut self, name: &'static str, values: impl IntoIterator<Item = &'a str>) -> Self {
        self.columns.push((name, Column::Texts(values.into_iter().collect())));
        self
    }

    /// With a column of ids more: texts of 24 digits.
    pub fn ids(mut self, name: &'static str, values: impl IntoIterator<Item = ObjectId>) -> Self {
        self.columns.push((name, Column::Ids(values.into_iter().collect())));
        self
    }

    /// With a column of texts more, which it keeps.
    pub fn owned_texts(mut self, name: &'static str, values: Vec<String>) -> Self {
        self.columns.push((name, Column::Owned(values)));
        self
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.length() == 0
    }

    fn length(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| match column {
            Column::Integers(integers) => integers.len(),
            Column::Texts(texts) => texts.len(),
            Column::Owned(texts) => texts.len(),
            Column::Ids(ids) => ids.len(),
        })
    }

    /// Whether there is a column of this name.
    pub fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|(column, _)| *column == name)
    }

    /// `body`, which reads from `wanted`, with these rows.
    pub(super) fn statement(self, backend: DbBackend, body: &str) -> Statement {
        match backend {
            DbBackend::Postgres => self.on_postgres(body),
            _ => self.on_sqlite(body),
        }
    }

    fn on_postgres(self, body: &str) -> Statement {
        let lists = [(WANTED, self)];
        let sql = sql_on_postgres(&lists, body);
        let [(_, rows)] = lists;
        let text_array = |texts: Vec<Value>| Value::Array(ArrayType::String, Some(Box::new(texts)));
        let values = rows.columns.into_iter().map(|(_, column)| match column {
            Column::Integers(integers) => {
                let integers = integers.into_iter().map(Value::from).collect();
                Value::Array(ArrayType::BigInt, Some(Box::new(integers)))
            }
            Column::Texts(texts) => text_array(texts.into_iter().map(Value::from).collect()),
            Column::Owned(texts) => text_array(texts.into_iter().map(Value::from).collect()),
            Column::Ids(ids) => text_array(ids.into_iter().map(|id| id.to_string().into()).collect()),
        });
        Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
    }

    /// `body` with these rows for the driver itself, where a statement is on the way of every call: the lists go as they
    /// are, instead of value by value.
    pub(super) fn query<'q>(self, body: &str) -> Query<'q, Postgres, PgArguments>
    where
        'a: 'q,
    {
        let lists = vec![(WANTED, self)];
        let sql = sql_on_postgres(&lists, body);
        bind(sqlx::query(AssertSqlSafe(sql)), lists)
    }

    fn on_sqlite(self, body: &str) -> Statement {
        let mut rows: Vec<Vec<Json>> = (0..self.length()).map(|_| Vec::with_capacity(self.columns.len())).collect();
        let mut names = Vec::new();
        for (index, (name, column)) in self.columns.into_iter().enumerate() {
            names.push(format!("value ->> {index} AS {name}"));
            let values: Box<dyn Iterator<Item = Json> + '_> = match column {
                Column::Integers(integers) => Box::new(integers.into_iter().map(Json::from)),
                Column::Texts(texts) => Box::new(texts.into_iter().map(Json::from)),
                Column::Owned(texts) => Box::new(texts.into_iter().map(Json::from)),
                Column::Ids(ids) => Box::new(ids.into_iter().map(|id| id.to_string().into())),
            };
            rows.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
        }
        let list = Json::from(rows.into_iter().map(Json::from).collect::<Vec<_>>()).to_string();
        let names = names.join(", ");
        let sql = format!("WITH wanted AS (SELECT {names}, key + 1 AS place FROM json_each(?1)) {body}");
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, [list.into()])
    }
}

/// As [`Rows::query`], of several lists, each under its name. The text is made once, by `body`, and kept in `text`: for
/// the same columns of the same lists.
pub(super) fn query_of_lists<'q>(
    text: &'static OnceLock<String>,
    lists: Vec<(&'static str, Rows<'q>)>,
    body: impl FnOnce(&[(&'static str, Rows<'q>)]) -> String,
) -> Query<'q, Postgres, PgArguments> {
    let sql: &'static str = text.get_or_init(|| sql_on_postgres(&lists, &body(&lists)));
    bind(sqlx::query(sql), lists)
}

fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    lists: Vec<(&'static str, Rows<'q>)>,
) -> Query<'q, Postgres, PgArguments> {
    let columns = lists.into_iter().flat_map(|(_, rows)| rows.columns);
    columns.fold(query, |query, (_, column)| match column {
        Column::Integers(integers) => query.bind(integers),
        Column::Texts(texts) => query.bind(texts),
        Column::Owned(texts) => query.bind(texts),
        Column::Ids(ids) => query.bind(ids.into_iter().map(Digits).collect::<Vec<_>>()),
    })
}

fn sql_on_postgres(lists: &[(&'static str, Rows<'_>)], body: &str) -> String {
    let mut parameter = 0;
    let lists = lists.iter().map(|(list, rows)| {
        let first = parameter + 1;
        let mut columns = String::new();
        for (name, column) in &rows.columns {
            parameter += 1;
            let kind = if matches!(column, Column::Integers(_)) { "bigint" } else { "text" };
            columns = format!("{columns}unnest(${parameter}::{kind}[]) AS {name}, ");
        }
        // Side by side like this the arrays are walked through once; `FROM unnest($1, $2)` copies each of them first.
        format!("{list} AS (SELECT {columns}generate_series(1, cardinality(${first})::bigint) AS place)")
    });
    let lists = lists.collect::<Vec<_>>().join(", ");
    format!("WITH {lists} {body}")
}

/// An id for the driver, which writes its digits without making a text of them first.
struct Digits(ObjectId);

impl sqlx::Type<Postgres> for Digits {
    fn type_info() -> PgTypeInfo {
        <str as sqlx::Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Digits {
    fn array_type_info() -> PgTypeInfo {
        <&str as PgHasArrayType>::array_type_info()
    }
}

impl sqlx::Encode<'_, Postgres> for Digits {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        buffer.extend_from_slice(&self.0.digits());
        Ok(sqlx::encode::IsNull::No)
    }
}

/// Runs `body` with `rows`; gives what it answers.
pub async fn query(
    database: &impl ConnectionTrait,
    body: &str,
    rows: Rows<'_>,
) -> Result<Vec<QueryResult>, StorageError> {
    Ok(database.query_all_raw(rows.statement(database.get_database_backend(), body)).await?)
}

/// Runs `body` with `rows`.
pub async fn execute(database: &impl ConnectionTrait, body: &str, rows: Rows<'_>) -> Result<(), StorageError> {
    database.execute_raw(rows.statement(database.get_database_backend(), body)).await?;
    Ok(())
}
