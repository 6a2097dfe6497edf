//! Lists of a statement as array parameters, for PostgreSQL and Citus.

use sea_orm::sea_query::ArrayType;
use sea_orm::{DbBackend, Statement, Value};

use crate::storage::rows::{ColumnValues, Rows, WANTED};

/// Returns the statement `body` with one list bound to it.
pub fn with_lists(rows: Rows<'_>, body: &str) -> Statement {
    let lists = [(WANTED, rows)];
    let sql = text(&lists, body);
    let [(_, rows)] = lists;
    let array = |texts: Vec<Value>| Value::Array(ArrayType::String, Some(Box::new(texts)));
    let values = rows.into_columns().into_iter().map(|(_, values)| match values {
        ColumnValues::Integers(integers) => {
            let integers = integers.into_iter().map(Value::from).collect();
            Value::Array(ArrayType::BigInt, Some(Box::new(integers)))
        }
        ColumnValues::Texts(texts) => array(texts.into_iter().map(Value::from).collect()),
        ColumnValues::Owned(texts) => array(texts.into_iter().map(Value::from).collect()),
        ColumnValues::Ids(ids) => array(ids.into_iter().map(|id| id.to_string().into()).collect()),
    });
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

/// Returns `body` preceded by its lists, each under its name, with one parameter for each column.
pub fn text(lists: &[(&'static str, Rows<'_>)], body: &str) -> String {
    let mut parameter = 0;
    let lists = lists.iter().map(|(list, rows)| {
        let first = parameter + 1;
        let mut columns = String::new();
        for (name, kind) in rows.postgres_types() {
            parameter += 1;
            columns = format!("{columns}unnest(${parameter}::{kind}[]) AS {name}, ");
        }
        // Set-returning functions in one `SELECT` list walk through the arrays once; `FROM unnest($1, $2)` first copies
        // each array.
        format!("{list} AS (SELECT {columns}generate_series(1, cardinality(${first})::bigint) AS place)")
    });
    let lists = lists.collect::<Vec<_>>().join(", ");
    format!("WITH {lists} {body}")
}
