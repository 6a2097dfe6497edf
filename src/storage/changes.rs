//! Revoking and redeeming: what a batch of changes reads and writes.
//!
//! As with earnings nothing that is read is locked. A row is changed only while it is still unlocked; if another process
//! changed it since it was read, fewer rows are changed than were to be, and the transaction is undone with
//! [`StorageError::Conflict`]. A transaction that another process recorded meets the primary key. The order of writing
//! is that of earning: counts, instances, transactions, each in the order of their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sea_orm::{DbErr, QueryResult};

use super::facts::{CUSTOMERS, USAGE_COLUMNS, USAGE_KEY, holders, named, object_id, of_customers, of_row};
use super::org_owned::{Insertion, Lookup, Present, Table};
use super::statement::{Dialect, Rows};
use super::{StorageError, Transaction, redemption_content, statement};
use crate::earning::change::{ChangeFacts, Held, InstanceKey, RecordedStatus, RecordedTransaction};
use crate::earning::{CustomerId, Holder, OrgId};

/// What a row is written again from is answered with it. The condition is that of the index of earn ids on PostgreSQL.
const HELD: Lookup = Lookup {
    answers: "t.promotion_id, t.event_id, t.earned_from_id, t.earned_from_type, t.earned_status, t.ordinal, \
              t.event_time_ms, t.valid_till_ms, t.granted_at_ms, t.transaction_identifier",
    key: &["earn_id", "customer_id"],
    condition: "t.earn_id >= ''",
    ..Lookup::of(Table::EarnedPromotions)
};

const TRANSACTIONS: Lookup = Lookup {
    answers: "t.customer_id, t.digest, t.content",
    key: &["transaction_identifier"],
    ..Lookup::of(Table::Redemptions)
};

/// How many are revoked travels as the cap, which every earning sets anew. A row that is not there is of a count that was
/// not made yet, and this one says so: it is from the beginning of time.
const SUBTRACT_USAGE: Insertion<'_> = Insertion {
    table: Table::CapUsage,
    columns: USAGE_COLUMNS,
    values: "customer_id, promotion_id, 0, revoked, 0",
    present: Present::Changed {
        key: USAGE_KEY,
        set: "used = CASE WHEN {table}.used > excluded.cap THEN {table}.used - excluded.cap ELSE 0 END",
    },
    rest: "",
};

/// The rows are there; they are named by their earning key, as an insertion, so that each engine finds them by that
/// index and no other way, whatever it believes of the table.
const CHANGE: Insertion<'_> = Insertion {
    table: Table::EarnedPromotions,
    columns: "customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal, earned_from_type, event_time_ms, \
              valid_till_ms, granted_at_ms, earned_status, changed_at_ms, transaction_identifier",
    values: "customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal, earned_from_type, event_time_ms, \
             valid_till_ms, granted_at_ms, earned_status, changed_at_ms, NULLIF(transaction_identifier, '')",
    present: Present::Changed { key: "customer_id, event_id, promotion_id, earned_from_id, ordinal", set: CHANGED },
    rest: "RETURNING 1",
};
/// SQLite finds them by the key that it is told, and would refuse a row that meets another one too.
const CHANGE_ON_SQLITE: Insertion<'_> = Insertion { present: Present::Changed { key: "", set: CHANGED }, ..CHANGE };
const CHANGED: &str = "earned_status = excluded.earned_status, changed_at_ms = excluded.changed_at_ms, \
     transaction_identifier = excluded.transaction_identifier WHERE {table}.earned_status = 'UNLOCKED'";

/// Citus tells of a row that is there already without saying so in the error's code: the rows that are not are counted.
const INSERT_TRANSACTIONS: Insertion<'_> = Insertion {
    table: Table::Redemptions,
    columns: "transaction_identifier, customer_id, instances, redeemed_at_ms, digest, content",
    values: "transaction_identifier, customer_id, instances, redeemed_at_ms, digest, content",
    present: Present::Kept,
    rest: "RETURNING 1",
};

/// What a batch of changes needs to know, without repeats.
#[derive(Debug, Default)]
pub struct ChangesWanted {
    /// Earned promotions.
    pub instances: BTreeSet<InstanceKey>,
    /// Transactions, by organization and identifier.
    pub transactions: BTreeSet<(OrgId, Arc<str>)>,
    /// Customers who may be unknown.
    pub customers: BTreeSet<(OrgId, CustomerId)>,
}

/// What a batch of changes writes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Earned promotions that are revoked, or redeemed by a transaction of this identifier.
    pub instances: BTreeMap<InstanceKey, Option<Arc<str>>>,
    /// Transactions to record.
    pub transactions: BTreeMap<(OrgId, Arc<str>), NewTransaction>,
    /// How many of a capped promotion are revoked.
    pub uncounted: BTreeMap<Holder, i64>,
}

/// A transaction to record.
#[derive(Debug)]
pub struct NewTransaction {
    /// What is told of it.
    pub transaction: RecordedTransaction,
    /// How many earned promotions it redeems.
    pub instances: i64,
}

/// Rows of the wallet as they were read: what their change is written with.
#[derive(Debug, Default)]
pub struct HeldRows(BTreeMap<InstanceKey, QueryResult>);

impl Transaction {
    /// What is recorded of `wanted`.
    ///
    /// Transactions are read last: what was redeemed before it was looked at was so by a transaction that is then seen,
    /// and its repeat is not told of another one.
    ///
    /// # Errors
    /// Of the database.
    pub async fn change_facts(&self, wanted: &ChangesWanted) -> Result<(ChangeFacts, HeldRows), StorageError> {
        let (mut facts, mut rows) = (ChangeFacts::default(), HeldRows::default());
        let keys: Vec<_> = wanted.customers.iter().copied().collect();
        for row in self.look_up(CUSTOMERS, of_customers(&keys)).await? {
            facts.customers.insert(*of_row(&keys, &row)?);
        }
        let keys: Vec<_> = wanted.instances.iter().copied().collect();
        for row in self.look_up(HELD, instance_rows(&keys)).await? {
            let key = *of_row(&keys, &row)?;
            let held = Held {
                promotion_id: object_id(&row.try_get_by_index::<String>(1)?)?,
                event_time_ms: row.try_get_by_index(7)?,
                valid_till_ms: row.try_get_by_index(8)?,
                status: named(&row.try_get_by_index::<String>(5)?, RecordedStatus::from_name)?,
                redeemed_by: row.try_get_by_index::<Option<String>>(10)?.map(Into::into),
            };
            facts.held.insert(key, held);
            rows.0.insert(key, row);
        }
        let keys: Vec<_> = wanted.transactions.iter().collect();
        let names = Rows::of_orgs(keys.iter().map(|(org_id, _)| *org_id))
            .texts("transaction_identifier", keys.iter().map(|(_, identifier)| &**identifier));
        for row in self.look_up(TRANSACTIONS, names).await? {
            let (digest, content): (String, String) = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
            let redemption = redemption_content::read(CustomerId(row.try_get_by_index(1)?), &content)?;
            let transaction = RecordedTransaction { digest: digest.into(), redemption: redemption.into() };
            facts.transactions.insert((*of_row(&keys, &row)?).clone(), transaction);
        }
        Ok((facts, rows))
    }

    /// Writes `changes` at `now_ms` (milliseconds since 1970-01-01T00:00:00Z), which were decided from `rows`.
    ///
    /// # Errors
    /// Of the database. [`StorageError::Conflict`] when what they were decided from is no longer so.
    pub async fn save_changes(&self, changes: &Changes, rows: &HeldRows, now_ms: i64) -> Result<(), StorageError> {
        if !changes.uncounted.is_empty() {
            let revoked = holders(changes.uncounted.keys()).integers("revoked", changes.uncounted.values().copied());
            statement::execute(&self.0, &SUBTRACT_USAGE.body(), revoked).await?;
        }
        if !changes.instances.is_empty() {
            let upsert = if self.1 == Dialect::Sqlite { CHANGE_ON_SQLITE } else { CHANGE };
            let done = statement::query(&self.0, &upsert.body(), changed_rows(changes, rows, now_ms)?).await?;
            all_of(done.len(), changes.instances.len(), DbErr::RecordNotUpdated)?;
        }
        if !changes.transactions.is_empty() {
            let names = changes.transactions.keys();
            let values = changes.transactions.values();
            let new = Rows::of_orgs(names.clone().map(|(org_id, _)| *org_id))
                .texts("transaction_identifier", names.map(|(_, identifier)| &**identifier))
                .integers("customer_id", values.clone().map(|new| new.transaction.redemption.customer_id.0))
                .integers("instances", values.clone().map(|new| new.instances))
                .integers("redeemed_at_ms", values.clone().map(|_| now_ms))
                .texts("digest", values.clone().map(|new| &*new.transaction.digest))
                .owned_texts(
                    "content",
                    values.map(|new| redemption_content::write(&new.transaction.redemption)).collect(),
                );
            let recorded = statement::query(&self.0, &INSERT_TRANSACTIONS.body(), new).await?;
            all_of(recorded.len(), changes.transactions.len(), DbErr::RecordNotInserted)?;
        }
        Ok(())
    }
}

/// That all rows that were to be written are; fewer are when another process was faster.
pub(super) fn all_of(done: usize, wanted: usize, otherwise: DbErr) -> Result<(), StorageError> {
    if done == wanted { Ok(()) } else { Err(StorageError::Conflict(otherwise)) }
}

fn instance_rows<'a>(keys: impl IntoIterator<Item = &'a InstanceKey, IntoIter: Clone>) -> Rows<'static> {
    let keys = keys.into_iter();
    Rows::of_orgs(keys.clone().map(|key| key.org_id))
        .integers("customer_id", keys.clone().map(|key| key.customer_id.0))
        .ids("earn_id", keys.map(|key| key.earn_id))
}

/// The changed rows, whole.
fn changed_rows<'a>(changes: &'a Changes, rows: &HeldRows, now_ms: i64) -> Result<Rows<'a>, StorageError> {
    let status = |by: &Option<Arc<str>>| match by {
        Some(_) => RecordedStatus::Redeemed,
        None => RecordedStatus::Revoked,
    };
    let mut list = instance_rows(changes.instances.keys())
        .integers("changed_at_ms", changes.instances.values().map(|_| now_ms))
        .texts("earned_status", changes.instances.values().map(|by| status(by).name()))
        .texts("transaction_identifier", changes.instances.values().map(|by| by.as_deref().unwrap_or_default()));
    let read: Vec<_> = changes.instances.keys().filter_map(|key| rows.0.get(key)).collect();
    let texts = [(1, "promotion_id"), (2, "event_id"), (3, "earned_from_id"), (4, "earned_from_type")];
    for (index, column) in texts {
        let values = read.iter().map(|row| row.try_get_by_index::<String>(index)).collect::<Result<Vec<_>, _>>()?;
        list = list.owned_texts(column, values);
    }
    for (index, column) in [(6, "ordinal"), (7, "event_time_ms"), (8, "valid_till_ms"), (9, "granted_at_ms")] {
        let values = read.iter().map(|row| row.try_get_by_index::<i64>(index)).collect::<Result<Vec<_>, _>>()?;
        list = list.integers(column, values);
    }
    Ok(list)
}
