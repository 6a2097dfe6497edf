//! A batch of revocations and redemptions: the facts that it needs, and its writes.
//!
//! A row is changed only while its status is unlocked. If another process changed it since it was read, fewer rows
//! change than expected, and the transaction is rolled back. A transaction that another process recorded violates the
//! primary key. The order of writes is that of earning: counts, instances, transactions, each in the order of their
//! keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{DbErr, DerivePartialModel, IdenStatic};

use super::catalogs::CatalogVersions;
use super::counts;
pub use super::counts::Revoked;
use super::read::{customers, of_customers};
use super::session::{Decided, Work};
use super::write;
use crate::earning::change::{ChangeFacts, HeldPromotion, InstanceKey, RecordedStatus, RecordedTransaction};
use crate::earning::{CustomerId, Holder, ObjectId, OrgId};
use crate::storage::StorageError;
use crate::storage::connection::Connection;
use crate::storage::engine::Engine;
use crate::storage::entity::earned_promotion::{Column, Entity};
use crate::storage::entity::stored::{Id, StoredEarnedFromType, StoredStatus};
use crate::storage::entity::{earned_promotion, redemption};
use crate::storage::error::all_of;
use crate::storage::org_owned::{Insertion, Present, Search, column, names};
use crate::storage::redemption_content;
use crate::storage::rows::Rows;
use crate::storage::statement::On;

/// Earned promotion as it is recorded. The write of its change contains the whole row.
#[derive(Debug, Clone, DerivePartialModel)]
#[sea_orm(entity = "earned_promotion::Entity")]
struct HeldRow {
    promotion_id: Id,
    event_id: String,
    earned_from_id: String,
    ordinal: i64,
    earned_from_type: StoredEarnedFromType,
    event_time_ms: i64,
    valid_till_ms: i64,
    granted_at_ms: i64,
    earned_status: StoredStatus,
    transaction_identifier: Option<String>,
}

/// Transaction as it is recorded.
#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "redemption::Entity")]
struct TransactionRow {
    customer_id: i64,
    digest: String,
    content: String,
}

/// Keys of the facts that a batch of changes needs, without repeats.
#[derive(Debug, Default)]
pub struct ChangesWanted {
    /// Catalogs that the batch is decided from.
    pub catalogs: CatalogVersions,
    /// Earned promotions to read.
    pub instances: BTreeSet<InstanceKey>,
    /// Transactions to read, by organization and identifier.
    pub transactions: BTreeSet<(OrgId, Arc<str>)>,
    /// Customers who may not be recorded.
    pub customers: BTreeSet<(OrgId, CustomerId)>,
}

/// Writes of a batch of changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Earned promotions to change: redeemed by the transaction of this identifier, or revoked if `None`.
    pub instances: BTreeMap<InstanceKey, Option<Arc<str>>>,
    /// Transactions to record.
    pub transactions: BTreeMap<(OrgId, Arc<str>), NewTransaction>,
    /// Number of revoked instances of each customer and promotion.
    pub revoked: BTreeMap<Holder, Revoked>,
}

/// Transaction to record.
#[derive(Debug)]
pub struct NewTransaction {
    /// Digest and content of the transaction.
    pub transaction: RecordedTransaction,
    /// Number of earned promotions that the transaction redeems.
    pub instances: i64,
}

/// Facts of a batch of changes.
#[derive(Debug, Default)]
pub struct ReadChanges {
    /// Facts for the rules.
    pub facts: ChangeFacts,
    /// Rows of the wallet as they were read, from which their changes are written.
    rows: BTreeMap<InstanceKey, HeldRow>,
}

#[async_trait]
impl Work for ChangesWanted {
    type Facts = ReadChanges;
    type Writes = Changes;

    fn catalogs(&self) -> &CatalogVersions {
        &self.catalogs
    }

    fn presumed(&self, _: &dyn Engine) -> Option<ReadChanges> {
        None
    }

    fn repeats_something(_: &ReadChanges) -> bool {
        false
    }

    fn writes_nothing(changes: &Changes) -> bool {
        changes.instances.is_empty()
    }

    fn earned_first(_: &Changes) -> Option<&BTreeSet<(OrgId, ObjectId)>> {
        None
    }

    fn needs_transaction(_: &dyn Engine) -> bool {
        true
    }

    /// Reads transactions last. If an earned promotion was already redeemed when it was read, its transaction is then
    /// seen too, so a repeat of that transaction is recognized and not answered with a failure.
    async fn read(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
    ) -> Result<Option<ReadChanges>, StorageError> {
        let on = On { dialect: engine, database: &*connection };
        let mut read = ReadChanges::default();
        let keys: Vec<_> = self.customers.iter().copied().collect();
        read.facts.customers.extend(customers().which(&on, &keys, of_customers(&keys)).await?);
        let keys: Vec<_> = self.instances.iter().copied().collect();
        for found in by_earn_id().run::<HeldRow>(&on, instance_rows(&keys)).await? {
            let (key, row) = (*found.of(&keys)?, found.row);
            let held = HeldPromotion {
                promotion_id: row.promotion_id.0,
                event_time_ms: row.event_time_ms,
                valid_till_ms: row.valid_till_ms,
                status: row.earned_status.into(),
                redeemed_by: row.transaction_identifier.as_deref().map(Into::into),
            };
            read.facts.held.insert(key, held);
            read.rows.insert(key, row);
        }
        let keys: Vec<_> = self.transactions.iter().collect();
        let names = Rows::of_orgs(keys.iter().map(|(org_id, _)| *org_id))
            .texts(redemption::Column::TransactionIdentifier, keys.iter().map(|(_, identifier)| &**identifier));
        for found in recorded_transactions().run::<TransactionRow>(&on, names).await? {
            let key = (*found.of(&keys)?).clone();
            let TransactionRow { customer_id, digest, content } = found.row;
            let redemption = redemption_content::read(CustomerId(customer_id), &content)?;
            let transaction = RecordedTransaction { digest: digest.into(), redemption: redemption.into() };
            read.facts.transactions.insert(key, transaction);
        }
        Ok(Some(read))
    }

    /// Counts the rows that were written, as Citus reports a duplicate row without the error code.
    async fn write(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
        decided: &Decided<'_, Self>,
    ) -> Result<bool, StorageError> {
        let on = On { dialect: engine, database: &*connection };
        let (changes, now_ms) = (decided.writes, decided.fence.now_ms);
        counts::subtract(&on, &changes.revoked).await?;
        let change = change(engine.has_one_writer());
        let done = on.query(&change.body(), changed_rows(changes, &decided.facts.rows, now_ms)).await?;
        all_of(done.len(), changes.instances.len(), DbErr::RecordNotUpdated)?;
        if !changes.transactions.is_empty() {
            let insertion: Insertion<redemption::Entity> =
                Insertion { answers: true, ..Insertion::of(&TRANSACTION_COLUMNS, Present::Kept) };
            let recorded = on.query(&insertion.body(), new_transactions(changes, now_ms)).await?;
            all_of(recorded.len(), changes.transactions.len(), DbErr::RecordNotInserted)?;
        }
        Ok(true)
    }
}

/// Searches earned promotions by their earn ids. The condition is that of the index of earn ids on PostgreSQL.
pub(in crate::storage) fn by_earn_id() -> Search<Entity> {
    let condition = format!("{} >= ''", column::<Entity>(Column::EarnId));
    Search { condition, ..Search::by(&[Column::EarnId, Column::CustomerId]) }
}

/// Searches transactions by their identifiers.
pub(in crate::storage) fn recorded_transactions() -> Search<redemption::Entity> {
    Search::by(&[redemption::Column::TransactionIdentifier])
}

const TRANSACTION_COLUMNS: [redemption::Column; 6] = [
    redemption::Column::TransactionIdentifier,
    redemption::Column::CustomerId,
    redemption::Column::Instances,
    redemption::Column::RedeemedAtMs,
    redemption::Column::Digest,
    redemption::Column::Content,
];

fn new_transactions(changes: &Changes, now_ms: i64) -> Rows<'_> {
    use redemption::Column;
    let (names, values) = (changes.transactions.keys(), changes.transactions.values());
    Rows::of_orgs(names.clone().map(|(org_id, _)| *org_id))
        .texts(Column::TransactionIdentifier, names.map(|(_, identifier)| &**identifier))
        .integers(Column::CustomerId, values.clone().map(|new| new.transaction.redemption.customer_id.0))
        .integers(Column::Instances, values.clone().map(|new| new.instances))
        .integers(Column::RedeemedAtMs, values.clone().map(|_| now_ms))
        .texts(Column::Digest, values.clone().map(|new| &*new.transaction.digest))
        .owned_texts(Column::Content, values.map(|new| redemption_content::write(&new.transaction.redemption)))
}

/// Columns of a row that a change sets. The other columns are written as they were read.
const CHANGING: [Column; 3] = [Column::EarnedStatus, Column::ChangedAtMs, Column::TransactionIdentifier];

/// Changes existing rows. The statement is an insertion that names them by their earning key, so every engine finds
/// them by that index, whatever statistics it has of the table. SQLite uses the key that the statement names, and would
/// refuse a row that conflicts with another key too.
fn change(by_any_key: bool) -> Insertion<Entity> {
    let key = [Column::CustomerId, Column::EventId, Column::PromotionId, Column::EarnedFromId, Column::Ordinal];
    let identifier = Column::TransactionIdentifier.as_str();
    let set = CHANGING.map(|column| format!("{0} = excluded.{0}", column.as_str())).join(", ");
    let unlocked = StoredStatus::text(RecordedStatus::Unlocked);
    let set = format!("{set} WHERE {} = '{unlocked}'", column::<Entity>(Column::EarnedStatus));
    Insertion {
        columns: [&write::COLUMNS[..], &CHANGING].concat(),
        // A list has no nulls.
        values: format!("{}, {}, NULLIF({identifier}, '')", names(&write::COLUMNS), names(&CHANGING[..2])),
        present: Present::Changed { key: if by_any_key { String::new() } else { names(&key) }, set },
        answers: true,
    }
}

fn instance_rows<'a>(keys: impl IntoIterator<Item = &'a InstanceKey, IntoIter: Clone>) -> Rows<'static> {
    let keys = keys.into_iter();
    Rows::of_orgs(keys.clone().map(|key| key.org_id))
        .integers(Column::CustomerId, keys.clone().map(|key| key.customer_id.0))
        .ids(Column::EarnId, keys.map(|key| key.earn_id))
}

/// Lists the changed rows in full.
fn changed_rows<'a>(changes: &'a Changes, rows: &'a BTreeMap<InstanceKey, HeldRow>, now_ms: i64) -> Rows<'a> {
    let status = |by: &Option<Arc<str>>| match by {
        Some(_) => StoredStatus::text(RecordedStatus::Redeemed),
        None => StoredStatus::text(RecordedStatus::Revoked),
    };
    let read: Vec<_> = changes.instances.keys().filter_map(|key| rows.get(key)).collect();
    let integers = |of: fn(&HeldRow) -> i64| read.iter().map(move |row| of(row));
    instance_rows(changes.instances.keys())
        .ids(Column::PromotionId, read.iter().map(|row| row.promotion_id.0))
        .texts(Column::EventId, read.iter().map(|row| row.event_id.as_str()))
        .texts(Column::EarnedFromId, read.iter().map(|row| row.earned_from_id.as_str()))
        .integers(Column::Ordinal, integers(|row| row.ordinal))
        .texts(Column::EarnedFromType, read.iter().map(|row| StoredEarnedFromType::text(row.earned_from_type.into())))
        .integers(Column::EventTimeMs, integers(|row| row.event_time_ms))
        .integers(Column::ValidTillMs, integers(|row| row.valid_till_ms))
        .integers(Column::GrantedAtMs, integers(|row| row.granted_at_ms))
        .texts(Column::EarnedStatus, changes.instances.values().map(status))
        .integers(Column::ChangedAtMs, changes.instances.values().map(|_| now_ms))
        .texts(Column::TransactionIdentifier, changes.instances.values().map(|by| by.as_deref().unwrap_or_default()))
}
