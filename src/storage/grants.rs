//! Writing what a batch was granted.
//!
//! Every process writes the counts first and the instances then, each in the order of their keys: two batches that write
//! about the same customers wait for one another, and never in a circle.

use std::sync::OnceLock;

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::{ConnectionTrait, DbErr, Statement, Value};

use super::changes::all_of;
use super::facts::{
    AUDIENCES, CUSTOMERS, EARNINGS, USAGE_COLUMNS, USAGE_KEY, holders, of_customers, of_earnings, write_criteria,
};
use super::import::promotion_rows;
use super::org_owned::{Insertion, Lookup, Present, RowValues, Table};
use super::statement::{Dialect, Rows, WANTED, query_of_lists};
use super::wallet::{Grants, Wanted, of_driver};
use super::{StorageError, Transaction, statement};
use crate::earning::{Details, Grant, Instance};

/// Columns of the wallet behind the organization.
const COLUMNS: &str = "customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal, \
     earned_from_type, event_time_ms, valid_till_ms, granted_at_ms";
/// Further columns, where an earning of the batch has details.
const DETAILS: [&str; 3] = ["event_type", "event_payload", "supplementary_criteria"];

/// The check `cap_usage_used_within_cap` refuses what would pass the cap.
const ADD_USAGE: Insertion<'_> = Insertion {
    table: Table::CapUsage,
    columns: USAGE_COLUMNS,
    values: "customer_id, promotion_id, granted, cap, counted_at_ms",
    present: Present::Changed { key: USAGE_KEY, set: "used = {table}.used + excluded.used, cap = excluded.cap" },
    rest: "",
};

/// Says of promotions that something of them was earned.
const MARK_EARNED: Insertion<'_> = Insertion {
    table: Table::EarnedMarks,
    columns: "promotion_id",
    values: "promotion_id",
    present: Present::Kept,
    rest: "",
};

/// Most rows of one `INSERT` on SQLite, which takes 32,766 values in a statement.
const MAX_INSERT_ROWS: usize = 1_024;

/// A row of the wallet: the grant, which instance of the earning it is, and the instance.
type Row<'a> = (&'a Grant, u32, &'a Instance);

/// The rows to write, in the order of their keys.
fn rows(grants: &Grants) -> Vec<Row<'_>> {
    let mut sorted: Vec<_> = grants.grants.iter().collect();
    sorted.sort_by(|one, other| (&one.key, one.first_ordinal).cmp(&(&other.key, other.first_ordinal)));
    let mut rows = Vec::new();
    for grant in sorted {
        rows.extend((grant.first_ordinal..).zip(&grant.instances).map(|(ordinal, each)| (grant, ordinal, each)));
    }
    rows
}

/// What is added to the counts under caps.
fn usage(grants: &Grants, now_ms: i64) -> Rows<'static> {
    holders(grants.under_cap.keys())
        .integers("granted", grants.under_cap.values().map(|(granted, _)| i64::from(*granted)))
        .integers("cap", grants.under_cap.values().map(|(_, cap)| i64::from(*cap)))
        .integers("counted_at_ms", grants.under_cap.iter().map(|_| now_ms))
}

/// The promotions of which something is earned for the first time.
fn first_of(grants: &Grants) -> Rows<'static> {
    promotion_rows(grants.first_of.iter().copied())
}

/// The details of an earning are kept on its first instance.
fn details(grant: &Grant, ordinal: u32) -> Option<&Details> {
    grant.details.as_deref().filter(|_| ordinal == 1)
}

/// Whether there are any to write.
fn any_details(rows: &[Row<'_>]) -> bool {
    rows.iter().any(|(grant, ordinal, _)| details(grant, *ordinal).is_some())
}

/// Writes to PostgreSQL, durably: one statement, which is a transaction by itself.
///
/// `COPY` would cost the database less, but the driver sends its end in a packet of its own, which waits for the other
/// side to acknowledge the one before (Nagle's algorithm): 40 ms.
pub(super) async fn save(connection: &mut PgConnection, grants: &Grants, now_ms: i64) -> Result<(), StorageError> {
    // With nothing to depend on it is written.
    save_if(connection, (&Wanted::default(), grants), now_ms).await.map(drop)
}

/// What must be so for a batch to be written: a list, what it is looked up in, and whether all of it must be found, or
/// none.
const CONDITIONS: [(&str, Lookup, bool); 3] = [
    ("the_customers", CUSTOMERS, true),
    ("the_audiences", AUDIENCES, true),
    ("the_refused", Lookup { answers: "", ..EARNINGS }, false),
];

/// The statements, for each choice of lists. Parts that a batch has no use for are left out, as the engine would prepare
/// to run them nevertheless.
static TEXTS: [OnceLock<String>; 64] = [const { OnceLock::new() }; 64];

/// Writes to PostgreSQL, durably, if all customers and audiences of `wanted` are found, and of the earnings that nothing
/// is written of none. Whether it was.
pub(super) async fn save_if(
    connection: &mut PgConnection,
    (wanted, grants): (&Wanted, &Grants),
    now_ms: i64,
) -> Result<bool, StorageError> {
    let (rows, refused) = (rows(grants), grants.refused(wanted));
    let criteria = criteria(&rows);
    let mut lists = vec![(WANTED, list(&rows, &criteria, now_ms))];
    let mut text = if any_details(&rows) { 16 } else { 0 };
    if !grants.under_cap.is_empty() {
        text |= 1;
        lists.push(("usage", usage(grants, now_ms)));
    }
    if !grants.first_of.is_empty() {
        text |= 32;
        lists.push(("first_of", first_of(grants)));
    }
    let [(the_customers, ..), (the_audiences, ..), (the_refused, ..)] = CONDITIONS;
    if !wanted.customers.is_empty() {
        text |= 2;
        lists.push((the_customers, of_customers(&wanted.customers)));
    }
    if !wanted.limited.is_empty() {
        text |= 4;
        lists.push((the_audiences, holders(&wanted.limited)));
    }
    if !refused.is_empty() {
        text |= 8;
        lists.push((the_refused, of_earnings(&refused)));
    }
    let written = query_of_lists(&TEXTS[text], lists, write_body).execute(connection).await.map_err(of_driver)?;
    Ok(written.rows_affected() == rows.len() as u64)
}

/// The counts are written before the instances, in whichever order the engine would go about it.
fn write_body(lists: &[(&str, Rows<'_>)]) -> String {
    let has = |list: &str| lists.iter().any(|(name, _)| *name == list);
    let with_details = lists.iter().any(|(name, rows)| *name == WANTED && rows.has(DETAILS[0]));
    let insert = |condition: &str| insert_list(with_details, condition, (Present::Refused, ""));
    let conditions = CONDITIONS.iter().filter(|(list, ..)| has(list)).map(|(list, lookup, all)| {
        let found = lookup.body_of(list, Dialect::Postgres);
        let wanted = if *all { format!("(SELECT count(*) FROM {list})") } else { "0".to_owned() };
        format!("(SELECT count(*) FROM ({found}) AS found) = {wanted}")
    });
    let conditions = conditions.collect::<Vec<_>>().join(" AND ");
    let (mut ctes, mut may) = (String::new(), "true");
    if !conditions.is_empty() {
        ctes = format!(", may AS MATERIALIZED (SELECT {conditions} AS yes)");
        may = "(SELECT yes FROM may)";
    }
    if has("first_of") {
        ctes = format!("{ctes}, marked AS ({})", MARK_EARNED.body_of("first_of", may));
    }
    if has("usage") {
        let count = Insertion { rest: "RETURNING 1", ..ADD_USAGE }.body_of("usage", may);
        let insert = insert(&format!("{may} AND (SELECT count(*) FROM counted) >= 0"));
        return format!("{ctes}, counted AS ({count}) {insert}");
    }
    format!("{ctes} {}", insert(may))
}

/// The insertion of a list, whose columns are named as the wallet's, provided that the condition holds.
fn insert_list(with_details: bool, condition: &str, (present, rest): (Present, &'static str)) -> String {
    let (mut columns, mut values) = (COLUMNS.to_owned(), COLUMNS.to_owned());
    for column in DETAILS.iter().filter(|_| with_details) {
        columns = format!("{columns}, {column}");
        // A list has no absent texts; what is there is not empty.
        values = format!("{values}, NULLIF({column}, '')");
    }
    let insertion = Insertion { table: Table::EarnedPromotions, columns: &columns, values: &values, present, rest };
    insertion.body_of(WANTED, condition)
}

/// The supplementary programme of each row, as a text.
fn criteria(rows: &[Row<'_>]) -> Vec<String> {
    if !any_details(rows) {
        return Vec::new();
    }
    let of = |grant, ordinal| details(grant, ordinal).and_then(|details| details.supplementary_criteria);
    rows.iter().map(|(grant, ordinal, _)| of(grant, *ordinal).map(write_criteria).unwrap_or_default()).collect()
}

fn list<'a>(rows: &[Row<'a>], criteria: &'a [String], now_ms: i64) -> Rows<'a> {
    let of = |text: fn(&'a Grant) -> &'a str| rows.iter().map(move |(grant, ..)| text(grant));
    let list = Rows::of_orgs(rows.iter().map(|(grant, ..)| grant.key.org_id))
        .integers("customer_id", rows.iter().map(|(grant, ..)| grant.key.customer_id.0))
        .ids("earn_id", rows.iter().map(|(.., instance)| instance.earn_id))
        .ids("promotion_id", rows.iter().map(|(grant, ..)| grant.key.promotion_id))
        .texts("event_id", of(|grant| &grant.key.event_id))
        .texts("earned_from_id", of(|grant| &grant.key.earned_from_id))
        .integers("ordinal", rows.iter().map(|(_, ordinal, _)| i64::from(*ordinal)))
        .texts("earned_from_type", of(|grant| grant.earned_from_type.name()))
        .integers("event_time_ms", rows.iter().map(|(grant, ..)| grant.event_time_ms))
        .integers("valid_till_ms", rows.iter().map(|(.., instance)| instance.valid_till_ms))
        .integers("granted_at_ms", rows.iter().map(|_| now_ms));
    if criteria.is_empty() {
        return list;
    }
    let of = |text: fn(&'a Details) -> Option<&'a str>| {
        rows.iter().map(move |(grant, ordinal, _)| details(grant, *ordinal).and_then(text).unwrap_or_default())
    };
    let [event_type, event_payload, supplementary_criteria] = DETAILS;
    list.texts(event_type, of(|details| details.event_type.as_deref()))
        .texts(event_payload, of(|details| details.event_payload.as_deref()))
        .texts(supplementary_criteria, criteria.iter().map(String::as_str))
}

impl Transaction {
    /// Writes to SQLite, and to Citus, durably. On Citus counts and instances are in other places, which one statement
    /// cannot write.
    pub(super) async fn save(self, grants: &Grants, now_ms: i64) -> Result<(), StorageError> {
        if !grants.first_of.is_empty() {
            statement::execute(&self.0, &MARK_EARNED.body(), first_of(grants)).await?;
        }
        if !grants.under_cap.is_empty() {
            statement::execute(&self.0, &ADD_USAGE.body(), usage(grants, now_ms)).await?;
        }
        let rows = rows(grants);
        if self.1 == Dialect::Citus {
            // It tells of a row that is there already without saying so in the error's code: the rows that are not are
            // written, and counted; without RETURNING it would count what was to be written.
            let insert = insert_list(any_details(&rows), "true", (Present::Kept, "RETURNING ordinal"));
            let written = statement::query(&self.0, &insert, list(&rows, &criteria(&rows), now_ms)).await?;
            all_of(written.len(), rows.len(), DbErr::RecordNotInserted)?;
            return self.commit().await;
        }
        let mut rows = rows.as_slice();
        // Value by value: taking them out of a list in JSON costs SQLite more than the insertion itself. The rows go in
        // powers of two, so that there are few statements, and few to prepare.
        while !rows.is_empty() {
            let (now, later) = rows.split_at(MAX_INSERT_ROWS.min(1 << rows.len().ilog2()));
            rows = later;
            self.0.execute_raw(insert_values(now, now_ms)).await?;
        }
        self.commit().await
    }
}

/// The insertion of these rows.
fn insert_values(rows: &[Row<'_>], now_ms: i64) -> Statement {
    let with_details = any_details(rows);
    let mut columns = COLUMNS.to_owned();
    for column in DETAILS.iter().filter(|_| with_details) {
        columns = format!("{columns}, {column}");
    }
    let mut values = RowValues::with_capacity(rows.len() * 14);
    for (grant, ordinal, instance) in rows {
        let row = [
            Value::from(grant.key.customer_id.0),
            instance.earn_id.to_string().into(),
            grant.key.promotion_id.to_string().into(),
            grant.key.event_id.as_ref().into(),
            grant.key.earned_from_id.as_ref().into(),
            i64::from(*ordinal).into(),
            grant.earned_from_type.name().into(),
            grant.event_time_ms.into(),
            instance.valid_till_ms.into(),
            now_ms.into(),
        ];
        let details = with_details.then(|| {
            let details = details(grant, *ordinal).cloned().unwrap_or_default();
            [
                Value::from(details.event_type.map(String::from)),
                details.event_payload.map(String::from).into(),
                details.supplementary_criteria.map(write_criteria).into(),
            ]
        });
        values.push(grant.key.org_id, row.into_iter().chain(details.into_iter().flatten()));
    }
    values.insertion(Table::EarnedPromotions, &columns)
}
