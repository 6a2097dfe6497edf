//! Reading the facts of a batch of revocations and redemptions.

use sea_orm::{ConnectionTrait, DerivePartialModel};

use super::changes::{ChangesWanted, HeldRow, ReadChanges};
use super::read::{customers, of_customers};
use crate::earning::CustomerId;
use crate::earning::change::{HeldPromotion, InstanceKey, RecordedTransaction};
use crate::storage::StorageError;
use crate::storage::entity::earned_promotion::{Column, Entity};
use crate::storage::entity::redemption;
use crate::storage::org_owned::{Search, column};
use crate::storage::redemption_content;
use crate::storage::rows::Rows;
use crate::storage::statement::On;

/// Transaction as it is recorded.
#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "redemption::Entity")]
struct TransactionRow {
    customer_id: i64,
    digest: String,
    content: String,
}

/// Reads all facts.
///
/// Reads transactions last. If an earned promotion was already redeemed when it was read, its transaction is then seen
/// too, so a repeat of that transaction is recognized and not answered with a failure.
pub(super) async fn read(
    on: &On<'_, impl ConnectionTrait>,
    wanted: &ChangesWanted,
) -> Result<ReadChanges, StorageError> {
    let mut read = ReadChanges::default();
    let keys: Vec<_> = wanted.customers.iter().copied().collect();
    read.facts.customers.extend(customers().which(on, &keys, of_customers(&keys)).await?);
    let keys: Vec<_> = wanted.instances.iter().copied().collect();
    for found in by_earn_id().run::<HeldRow>(on, instance_rows(&keys)).await? {
        let (key, row) = (*found.of(&keys)?, found.row);
        let held = HeldPromotion {
            promotion_id: row.promotion_id.0,
            event_time: row.event_time_ms,
            valid_till: row.valid_till_ms,
            status: row.earned_status.into(),
            redeemed_by: row.transaction_identifier.as_deref().map(Into::into),
        };
        read.facts.held.insert(key, held);
        read.rows.insert(key, row);
    }
    let keys: Vec<_> = wanted.transactions.iter().collect();
    let names = Rows::of_orgs(keys.iter().map(|(org_id, _)| *org_id))
        .texts(redemption::Column::TransactionIdentifier, keys.iter().map(|(_, identifier)| &**identifier));
    for found in recorded_transactions().run::<TransactionRow>(on, names).await? {
        let key = (*found.of(&keys)?).clone();
        let TransactionRow { customer_id, digest, content } = found.row;
        let redemption = redemption_content::read(CustomerId(customer_id), &content)?;
        let transaction = RecordedTransaction { digest: digest.into(), redemption: redemption.into() };
        read.facts.transactions.insert(key, transaction);
    }
    Ok(read)
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

/// Lists earned promotions.
pub(super) fn instance_rows<'a>(keys: impl IntoIterator<Item = &'a InstanceKey, IntoIter: Clone>) -> Rows<'static> {
    let keys = keys.into_iter();
    Rows::of_orgs(keys.clone().map(|key| key.org_id))
        .integers(Column::CustomerId, keys.clone().map(|key| key.customer_id.0))
        .ids(Column::EarnId, keys.map(|key| key.earn_id))
}
