//! What can go wrong with the database, as callers can act on it.

use sea_orm::{DbErr, RuntimeErr};

/// An error of the database.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It could not be reached, or did not get to it in time. Trying again may help.
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// It refused, or holds what it must not.
    #[error("the database failed")]
    Failed(#[source] DbErr),
    /// A row holds a value that no migration allows.
    #[error("the database holds {0}, which nothing here writes")]
    Corrupt(String),
}

impl StorageError {
    /// Whether trying again may help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<DbErr> for StorageError {
    fn from(error: DbErr) -> Self {
        if is_unavailable(&error) { Self::Unavailable(error) } else { Self::Failed(error) }
    }
}

fn is_unavailable(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => match &**error {
            sea_orm::sqlx::Error::Io(_)
            | sea_orm::sqlx::Error::PoolTimedOut
            | sea_orm::sqlx::Error::PoolClosed
            | sea_orm::sqlx::Error::WorkerCrashed => true,
            // SQLite's primary result codes, in the low byte: 5 busy, 6 locked, 10 I/O, 13 full, 14 cannot open.
            sea_orm::sqlx::Error::Database(error) => error
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                .is_some_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14)),
            _ => false,
        },
        _ => false,
    }
}
