//! Writing a batch of revocations and redemptions.
//!
//! A row is changed only while its status is unlocked. If another process changed it since it was read, fewer rows
//! change than expected, and the transaction is rolled back. A transaction that another process recorded violates the
//! primary key. The order of writes is that of earning: counts, instances, transactions, each in the order of their
//! keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbErr, IdenStatic};

use super::change_read::instance_rows;
use super::changes::{Changes, HeldRow, ReadChanges};
use super::{counts, write};
use crate::earning::Timestamp;
use crate::earning::change::{InstanceKey, RecordedStatus};
use crate::storage::StorageError;
use crate::storage::entity::earned_promotion::{Column, Entity};
use crate::storage::entity::redemption;
use crate::storage::entity::stored::{StoredEarnedFromType, StoredStatus};
use crate::storage::error::all_of;
use crate::storage::org_owned::{Insertion, Present, column, names};
use crate::storage::redemption_content;
use crate::storage::rows::Rows;
use crate::storage::statement::On;

/// Writes the changes at `now`, given the facts that they were decided from. Counts the rows that were written, as
/// Citus reports a duplicate row without the error code.
pub(super) async fn write(
    on: &On<'_, impl ConnectionTrait>,
    changes: &Changes,
    read: &ReadChanges,
    now: Timestamp,
) -> Result<(), StorageError> {
    counts::subtract(on, &changes.revoked).await?;
    let change = change(on.dialect.has_one_writer());
    let done = on.query(&change.body(), changed_rows(changes, &read.rows, now)).await?;
    all_of(done.len(), changes.instances.len(), DbErr::RecordNotUpdated)?;
    if !changes.transactions.is_empty() {
        let insertion: Insertion<redemption::Entity> =
            Insertion { answers: true, ..Insertion::of(&TRANSACTION_COLUMNS, Present::Kept) };
        let recorded = on.query(&insertion.body(), new_transactions(changes, now)).await?;
        all_of(recorded.len(), changes.transactions.len(), DbErr::RecordNotInserted)?;
    }
    Ok(())
}

const TRANSACTION_COLUMNS: [redemption::Column; 6] = [
    redemption::Column::TransactionIdentifier,
    redemption::Column::CustomerId,
    redemption::Column::Instances,
    redemption::Column::RedeemedAtMs,
    redemption::Column::Digest,
    redemption::Column::Content,
];

fn new_transactions(changes: &Changes, now: Timestamp) -> Rows<'_> {
    use redemption::Column;
    let (names, values) = (changes.transactions.keys(), changes.transactions.values());
    Rows::of_orgs(names.clone().map(|(org_id, _)| *org_id))
        .texts(Column::TransactionIdentifier, names.map(|(_, identifier)| &**identifier))
        .integers(Column::CustomerId, values.clone().map(|new| new.transaction.redemption.customer_id.0))
        .integers(Column::Instances, values.clone().map(|new| new.instances))
        .times(Column::RedeemedAtMs, values.clone().map(|_| now))
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

/// Lists the changed rows in full.
fn changed_rows<'a>(changes: &'a Changes, rows: &'a BTreeMap<InstanceKey, HeldRow>, now: Timestamp) -> Rows<'a> {
    let status = |by: &Option<Arc<str>>| match by {
        Some(_) => StoredStatus::text(RecordedStatus::Redeemed),
        None => StoredStatus::text(RecordedStatus::Revoked),
    };
    let read: Vec<_> = changes.instances.keys().filter_map(|key| rows.get(key)).collect();
    let times = |of: fn(&HeldRow) -> Timestamp| read.iter().map(move |row| of(row));
    instance_rows(changes.instances.keys())
        .ids(Column::PromotionId, read.iter().map(|row| row.promotion_id.0))
        .texts(Column::EventId, read.iter().map(|row| row.event_id.as_str()))
        .texts(Column::EarnedFromId, read.iter().map(|row| row.earned_from_id.as_str()))
        .integers(Column::Ordinal, read.iter().map(|row| row.ordinal))
        .texts(Column::EarnedFromType, read.iter().map(|row| StoredEarnedFromType::text(row.earned_from_type.into())))
        .times(Column::EventTimeMs, times(|row| row.event_time_ms))
        .times(Column::ValidTillMs, times(|row| row.valid_till_ms))
        .times(Column::GrantedAtMs, times(|row| row.granted_at_ms))
        .texts(Column::EarnedStatus, changes.instances.values().map(status))
        .times(Column::ChangedAtMs, changes.instances.values().map(|_| now))
        .texts(Column::TransactionIdentifier, changes.instances.values().map(|by| by.as_deref().unwrap_or_default()))
}
