//! Finding out which engine a database has.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::citus::Citus;
use super::interface::Engine;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use crate::storage::StorageError;

/// Returns the engine of the database that the connection leads to.
pub async fn of(connection: &impl ConnectionTrait) -> Result<&'static dyn Engine, StorageError> {
    if connection.get_database_backend() == DbBackend::Sqlite {
        return Ok(&Sqlite);
    }
    let citus = "SELECT 1 FROM pg_extension WHERE extname = 'citus'";
    let found = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, citus)).await?;
    Ok(if found.is_some() { &Citus } else { &Postgres })
}
