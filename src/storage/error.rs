//! Errors of the database, in classes that their handlers can act on, with what to do about them.

use std::io::ErrorKind;

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::{DbErr, RuntimeErr};

use super::error_class::ErrorClass;

/// Error of the database.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Write conflict: a row to be written is already recorded, or another transaction used up a cap at the same time.
    /// This transaction is rolled back. Reading and deciding again can succeed.
    #[error("write conflict with another transaction")]
    Conflict(#[source] DbErr),
    /// The connection broke, and its transaction is rolled back, unless it was committing. Another connection may work.
    #[error("the connection to the database broke")]
    Disconnected(#[source] DbErr),
    /// Another transaction holds a lock that this one needs, and did not release it in time. This transaction is rolled
    /// back.
    #[error("another transaction holds a lock that this one needs")]
    Busy(#[source] DbErr),
    /// The catalog of an organization changed since it was read, or this batch must change it. The batch must hold the
    /// catalog.
    #[error("the catalog changed meanwhile")]
    CatalogMoved,
    /// The database could not be reached. A retry may succeed.
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// No connection of the pool was free in time, and no new one could be opened.
    #[error("no connection to the database was free in time")]
    NoConnection(#[source] DbErr),
    /// The database ran out of connections or memory.
    #[error("the database is out of resources")]
    Exhausted(#[source] DbErr),
    /// A statement took longer than its limit and was canceled.
    #[error("the database took too long for a statement")]
    TooSlow(#[source] DbErr),
    /// The database's disk is full or fails, or the database is read-only.
    #[error("the database cannot use its files")]
    Unwritable(#[source] DbErr),
    /// The database did not answer within the limit of a transaction.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The database failed to answer a moment ago. No call reaches it until it answers a probe.
    #[error("the database does not answer")]
    Lost,
    /// The database refused the statement, or holds values that it must not hold.
    #[error("the database failed")]
    Failed(#[source] DbErr),
    /// A pooler between the service and the database shares the sessions of one client with another.
    #[error(
        "a connection pooler shares the sessions of the database between clients (transaction pooling); \
         connect to PostgreSQL itself, or let the pooler work in session mode"
    )]
    SharedSessions,
    /// The schema was made by another version of the program.
    #[error(
        "the schema of the database is of another version of cart-promotions (migration {0}), which this one does not know; \
         use that version, or a new database"
    )]
    OtherSchema(String),
    /// The schema was made by a later version of the program.
    #[error(
        "the schema of the database is newer than this version of cart-promotions (migration {0}); use the version that \
         migrated it, or a later one"
    )]
    NewerSchema(String),
    /// The schema lacks migrations, and is not to be changed.
    #[error("the schema of the database is not up to date: {0} is missing; run cart-promotions migrate")]
    OldSchema(String),
    /// The database is not the coordinator of a Citus cluster.
    #[error(
        "the database has no extension citus: create it on the coordinator (CREATE EXTENSION citus), or migrate without --citus"
    )]
    NoCitus,
    /// Tables are gone although the schema is recorded as up to date. Holds their names.
    #[error("the database has no table {0}: restore it from a backup, or rename back what was renamed")]
    TablesMissing(String),
    /// A row holds a value that no migration allows.
    #[error("the database holds {0}, which nothing here writes")]
    Corrupt(String),
}

/// Class of an outage of the database. The answer to a caller depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// There was a write conflict, or another transaction held a lock.
    Busy,
    /// The database does not answer.
    Unreachable,
    /// No connection was available in time.
    NoConnection,
    /// The database is out of connections or memory.
    Exhausted,
    /// The work exceeded its time limit.
    TooSlow,
    /// The database cannot write.
    Unwritable,
}

impl StorageError {
    /// Returns the error of work that waited too long for other work of this process.
    pub fn waited_too_long() -> Self {
        Self::Busy(DbErr::Custom("the work waited for other work of this process".to_owned()))
    }

    /// Returns true if the database cannot serve any call, so that calls need not try. A database without a free
    /// session still serves those that are open, and is not lost.
    pub fn is_lost(&self) -> bool {
        matches!(self.outage(), Some(Outage::Unreachable | Outage::TooSlow))
    }

    /// Returns the class of the error; `None` if the database refused the statement or holds values that it must not
    /// hold.
    pub fn outage(&self) -> Option<Outage> {
        match self {
            Self::Conflict(_) | Self::Busy(_) | Self::CatalogMoved => Some(Outage::Busy),
            Self::Disconnected(_) | Self::Unavailable(_) | Self::Lost => Some(Outage::Unreachable),
            Self::NoConnection(_) => Some(Outage::NoConnection),
            Self::Exhausted(_) => Some(Outage::Exhausted),
            Self::TooSlow(_) | Self::TimedOut => Some(Outage::TooSlow),
            Self::Unwritable(_) => Some(Outage::Unwritable),
            Self::Failed(_)
            | Self::SharedSessions
            | Self::OtherSchema(_)
            | Self::NewerSchema(_)
            | Self::OldSchema(_)
            | Self::NoCitus
            | Self::TablesMissing(_)
            | Self::Corrupt(_) => None,
        }
    }

    /// Returns what an operator can do about a database that cannot be opened; empty when the causes say it.
    pub fn advice(&self) -> &'static str {
        let (Self::Unavailable(error)
        | Self::Disconnected(error)
        | Self::Failed(error)
        | Self::Unwritable(error)
        | Self::Exhausted(error)) = self
        else {
            return "";
        };
        let (DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))) = error
        else {
            return "";
        };
        match &**error {
            SqlxError::Io(error) => match error.kind() {
                ErrorKind::ConnectionRefused => "nothing listens there: start the server, or correct host and port",
                ErrorKind::PermissionDenied => "give this user the rights on the file and its folder",
                ErrorKind::NotFound => "create the folder for a new database, or name one that exists",
                _ => "check the host, the port and the network between",
            },
            SqlxError::Tls(_) => "check sslmode and sslrootcert in the URL, and the certificate of the server",
            SqlxError::Database(error) => {
                let code = error.code().unwrap_or_default();
                if error.try_downcast_ref::<PgDatabaseError>().is_some() {
                    of_refusal(&code)
                } else {
                    of_file(code.parse().unwrap_or_default())
                }
            }
            _ => "",
        }
    }

    /// Returns true for a connection that could not be opened because the server of the database is not reachable, starts,
    /// stops, or has no session left: it may come up. Wrong credentials and a missing database do not pass by
    /// themselves, and neither does anything about a file of SQLite.
    pub fn may_come_up(&self) -> bool {
        let (Self::Unavailable(error) | Self::Disconnected(error) | Self::NoConnection(error)) = self else {
            return matches!(self, Self::TimedOut | Self::Exhausted(_));
        };
        let (DbErr::Conn(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
            return false;
        };
        match &**error {
            SqlxError::Io(_) | SqlxError::PoolTimedOut => true,
            SqlxError::Database(error) => {
                let code = error.code().unwrap_or_default();
                error.try_downcast_ref::<PgDatabaseError>().is_some()
                    && (code.starts_with("57P") || code.starts_with("53") || code.starts_with("08"))
            }
            _ => false,
        }
    }

    /// Returns true if the database as a whole did not serve, whatever the statement was.
    pub fn is_unavailable(&self) -> bool {
        self.outage().is_some_and(|outage| outage != Outage::Busy)
    }

    /// Returns true if the same work may succeed later.
    pub fn may_pass(&self) -> bool {
        self.outage().is_some()
    }
}

/// Requires that all expected rows were written. Fewer are written when another process changed something in between.
///
/// # Errors
/// Returns [`StorageError::Conflict`] if fewer were written.
pub(super) fn all_of(done: usize, wanted: usize, otherwise: DbErr) -> Result<(), StorageError> {
    if done == wanted { Ok(()) } else { Err(StorageError::Conflict(otherwise)) }
}

impl From<DbErr> for StorageError {
    fn from(error: DbErr) -> Self {
        match ErrorClass::of(&error) {
            ErrorClass::Conflict => Self::Conflict(error),
            ErrorClass::Disconnected => Self::Disconnected(error),
            ErrorClass::Busy => Self::Busy(error),
            ErrorClass::Unavailable => Self::Unavailable(error),
            ErrorClass::NoConnection => Self::NoConnection(error),
            ErrorClass::Exhausted => Self::Exhausted(error),
            ErrorClass::TooSlow => Self::TooSlow(error),
            ErrorClass::Unwritable => Self::Unwritable(error),
            ErrorClass::Failed => Self::Failed(error),
        }
    }
}

/// Returns what to do about a `SQLSTATE` with which PostgreSQL refuses a connection or a migration.
fn of_refusal(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => "correct the user or the password, or let pg_hba.conf admit it",
        "3D000" => "create the database (createdb), or correct its name",
        "42501" => "grant the role its rights, see docs/roles.sql, or migrate with the owner of the tables",
        "53300" => "raise max_connections of the server, or lower --writers and --database-connections",
        "57P03" => "wait until the server has started",
        _ => "",
    }
}

/// Returns what to do about a result code of SQLite, which has its class in the low byte.
fn of_file(code: i32) -> &'static str {
    match code & 0xff {
        8 => "give this user the right to write the file and its folder",
        13 => "free space on the disk",
        14 => "name a file, not a folder; create its folder, and give this user the right to write there",
        26 => "the file is of another program: name another file",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_for_a_lock_may_pass_and_does_not_make_the_database_unavailable() {
        let error = || DbErr::Custom("cause".to_owned());
        for (error, may_pass, unavailable) in [
            (StorageError::Busy(error()), true, false),
            (StorageError::Conflict(error()), true, false),
            (StorageError::NoConnection(error()), true, true),
            (StorageError::TimedOut, true, true),
            (StorageError::Failed(error()), false, false),
        ] {
            assert_eq!((error.may_pass(), error.is_unavailable()), (may_pass, unavailable), "{error}");
        }
    }
}
