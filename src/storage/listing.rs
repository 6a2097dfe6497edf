//! What a wallet holds, a page at a time, and single earned promotions.
//!
//! A page is put together from the beginnings of few stretches of the index of the listing, one for each status, and none
//! of it is sorted but these: however much a wallet holds, a page reads no more than it shows.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::QueryResult;

use super::facts::{EARNINGS, details, named, object_id, of_earnings, of_row};
use super::org_owned::{Lookup, Question, Table};
use super::statement::Dialect;
use super::{StorageError, Store, statement};
use crate::earning::change::{Held, InstanceKey, RecordedStatus};
use crate::earning::{CustomerId, Details, EarnedFromType, EarningKey, ObjectId, OrgId};

const COLUMNS: &str = "earn_id, customer_id, promotion_id, event_id, earned_from_id, earned_from_type, earned_status, \
     ordinal, event_time_ms, valid_till_ms, granted_at_ms, event_type, event_payload, supplementary_criteria, \
     transaction_identifier";

/// The details of an earning are on its first instance.
const FIRSTS: Lookup = Lookup {
    answers: "t.event_type, t.event_payload, t.supplementary_criteria",
    condition: "t.ordinal = 1",
    ..EARNINGS
};

/// A stretch of the listing: what has this status and is valid until some moment from `from_ms` to `to_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its status.
    pub status: RecordedStatus,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub from_ms: i64,
    /// Milliseconds since 1970-01-01T00:00:00Z, itself included.
    pub to_ms: i64,
}

/// Which part of a wallet to read.
#[derive(Debug)]
pub struct Part<'a> {
    /// Organization.
    pub org_id: OrgId,
    /// Whose wallet.
    pub customer_id: CustomerId,
    /// Everything in these.
    pub stretches: &'a [Stretch],
    /// Only of these promotions; empty: of all.
    pub promotions: &'a BTreeSet<ObjectId>,
    /// What comes after the one that is valid until then and has this earn id.
    pub after: Option<(i64, ObjectId)>,
    /// How many at most.
    pub limit: usize,
}

/// An earned promotion as the wallet has it.
#[derive(Debug, Clone)]
pub struct WalletRow {
    /// What it is found by.
    pub key: InstanceKey,
    /// What it is of, and what became of it.
    pub held: Held,
    /// The caller's identifier of the event.
    pub event_id: String,
    /// The caller's identifier of the earning within the event.
    pub earned_from_id: String,
    /// How it was earned.
    pub earned_from_type: EarnedFromType,
    /// When it was granted, milliseconds since 1970-01-01T00:00:00Z.
    pub granted_at_ms: i64,
    /// Those of its earning.
    pub details: Details,
}

impl WalletRow {
    /// The name of its earning.
    fn earning_key(&self) -> EarningKey {
        EarningKey {
            org_id: self.key.org_id,
            customer_id: self.key.customer_id,
            event_id: self.event_id.as_str().into(),
            promotion_id: self.held.promotion_id,
            earned_from_id: self.earned_from_id.as_str().into(),
        }
    }
}

impl Store {
    /// What the part holds: what is valid the longest first, and by earn id where that is the same.
    ///
    /// # Errors
    /// Of the database.
    pub async fn wallet(&self, part: &Part<'_>) -> Result<Vec<WalletRow>, StorageError> {
        let (question, order) = listing(part, self.dialect);
        let rows = question.ask(&self.database, &order).await?;
        self.complete(part.org_id, &rows).await
    }

    /// The earned promotion of this earn id.
    ///
    /// # Errors
    /// Of the database.
    pub async fn earned_promotion(&self, org_id: OrgId, earn_id: ObjectId) -> Result<Option<WalletRow>, StorageError> {
        let mut question = Question::about(org_id);
        let earn_id = question.place(earn_id.to_string());
        // By the index of earn ids: the second condition is that of the index on PostgreSQL.
        let condition = format!("earn_id = {earn_id} AND earn_id >= ''");
        question.select((COLUMNS, Table::EarnedPromotions), "", &condition);
        let rows = question.ask(&self.database, "LIMIT 1").await?;
        Ok(self.complete(org_id, &rows).await?.pop())
    }

    /// Whether the customer is recorded.
    ///
    /// # Errors
    /// Of the database.
    pub async fn is_customer(&self, org_id: OrgId, customer_id: CustomerId) -> Result<bool, StorageError> {
        let mut question = Question::about(org_id);
        let condition = format!("customer_id = {}", question.place(customer_id.0));
        question.select(("customer_id", Table::Customers), "", &condition);
        Ok(!question.ask(&self.database, "").await?.is_empty())
    }

    /// The rows, with the details of earnings of which they are not the first instance.
    async fn complete(&self, org_id: OrgId, rows: &[QueryResult]) -> Result<Vec<WalletRow>, StorageError> {
        let mut complete = rows.iter().map(|row| wallet_row(org_id, row)).collect::<Result<Vec<_>, _>>()?;
        // Of each earning once, however many of its instances are shown.
        let mut later: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (place, (_, row)) in complete.iter().enumerate().filter(|(_, (ordinal, _))| *ordinal > 1) {
            later.entry(row.earning_key()).or_default().push(place);
        }
        if !later.is_empty() {
            let keys: Vec<_> = later.keys().collect();
            for row in statement::query(&self.database, &FIRSTS.body(self.dialect), of_earnings(&keys)).await? {
                let (key, details) = (*of_row(&keys, &row)?, details(&row, 1)?);
                for place in &later[key] {
                    complete[*place].1.details = details.clone();
                }
            }
        }
        Ok(complete.into_iter().map(|(_, row)| row).collect())
    }
}

/// A row of the columns above, and which instance of its earning it is.
fn wallet_row(org_id: OrgId, row: &QueryResult) -> Result<(i64, WalletRow), StorageError> {
    let id = |column: usize| object_id(&row.try_get_by_index::<String>(column)?);
    let wallet_row = WalletRow {
        key: InstanceKey { org_id, customer_id: CustomerId(row.try_get_by_index(1)?), earn_id: id(0)? },
        held: Held {
            promotion_id: id(2)?,
            event_time_ms: row.try_get_by_index(8)?,
            valid_till_ms: row.try_get_by_index(9)?,
            status: named(&row.try_get_by_index::<String>(6)?, RecordedStatus::from_name)?,
            redeemed_by: row.try_get_by_index::<Option<String>>(14)?.map(Into::into),
        },
        event_id: row.try_get_by_index(3)?,
        earned_from_id: row.try_get_by_index(4)?,
        earned_from_type: named(&row.try_get_by_index::<String>(5)?, EarnedFromType::from_name)?,
        granted_at_ms: row.try_get_by_index(10)?,
        details: details(row, 11)?,
    };
    Ok((row.try_get_by_index(7)?, wallet_row))
}

/// The beginnings of all stretches, and what puts them together.
fn listing(part: &Part<'_>, dialect: Dialect) -> (Question, String) {
    let mut question = Question::about(part.org_id);
    let customer = question.place(part.customer_id.0);
    let limit = question.place(i64::try_from(part.limit).unwrap_or(i64::MAX));
    let order = format!("ORDER BY valid_till_ms DESC, earn_id LIMIT {limit}");
    let mut filter = String::new();
    if !part.promotions.is_empty() {
        let places: Vec<_> = part.promotions.iter().map(|id| question.place(id.to_string())).collect();
        filter = format!("AND promotion_id IN ({})", places.join(", "));
    }
    // Where SQLite would take the index of another order, and sort.
    let index = if dialect == Dialect::Sqlite { "INDEXED BY earned_promotions_listing" } else { "" };
    let beginning = |question: &mut Question, status: &str, condition: String| {
        let condition = format!(
            "customer_id = {customer} AND earned_status = {status} AND earned_status <> '' AND {condition} {filter} \
             {order}"
        );
        question.select((COLUMNS, Table::EarnedPromotions), index, &condition);
    };
    for stretch in part.stretches {
        let status = question.place(stretch.status.name());
        let mut to_ms = stretch.to_ms;
        if let Some((at_ms, earn_id)) = part.after {
            if (stretch.from_ms..=stretch.to_ms).contains(&at_ms) {
                let (at, earn_id) = (question.place(at_ms), question.place(earn_id.to_string()));
                beginning(&mut question, &status, format!("valid_till_ms = {at} AND earn_id > {earn_id}"));
            }
            to_ms = to_ms.min(at_ms.saturating_sub(1));
        }
        if stretch.from_ms <= to_ms {
            let (from, to) = (question.place(stretch.from_ms), question.place(to_ms));
            beginning(&mut question, &status, format!("valid_till_ms >= {from} AND valid_till_ms <= {to}"));
        }
    }
    (question, order)
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;

    use crate::storage::StoreOptions;

    /// How SQLite goes about it.
    async fn plan(part: &Part<'_>) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("x.db").display());
        let timeout = std::time::Duration::from_secs(5);
        let options = StoreOptions { max_connections: 1, timeout, statement_timeout: None };
        let store = Store::open(&url, options).await.unwrap();
        store.migrate().await.unwrap();
        let (question, order) = listing(part, store.dialect);
        let mut statement = question.statement(store.database.get_database_backend(), &order);
        statement.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
        let rows = store.database.query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index::<String>(3).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_page_is_read_in_the_order_of_its_index_from_where_it_begins() {
        let unlocked = Stretch { status: RecordedStatus::Unlocked, from_ms: 5, to_ms: i64::MAX };
        let revoked = Stretch { status: RecordedStatus::Revoked, from_ms: i64::MIN, to_ms: i64::MAX };
        let promotions = BTreeSet::from([ObjectId([1; 12])]);
        for (stretches, after, searches) in [
            (&[unlocked][..], None, 1),
            (&[unlocked], Some((7, ObjectId([2; 12]))), 2),
            (&[unlocked, revoked], Some((7, ObjectId([2; 12]))), 4),
            // The stretch ended before.
            (&[unlocked, revoked], Some((4, ObjectId([2; 12]))), 2),
        ] {
            for promotions in [&BTreeSet::new(), &promotions] {
                let part =
                    Part { org_id: OrgId(1), customer_id: CustomerId(1), stretches, promotions, after, limit: 11 };
                let plan = plan(&part).await;
                let by_index = "USING INDEX earned_promotions_listing (org_id=? AND customer_id=? AND earned_status=? AND valid_till_ms";
                let found = plan.iter().filter(|line| line.contains("SEARCH") && line.contains(by_index)).count();
                assert_eq!(found, searches, "{plan:#?}");
                assert!(!plan.iter().any(|line| line.contains("SCAN earned_promotions")), "{plan:#?}");
                // What is put together from the beginnings is sorted, not the wallet.
                for lines in plan.windows(2).filter(|lines| lines[1].contains("TEMP B-TREE")) {
                    assert_eq!(lines[0], "SCAN part", "{plan:#?}");
                }
            }
        }
    }
}
