//! The class of an error of the database library, which says what may help.
//!
//! The class is derived from `SQLSTATE` and constraint names (PostgreSQL) or from result codes (SQLite), never from the
//! text of a message.

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};

/// Constraints that a write violates when another process writes for the same customer at the same time.
const RACED_CONSTRAINTS: [&str; 5] = [
    "earned_promotions_earning_key",
    "earned_promotions_earn_id",
    "cap_usage_pkey",
    "cap_usage_used_within_cap",
    "redemptions_pkey",
];

/// The class of an error, of the same name as in [`StorageError`](super::error::StorageError).
#[derive(Debug, PartialEq)]
pub(super) enum ErrorClass {
    Conflict,
    Disconnected,
    Busy,
    Unavailable,
    NoConnection,
    Exhausted,
    TooSlow,
    Unwritable,
    Failed,
}

impl ErrorClass {
    /// Returns the class of an error.
    pub(super) fn of(error: &DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => ErrorClass::NoConnection,
            DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) | DbErr::Conn(_) => ErrorClass::Unavailable,
            DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => match &**error {
                SqlxError::Io(_) | SqlxError::Protocol(_) | SqlxError::WorkerCrashed => ErrorClass::Disconnected,
                SqlxError::PoolTimedOut => ErrorClass::NoConnection,
                SqlxError::PoolClosed => ErrorClass::Unavailable,
                SqlxError::Database(error) => of_database(&**error),
                _ => ErrorClass::Failed,
            },
            _ => ErrorClass::Failed,
        }
    }
}

fn of_database(error: &dyn DatabaseError) -> ErrorClass {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<PgDatabaseError>().is_some() {
        let constraint = error.constraint().unwrap_or_default();
        of_sqlstate(&code, constraint)
    } else {
        code.parse().map_or(ErrorClass::Failed, of_result_code)
    }
}

/// Classifies an extended result code of SQLite.
fn of_result_code(code: i32) -> ErrorClass {
    match (code, code & 0xff) {
        // A unique index or a primary key is violated.
        (2067 | 1555, _) => ErrorClass::Conflict,
        // The primary result code is in the low byte: busy or locked.
        (_, 5 | 6) => ErrorClass::Busy,
        // The file is read-only, an I/O error occurred, or the disk is full.
        (_, 8 | 10 | 13) => ErrorClass::Unwritable,
        // The file cannot be opened.
        (_, 14) => ErrorClass::Unavailable,
        _ => ErrorClass::Failed,
    }
}

/// Classifies a `SQLSTATE` of PostgreSQL.
fn of_sqlstate(code: &str, constraint: &str) -> ErrorClass {
    match code {
        // A unique or check constraint is violated. Citus reports the violation of a worker without the constraint's
        // name, or with the number of the shard after it.
        "23505" | "23514"
            if constraint.is_empty() || RACED_CONSTRAINTS.iter().any(|name| constraint.starts_with(name)) =>
        {
            ErrorClass::Conflict
        }
        // Serialization failure, or deadlock.
        "40001" | "40P01" => ErrorClass::Conflict,
        // The session was terminated, the server crashed, starts or stops, the database was dropped, or the session was
        // idle too long.
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04" => ErrorClass::Disconnected,
        // The statement was canceled (statement_timeout).
        "57014" => ErrorClass::TooSlow,
        // The lock is not available (lock_timeout).
        "55P03" => ErrorClass::Busy,
        // The disk is full, or the server became a standby.
        "53100" | "25006" => ErrorClass::Unwritable,
        // By class: connection exception; wrong credentials or no such database; no connections or memory left; I/O
        // error.
        _ => match code.get(..2) {
            Some("08") => ErrorClass::Disconnected,
            Some("28" | "3D") => ErrorClass::Unavailable,
            Some("53") => ErrorClass::Exhausted,
            Some("58") => ErrorClass::Unwritable,
            _ => ErrorClass::Failed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlstate_and_a_constraint_say_what_may_help() {
        for (code, constraint, kind) in [
            ("23505", "earned_promotions_earning_key", ErrorClass::Conflict),
            ("23505", "earned_promotions_earning_key_102040", ErrorClass::Conflict),
            ("23514", "cap_usage_used_within_cap", ErrorClass::Conflict),
            ("23505", "", ErrorClass::Conflict),
            ("23505", "promotions_active_name", ErrorClass::Failed),
            ("23514", "earned_promotions_ordinal_check", ErrorClass::Failed),
            ("40P01", "", ErrorClass::Conflict),
            ("57P01", "", ErrorClass::Disconnected),
            ("57P05", "", ErrorClass::Disconnected),
            ("08006", "", ErrorClass::Disconnected),
            ("57014", "", ErrorClass::TooSlow),
            ("55P03", "", ErrorClass::Busy),
            ("53100", "", ErrorClass::Unwritable),
            ("25006", "", ErrorClass::Unwritable),
            ("58030", "", ErrorClass::Unwritable),
            ("53300", "", ErrorClass::Exhausted),
            ("28P01", "", ErrorClass::Unavailable),
            ("42P01", "", ErrorClass::Failed),
            ("", "", ErrorClass::Failed),
        ] {
            assert_eq!(of_sqlstate(code, constraint), kind, "{code} {constraint}");
        }
    }

    #[test]
    fn a_result_code_says_what_may_help() {
        for (code, kind) in [
            (2067, ErrorClass::Conflict),
            (5, ErrorClass::Busy),
            (517, ErrorClass::Busy),
            (6, ErrorClass::Busy),
            (8, ErrorClass::Unwritable),
            (778, ErrorClass::Unwritable),
            (13, ErrorClass::Unwritable),
            (14, ErrorClass::Unavailable),
            (1, ErrorClass::Failed),
        ] {
            assert_eq!(of_result_code(code), kind, "{code}");
        }
    }
}
