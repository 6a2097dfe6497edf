//! Statements that PostgreSQL and Citus share: lists as arrays, locks and their time-outs.

use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use super::Engine;
use crate::storage::StorageError;
use crate::storage::batch::catalogs::{self, Catalogs};
use crate::storage::connection::Connection;
use crate::storage::statement::{On, Rows, Values, WANTED};

/// Binds one list to `body`.
pub fn with_lists(rows: Rows<'_>, body: &str) -> Statement {
    let lists = [(WANTED, rows)];
    let sql = text(&lists, body);
    let [(_, rows)] = lists;
    let array = |texts: Vec<Value>| Value::Array(ArrayType::String, Some(Box::new(texts)));
    let values = rows.into_columns().into_iter().map(|(_, values)| match values {
        Values::Integers(integers) => {
            let integers = integers.into_iter().map(Value::from).collect();
            Value::Array(ArrayType::BigInt, Some(Box::new(integers)))
        }
        Values::Texts(texts) => array(texts.into_iter().map(Value::from).collect()),
        Values::Owned(texts) => array(texts.into_iter().map(Value::from).collect()),
        Values::Ids(ids) => array(ids.into_iter().map(|id| id.to_string().into()).collect()),
    });
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

/// Writes `body` behind its lists, each under its name, of which each column is one parameter.
pub fn text(lists: &[(&'static str, Rows<'_>)], body: &str) -> String {
    let mut parameter = 0;
    let lists = lists.iter().map(|(list, rows)| {
        let first = parameter + 1;
        let mut columns = String::new();
        for (name, kind) in rows.postgres_types() {
            parameter += 1;
            columns = format!("{columns}unnest(${parameter}::{kind}[]) AS {name}, ");
        }
        // Side by side like this the arrays are walked through once; `FROM unnest($1, $2)` copies each of them first.
        format!("{list} AS (SELECT {columns}generate_series(1, cardinality(${first})::bigint) AS place)")
    });
    let lists = lists.collect::<Vec<_>>().join(", ");
    format!("WITH {lists} {body}")
}

/// Holds the catalogs, in the order of their organizations.
pub async fn hold_catalogs(
    connection: &Connection,
    engine: &'static dyn Engine,
    catalogs: &Catalogs,
) -> Result<bool, StorageError> {
    let on = On { engine, database: connection };
    let held = on.query(catalogs::HOLD, catalogs::rows(catalogs)).await?;
    let held = held.iter().map(|row| row.try_get("", "held")).collect::<Result<Vec<bool>, _>>()?;
    Ok(held.into_iter().all(|held| held))
}

/// Takes an advisory lock until the transaction ends.
pub async fn lock(connection: &Connection, name: i64) -> Result<(), StorageError> {
    let lock = "SELECT pg_advisory_xact_lock($1)";
    connection.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, lock, [name.into()])).await?;
    Ok(())
}

/// Bounds how long statements of the session wait for a lock.
pub async fn limit_lock_waits(connection: &Connection, ms: u64) -> Result<(), StorageError> {
    connection.execute_unprepared(&format!("SET lock_timeout = {ms}")).await?;
    Ok(())
}
