//! One connection to the database, and the pool that it comes from.
//!
//! A connection returns to its pool only when its work ended in order; any other is closed, which rolls back what it
//! left open.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::sea_query::Values;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::{PgConnection, Postgres};
use sea_orm::sqlx::sqlite::Sqlite;
use sea_orm::sqlx::{self, AssertSqlSafe, PgPool, SqlitePool};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, SqlxPostgresConnector,
    SqlxSqliteConnector, Statement,
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Mutex;

use super::StorageError;
use super::dialect::Dialect;
use super::last_break::LastBreak;
use crate::telemetry::metrics::PoolState;

/// Pool of connections for one kind of work.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres { pool: PgPool, last_break: LastBreak },
}

impl Pool {
    /// Takes a connection. The driver's futures are boxed because they are large.
    pub async fn acquire(&self) -> Result<Connection, StorageError> {
        let (driver, backend) = match self {
            Self::Sqlite(pool) => {
                let connection = Box::pin(pool.acquire()).await.map_err(of_driver)?;
                (Driver::Sqlite(connection), DbBackend::Sqlite)
            }
            Self::Postgres { pool, last_break } => {
                let connection = Box::pin(pool.acquire()).await.map_err(of_driver)?;
                (Driver::Postgres { connection, last_break: last_break.clone() }, DbBackend::Postgres)
            }
        };
        Ok(Connection { driver: Mutex::new(driver), backend, in_order: false })
    }

    /// Returns the pool as a SeaORM connection, for migrations, which run in transactions of their own.
    pub fn database(&self) -> DatabaseConnection {
        match self {
            Self::Sqlite(pool) => SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()),
            Self::Postgres { pool, .. } => SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()),
        }
    }

    /// Returns the number of connections, under the name of the pool.
    pub fn state(&self, name: &'static str) -> PoolState {
        let (size, idle) = match self {
            Self::Sqlite(pool) => (pool.size(), pool.num_idle()),
            Self::Postgres { pool, .. } => (pool.size(), pool.num_idle()),
        };
        PoolState { name, used: (size as usize).saturating_sub(idle), idle }
    }

    /// Closes every connection of the pool.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres { pool, .. } => pool.close().await,
        }
    }
}

#[derive(Debug)]
enum Driver {
    Sqlite(PoolConnection<Sqlite>),
    Postgres { connection: PoolConnection<Postgres>, last_break: LastBreak },
}

/// Connection. Dropping it closes it; [`Connection::release`] returns it to its pool.
#[derive(Debug)]
pub(super) struct Connection {
    driver: Mutex<Driver>,
    backend: DbBackend,
    in_order: bool,
}

impl Connection {
    /// Returns the connection to its pool. Its work must have ended in order, with nothing left open.
    pub fn release(mut self) {
        self.in_order = true;
    }

    /// Limits how long a statement on the connection waits for a lock, in milliseconds.
    pub async fn limit_lock_waits(&self, dialect: &dyn Dialect, ms: u64) -> Result<(), StorageError> {
        if let Some(limit) = dialect.limit_lock_waits(ms) {
            self.execute_unprepared(&limit).await?;
        }
        Ok(())
    }

    /// Returns the driver's connection to PostgreSQL, for statements that bind whole lists.
    pub fn postgres(&mut self) -> Result<&mut PgConnection, StorageError> {
        match self.driver.get_mut() {
            Driver::Postgres { connection, .. } => Ok(&mut *connection),
            Driver::Sqlite(_) => Err(StorageError::Corrupt("a connection to SQLite where PostgreSQL is due".into())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.in_order {
            return;
        }
        match self.driver.get_mut() {
            Driver::Sqlite(connection) => connection.close_on_drop(),
            Driver::Postgres { connection, last_break } => {
                last_break.note();
                connection.close_on_drop();
            }
        }
    }
}

/// Runs a statement with `$run` on the driver of the connection, and converts the result.
macro_rules! on_driver {
    ($self:ident, $statement:ident, $run:ident, $kind:ident, |$found:ident| $convert:expr) => {{
        let Statement { sql, values, .. } = $statement;
        let values = SqlxValues(values.unwrap_or_else(|| Values(Vec::new())));
        match &mut *$self.driver.lock().await {
            Driver::Sqlite(connection) => sqlx::query_with(AssertSqlSafe(sql), values)
                .$run(&mut **connection)
                .await
                .map(|$found| $convert)
                .map_err(|error| DbErr::$kind(runtime(error))),
            Driver::Postgres { connection, .. } => sqlx::query_with(AssertSqlSafe(sql), values)
                .$run(&mut **connection)
                .await
                .map(|$found| $convert)
                .map_err(|error| DbErr::$kind(runtime(error))),
        }
    }};
}

#[async_trait]
impl ConnectionTrait for Connection {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        on_driver!(self, statement, execute, Exec, |done| done.into())
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = AssertSqlSafe(sql.to_owned());
        let done = match &mut *self.driver.lock().await {
            Driver::Sqlite(connection) => sqlx::raw_sql(sql).execute(&mut **connection).await.map(ExecResult::from),
            Driver::Postgres { connection, .. } => {
                sqlx::raw_sql(sql).execute(&mut **connection).await.map(ExecResult::from)
            }
        };
        done.map_err(|error| DbErr::Exec(runtime(error)))
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        on_driver!(self, statement, fetch_optional, Query, |row| row.map(QueryResult::from))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        on_driver!(self, statement, fetch_all, Query, |rows| rows.into_iter().map(QueryResult::from).collect())
    }
}

/// Converts an error of the driver.
pub(super) fn of_driver(error: sqlx::Error) -> StorageError {
    DbErr::Query(runtime(error)).into()
}

fn runtime(error: sqlx::Error) -> RuntimeErr {
    RuntimeErr::SqlxError(Arc::new(error))
}
