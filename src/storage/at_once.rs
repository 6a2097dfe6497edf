//! PostgreSQL: everything that a batch reads in one statement; and, when what is read is as good as it mostly is, all
//! that it writes in the same one.
//!
//! Mostly the customers are known, they are in the audiences, nothing of the kind is recorded yet, and the caps have
//! room. So a batch is decided as if all that were so, and sent to be written provided that it is. Then it is durable
//! after one round trip. If it is not so, nothing is written, and what was read comes back to decide from.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use sea_orm::QueryResult;
use sea_orm::sqlx::postgres::PgConnection;

use super::StorageError;
use super::grants::{self, insert_list};
use super::statement::{Dialect, Lookup, Rows, query_of_lists};
use super::wallet::{
    ADD_USAGE, AUDIENCES, CUSTOMERS, EARNINGS, Found, Grants, USAGE, Wanted, earning_key, holders, of_customers,
    of_driver, of_events, of_row,
};
use crate::earning::EarningKey;

/// Instances that an event earned its customer, up to which all of them are read for a batch that names some: a caller
/// may use one event for everything it ever grants.
const MAX_OF_AN_EVENT: usize = 100;

/// What a row tells of.
const CUSTOMER: i64 = 1;
const AUDIENCE: i64 = 2;
const USED: i64 = 3;
const EARNED: i64 = 4;
const WRITTEN: i64 = 5;

/// All rows have the same columns: behind the place of what was wanted and the kind, three integers and five texts.
const EVENTS: Lookup =
    Lookup { key: &["org_id", "customer_id", "event_id"], most: Some(MAX_OF_AN_EVENT + 1), ..EARNINGS };
const FACTS: [(&str, Lookup); 4] = [
    ("the_events", EVENTS),
    ("the_customers", Lookup { answers: "1, 0, 0, 0, '', '', '', '', ''", ..CUSTOMERS }),
    ("the_audiences", Lookup { answers: "2, 0, 0, 0, '', '', '', '', ''", ..AUDIENCES }),
    ("the_usage", Lookup { answers: "3, t.used, t.counted_at_ms, 0, '', '', '', '', ''", ..USAGE }),
];

/// The statements: to read and to write, for each choice of what is wanted besides events. Parts that a batch has no
/// use for are left out, as the engine would prepare to run them nevertheless.
static TEXTS: [OnceLock<String>; 16] = [const { OnceLock::new() }; 16];

/// The lists of what is to be read, those without rows left out, and the text for them.
fn lists<'a>(wanted: &'a Wanted, events: &[&'a EarningKey]) -> (Vec<(&'static str, Rows<'a>)>, usize) {
    let [of_event, of_customer, of_audience, of_usage] = FACTS.map(|(list, _)| list);
    let mut lists = vec![(of_event, of_events(events))];
    let mut text = 0;
    if !wanted.customers.is_empty() {
        text |= 1;
        lists.push((of_customer, of_customers(&wanted.customers)));
    }
    if !wanted.limited.is_empty() {
        text |= 2;
        lists.push((of_audience, holders(&wanted.limited)));
    }
    if !wanted.capped.is_empty() {
        text |= 4;
        lists.push((of_usage, holders(wanted.capped.keys())));
    }
    (lists, text)
}

fn read_body(lists: &[(&str, Rows<'_>)]) -> String {
    let wanted = FACTS.iter().filter(|(name, _)| lists.iter().any(|(list, _)| list == name));
    let parts: Vec<_> = wanted.map(|(list, lookup)| lookup.body_of(list, Dialect::Postgres)).collect();
    parts.join(" UNION ALL ")
}

/// What is read and counted comes before what is written, in whichever order the engine goes about the rest: the counts
/// are written before the instances.
fn write_body(lists: &[(&str, Rows<'_>)]) -> String {
    let has = |list: &str| lists.iter().any(|(name, _)| *name == list);
    let mut may = format!("NOT EXISTS (SELECT FROM facts WHERE kind = {EARNED})");
    for (list, kind) in [("the_customers", CUSTOMER), ("the_audiences", AUDIENCE)] {
        if has(list) {
            let found = format!("(SELECT count(*) FROM facts WHERE kind = {kind})");
            may = format!("{may} AND {found} = (SELECT count(*) FROM {list})");
        }
    }
    let (mut counted, mut after) = (String::new(), "yes");
    if has("usage") {
        may += " AND NOT EXISTS (
            SELECT FROM usage CROSS JOIN LATERAL (
                SELECT FROM cap_usage AS t
                WHERE t.org_id = usage.org_id AND t.customer_id = usage.customer_id
                    AND t.promotion_id = usage.promotion_id AND t.used + usage.granted > usage.cap
                OFFSET 0) AS t)";
        let count = ADD_USAGE.replace("FROM wanted WHERE true", "FROM usage WHERE (SELECT yes FROM may)");
        counted = format!("counted AS ({count} RETURNING 1),");
        after = "yes AND (SELECT count(*) FROM counted) >= 0";
    }
    format!(
        ", facts AS MATERIALIZED ({read}), may AS MATERIALIZED (SELECT {may} AS yes), {counted}
        written AS ({insert} WHERE (SELECT {after} FROM may))
        SELECT * FROM facts WHERE NOT (SELECT yes FROM may) UNION ALL
        SELECT 0, {WRITTEN}, 0, 0, 0, '', '', '', '', '' FROM may WHERE yes",
        read = read_body(lists),
        insert = insert_list(),
    )
}

/// One earning of each event that is wanted.
fn events(wanted: &Wanted) -> Vec<&EarningKey> {
    let mut events: Vec<_> = wanted.earnings.iter().collect();
    // Side by side: the event comes early in the key.
    events.dedup_by(|one, other| one.event() == other.event());
    events
}

/// Reads all that is wanted.
pub(super) async fn read(connection: &mut PgConnection, wanted: &Wanted) -> Result<Found, StorageError> {
    let events = events(wanted);
    let (lists, text) = lists(wanted, &events);
    let read = query_of_lists(&TEXTS[text], lists, read_body);
    let rows = read.fetch_all(connection).await.map_err(of_driver)?;
    found(wanted, &events, rows.into_iter().map(QueryResult::from))
}

/// Writes `grants` at `now_ms`, durably, if what is wanted is all as it mostly is; else gives what was read.
pub(super) async fn write_or_read(
    connection: &mut PgConnection,
    wanted: &Wanted,
    grants: &Grants,
    now_ms: i64,
) -> Result<Option<Found>, StorageError> {
    let events = events(wanted);
    let (mut lists, text) = lists(wanted, &events);
    let rows = grants::rows(grants);
    lists.push(("wanted", grants::list(&rows, now_ms)));
    if !wanted.capped.is_empty() {
        lists.push(("usage", grants::usage(grants, now_ms)));
    }
    let attempt = query_of_lists(&TEXTS[8 | text], lists, write_body);
    let rows = attempt.fetch_all(connection).await.map_err(of_driver)?;
    let mut rows = rows.into_iter().map(QueryResult::from).peekable();
    // That it was written is told alone.
    if let Some(row) = rows.peek()
        && row.try_get_by_index::<i64>(1)? == WRITTEN
    {
        return Ok(None);
    }
    found(wanted, &events, rows).map(Some)
}

/// What was read, as the rows tell.
fn found(
    wanted: &Wanted,
    events: &[&EarningKey],
    rows: impl Iterator<Item = QueryResult>,
) -> Result<Found, StorageError> {
    let mut found = Found::default();
    let customers: Vec<_> = wanted.customers.iter().copied().collect();
    let audiences: Vec<_> = wanted.limited.iter().copied().collect();
    let capped: Vec<_> = wanted.capped.keys().copied().collect();
    let mut of_event: BTreeMap<i64, Vec<QueryResult>> = BTreeMap::new();
    for row in rows {
        match row.try_get_by_index(1)? {
            CUSTOMER => drop(found.customers.insert(*of_row(&customers, &row)?)),
            AUDIENCE => drop(found.audiences.insert(*of_row(&audiences, &row)?)),
            USED => {
                let used = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
                found.usage.insert(*of_row(&capped, &row)?, used);
            }
            EARNED => of_event.entry(row.try_get_by_index(0)?).or_default().push(row),
            kind => return Err(StorageError::Corrupt(format!("a fact of kind {kind}"))),
        }
    }
    for rows in of_event.into_values() {
        let Some(event) = rows.first().map(|row| of_row(events, row)).transpose()? else { continue };
        if rows.len() > MAX_OF_AN_EVENT {
            found.unread.extend(wanted.earnings.iter().filter(|key| key.event() == event.event()).cloned());
            continue;
        }
        for row in rows {
            let key = earning_key(event, &row)?;
            if wanted.earnings.contains(&key.0) {
                found.instances.insert(key, row);
            }
        }
    }
    Ok(found)
}
