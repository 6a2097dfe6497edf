//! Writing what a batch was granted.
//!
//! Every process writes the counts first and the instances then, each in the order of their keys: two batches that write
//! about the same customers wait for one another, and never in a circle.

use std::sync::OnceLock;

use sea_orm::sqlx::Connection;
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::statement::{Dialect, Rows, query_of_lists};
use super::wallet::{ADD_USAGE, Grants, holders, of_driver};
use super::{StorageError, Transaction, statement};
use crate::earning::{Grant, Instance};

const COLUMNS: &str = "org_id, customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal, \
     earned_from_type, event_time_ms, valid_till_ms, granted_at_ms, event_payload";

/// Most rows of one `INSERT` on SQLite, which takes 32,766 values in a statement.
const MAX_INSERT_ROWS: usize = 1_024;

/// A row of the wallet: the grant, which instance of the earning it is, and the instance.
type Row<'a> = (&'a Grant, u32, &'a Instance);

/// The rows to write, in the order of their keys.
pub(super) fn rows(grants: &Grants) -> Vec<Row<'_>> {
    let mut sorted: Vec<_> = grants.grants.iter().collect();
    sorted.sort_by(|one, other| (&one.key, one.first_ordinal).cmp(&(&other.key, other.first_ordinal)));
    let mut rows = Vec::new();
    for grant in sorted {
        rows.extend((grant.first_ordinal..).zip(&grant.instances).map(|(ordinal, each)| (grant, ordinal, each)));
    }
    rows
}

/// What is added to the counts under caps.
pub(super) fn usage(grants: &Grants, now_ms: i64) -> Rows<'static> {
    holders(grants.under_cap.keys())
        .integers("granted", grants.under_cap.values().map(|(granted, _)| i64::from(*granted)))
        .integers("cap", grants.under_cap.values().map(|(_, cap)| i64::from(*cap)))
        .integers("counted_at_ms", grants.under_cap.iter().map(|_| now_ms))
}

/// The payload of an earning is kept on its first instance.
fn payload(grant: &Grant, ordinal: u32) -> Option<&str> {
    grant.event_payload.as_deref().filter(|_| ordinal == 1)
}

/// The statements: without and with counts under caps.
static TEXTS: [OnceLock<String>; 2] = [const { OnceLock::new() }; 2];

/// Writes to PostgreSQL, durably: one statement, which is a transaction by itself.
///
/// `COPY` would cost the database less, but the driver sends its end in a packet of its own, which waits for the other
/// side to acknowledge the one before (Nagle's algorithm): 40 ms.
pub async fn save(
    connection: &mut PgConnection,
    dialect: Dialect,
    grants: &Grants,
    now_ms: i64,
) -> Result<(), StorageError> {
    let rows = rows(grants);
    let written = list(&rows, now_ms);
    if dialect == Dialect::Citus {
        return save_on_citus(connection, grants, (written, rows.len()), now_ms).await;
    }
    let insert = if grants.under_cap.is_empty() {
        query_of_lists(&TEXTS[0], vec![("wanted", written)], |_| insert_list())
    } else {
        query_of_lists(&TEXTS[1], vec![("wanted", written), ("usage", usage(grants, now_ms))], |_| {
            // What reads of the counts comes after them.
            let count = ADD_USAGE.replace("FROM wanted", "FROM usage");
            format!(", counted AS ({count} RETURNING 1) {} WHERE (SELECT count(*) FROM counted) >= 0", insert_list())
        })
    };
    insert.execute(connection).await.map(drop).map_err(of_driver)
}

/// Citus tells of a row that is there already without saying so in the error's code: the rows that are not are written,
/// and counted. Counts and instances are in other places there, which one statement cannot write.
async fn save_on_citus(
    connection: &mut PgConnection,
    grants: &Grants,
    (written, rows): (Rows<'_>, usize),
    now_ms: i64,
) -> Result<(), StorageError> {
    let mut transaction = connection.begin().await.map_err(of_driver)?;
    if !grants.under_cap.is_empty() {
        usage(grants, now_ms).query(ADD_USAGE).execute(&mut *transaction).await.map_err(of_driver)?;
    }
    // Without RETURNING it would count what was to be written.
    let insert = insert_list() + " ON CONFLICT DO NOTHING RETURNING ordinal";
    let done = written.query(&insert).fetch_all(&mut *transaction).await.map_err(of_driver)?;
    if done.len() != rows {
        return Err(StorageError::Conflict(DbErr::RecordNotInserted));
    }
    transaction.commit().await.map_err(of_driver)
}

/// The insertion of a list, whose columns are named as the wallet's.
pub(super) fn insert_list() -> String {
    let values = COLUMNS.replace("event_payload", "NULLIF(event_payload, '')");
    format!("INSERT INTO earned_promotions ({COLUMNS}) SELECT {values} FROM wanted")
}

pub(super) fn list<'a>(rows: &[Row<'a>], now_ms: i64) -> Rows<'a> {
    let of = |text: fn(&'a Grant) -> &'a str| rows.iter().map(move |(grant, ..)| text(grant));
    Rows::default()
        .integers("org_id", rows.iter().map(|(grant, ..)| grant.key.org_id.0))
        .integers("customer_id", rows.iter().map(|(grant, ..)| grant.key.customer_id.0))
        .ids("earn_id", rows.iter().map(|(.., instance)| instance.earn_id))
        .ids("promotion_id", rows.iter().map(|(grant, ..)| grant.key.promotion_id))
        .texts("event_id", of(|grant| &grant.key.event_id))
        .texts("earned_from_id", of(|grant| &grant.key.earned_from_id))
        .integers("ordinal", rows.iter().map(|(_, ordinal, _)| i64::from(*ordinal)))
        .texts("earned_from_type", of(|grant| grant.earned_from_type.name()))
        .integers("event_time_ms", rows.iter().map(|(grant, ..)| grant.event_time_ms))
        .integers("valid_till_ms", rows.iter().map(|(.., instance)| instance.valid_till_ms))
        .integers("granted_at_ms", rows.iter().map(|_| now_ms))
        // A list has no absent texts; no payload is empty.
        .texts("event_payload", rows.iter().map(|(grant, ordinal, _)| payload(grant, *ordinal).unwrap_or_default()))
}

impl Transaction {
    /// Writes to SQLite.
    pub(super) async fn save(&self, grants: &Grants, now_ms: i64) -> Result<(), StorageError> {
        if !grants.under_cap.is_empty() {
            statement::execute(&self.0, ADD_USAGE, usage(grants, now_ms)).await?;
        }
        let rows = rows(grants);
        let mut rows = rows.as_slice();
        // Value by value: taking them out of a list in JSON costs SQLite more than the insertion itself. The rows go in
        // powers of two, so that there are few statements, and few to prepare.
        while !rows.is_empty() {
            let (now, later) = rows.split_at(MAX_INSERT_ROWS.min(1 << rows.len().ilog2()));
            rows = later;
            self.0.execute_raw(insert_values(now, now_ms)).await?;
        }
        Ok(())
    }
}

/// The insertion of these rows.
fn insert_values(rows: &[Row<'_>], now_ms: i64) -> Statement {
    let values = rows.iter().flat_map(|(grant, ordinal, instance)| -> [Value; 12] {
        [
            grant.key.org_id.0.into(),
            grant.key.customer_id.0.into(),
            instance.earn_id.to_string().into(),
            grant.key.promotion_id.to_string().into(),
            grant.key.event_id.as_ref().into(),
            grant.key.earned_from_id.as_ref().into(),
            i64::from(*ordinal).into(),
            grant.earned_from_type.name().into(),
            grant.event_time_ms.into(),
            instance.valid_till_ms.into(),
            now_ms.into(),
            payload(grant, *ordinal).map(str::to_owned).into(),
        ]
    });
    let places = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; rows.len()].join(", ");
    let sql = format!("INSERT INTO earned_promotions ({COLUMNS}) VALUES {places}");
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}
