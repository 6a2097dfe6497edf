//! What can go wrong with the database, as callers can act on it.
//!
//! What an error means is read from `SQLSTATE` and constraint names (PostgreSQL) or result codes (SQLite), never from
//! the text of a message.

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::{DbErr, RuntimeErr};

/// Constraints of the wallet that two processes meet when they write about the same customer at the same time.
const RACED_CONSTRAINTS: [&str; 5] = [
    "earned_promotions_earning_key",
    "earned_promotions_earn_id",
    "cap_usage_pkey",
    "cap_usage_used_within_cap",
    "redemptions_pkey",
];

/// An error of the database.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// What is written is there already, or a cap was used up by somebody else at the same time: this transaction is
    /// undone. Reading and deciding again will do.
    #[error("another transaction was faster")]
    Conflict(#[source] DbErr),
    /// The connection broke, and its transaction is undone, unless it was committing. Another one may do.
    #[error("the connection to the database broke")]
    Disconnected(#[source] DbErr),
    /// It could not be reached, or did not get to it in time. Trying again may help.
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// It did not answer for as long as a transaction may take.
    #[error("the database did not answer in time")]
    TimedOut,
    /// It did not answer a moment ago, and is not asked again until it answers a probe.
    #[error("the database does not answer")]
    Lost,
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
        matches!(self, Self::Unavailable(_) | Self::Disconnected(_) | Self::TimedOut | Self::Lost)
    }

    /// Whether trying again may help whoever only asked, or decides anew: others were faster.
    pub fn may_pass(&self) -> bool {
        self.is_unavailable() || matches!(self, Self::Conflict(_))
    }
}

impl From<DbErr> for StorageError {
    fn from(error: DbErr) -> Self {
        match kind(&error) {
            Kind::Conflict => Self::Conflict(error),
            Kind::Disconnected => Self::Disconnected(error),
            Kind::Unavailable => Self::Unavailable(error),
            Kind::Failed => Self::Failed(error),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Kind {
    Conflict,
    Disconnected,
    Unavailable,
    Failed,
}

fn kind(error: &DbErr) -> Kind {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Kind::Unavailable,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => match &**error {
            SqlxError::Io(_) | SqlxError::Protocol(_) | SqlxError::WorkerCrashed => Kind::Disconnected,
            SqlxError::PoolTimedOut | SqlxError::PoolClosed => Kind::Unavailable,
            SqlxError::Database(error) => of_database(&**error),
            _ => Kind::Failed,
        },
        _ => Kind::Failed,
    }
}

fn of_database(error: &dyn DatabaseError) -> Kind {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<PgDatabaseError>().is_some() {
        let constraint = error.constraint().unwrap_or_default();
        of_sqlstate(&code, constraint)
    } else {
        match code.parse::<i32>() {
            // A unique index, a primary key.
            Ok(2067 | 1555) => Kind::Conflict,
            // SQLite's primary result codes, in the low byte: 5 busy, 6 locked, 10 I/O, 13 full, 14 cannot open.
            Ok(code) if matches!(code & 0xff, 5 | 6 | 10 | 13 | 14) => Kind::Unavailable,
            _ => Kind::Failed,
        }
    }
}

/// What a `SQLSTATE` of PostgreSQL means here.
fn of_sqlstate(code: &str, constraint: &str) -> Kind {
    match code {
        // A unique or check constraint. Citus passes what a worker says on without the constraint's name, or with the
        // number of the shard behind it.
        "23505" | "23514"
            if constraint.is_empty() || RACED_CONSTRAINTS.iter().any(|name| constraint.starts_with(name)) =>
        {
            Kind::Conflict
        }
        // Serialization failure, deadlock.
        "40001" | "40P01" => Kind::Conflict,
        // Terminated, crashed, starting or stopping, the database dropped; idle for too long.
        "57P01" | "57P02" | "57P03" | "57P04" | "25P03" | "25P04" => Kind::Disconnected,
        // Cancelled (statement_timeout), lock not available (lock_timeout), a standby that was primary.
        "57014" | "55P03" | "25006" => Kind::Unavailable,
        // Connection exception, wrong credentials, no such database, out of resources.
        _ => match code.get(..2) {
            Some("08") => Kind::Disconnected,
            Some("28" | "3D" | "53" | "58") => Kind::Unavailable,
            _ => Kind::Failed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlstate_and_a_constraint_say_what_may_help() {
        for (code, constraint, kind) in [
            ("23505", "earned_promotions_earning_key", Kind::Conflict),
            ("23505", "earned_promotions_earning_key_102040", Kind::Conflict),
            ("23514", "cap_usage_used_within_cap", Kind::Conflict),
            ("23505", "", Kind::Conflict),
            ("23505", "promotions_active_name", Kind::Failed),
            ("23514", "earned_promotions_ordinal_check", Kind::Failed),
            ("40P01", "", Kind::Conflict),
            ("57P01", "", Kind::Disconnected),
            ("08006", "", Kind::Disconnected),
            ("57014", "", Kind::Unavailable),
            ("53300", "", Kind::Unavailable),
            ("42P01", "", Kind::Failed),
            ("", "", Kind::Failed),
        ] {
            assert_eq!(of_sqlstate(code, constraint), kind, "{code} {constraint}");
        }
    }
}
