//! Reading the facts of a batch of earnings in separate statements: recorded customers, audiences, counts under caps,
//! and the recorded earnings that the batch names.
//!
//! Counts are read before earnings. If another process raised a count in between, its earning is then seen and
//! replayed. In the other order, a repeat could fail because its own original filled the cap.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;
use sea_orm::{ConnectionTrait, DerivePartialModel};

use super::counts::{self, holders};
use super::earnings::{EarningsWanted, Grants};
use crate::earning::{CustomerId, Details, EarningKey, Facts, Holder, Instance, OrgId, RecordedEarning, Timestamp};
use crate::storage::StorageError;
use crate::storage::entity::earned_promotion::{Column, EARNING_KEY};
use crate::storage::entity::stored::{Id, StoredCriteria, StoredEarnedFromType, StoredStatus};
use crate::storage::entity::{audience, customer, earned_promotion};
use crate::storage::org_owned::Search;
use crate::storage::rows::Rows;
use crate::storage::statement::On;

/// Recorded instance of an earning.
#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "earned_promotion::Entity")]
pub(in crate::storage) struct RecordedRow {
    pub promotion_id: Id,
    pub earned_from_id: String,
    pub ordinal: i64,
    earn_id: Id,
    earned_from_type: StoredEarnedFromType,
    event_time_ms: Timestamp,
    valid_till_ms: Timestamp,
    earned_status: StoredStatus,
    event_type: Option<String>,
    event_payload: Option<String>,
    supplementary_criteria: Option<StoredCriteria>,
}

/// Instances by earning and ordinal.
pub(in crate::storage) type Instances = BTreeMap<(EarningKey, i64), RecordedRow>;

/// Searches the recorded customers of a list.
pub(in crate::storage) fn customers() -> Search<customer::Entity> {
    Search::by(&[customer::Column::CustomerId])
}

/// Searches the holders of a list that are in the audiences.
pub(in crate::storage) fn audiences() -> Search<audience::Entity> {
    Search::by(&[audience::Column::CustomerId, audience::Column::PromotionId])
}

/// Searches the recorded instances of a list of earnings.
pub(in crate::storage) fn earnings() -> Search<earned_promotion::Entity> {
    Search {
        index: Some(EARNING_KEY),
        ..Search::by(&[Column::CustomerId, Column::EventId, Column::PromotionId, Column::EarnedFromId])
    }
}

/// Reads all facts. Must run within a transaction.
pub(in crate::storage) async fn one_by_one(
    on: &On<'_, impl ConnectionTrait>,
    wanted: &EarningsWanted,
) -> Result<Facts, StorageError> {
    let context = EarningContext {
        customers: known(on, wanted).await?,
        audiences: included(on, wanted).await?,
        used: counts::read_or_count(on, &wanted.capped).await?,
    };
    let keys: Vec<_> = wanted.earnings.iter().collect();
    let mut instances = Instances::new();
    for found in earnings().run::<RecordedRow>(on, of_earnings(&keys)).await? {
        let key = (*found.of(&keys)?).clone();
        instances.insert((key, found.row.ordinal), found.row);
    }
    Ok(context.with(instances, wanted))
}

/// Returns true if every customer of `wanted` is recorded, all are in the audiences, and the counts have room for the
/// grants.
pub(in crate::storage) async fn is_as_presumed(
    on: &On<'_, impl ConnectionTrait>,
    wanted: &EarningsWanted,
    grants: &Grants,
) -> Result<bool, StorageError> {
    if known(on, wanted).await?.len() < wanted.customers.len()
        || included(on, wanted).await?.len() < wanted.limited.len()
    {
        return Ok(false);
    }
    let used = counts::read_or_count(on, &wanted.capped).await?;
    Ok(grants.under_cap.iter().all(|(holder, under)| {
        let used = used.get(holder).copied().unwrap_or_default();
        used.checked_add(under.granted).is_some_and(|used| used <= under.cap)
    }))
}

async fn known(
    on: &On<'_, impl ConnectionTrait>,
    wanted: &EarningsWanted,
) -> Result<Vec<(OrgId, CustomerId)>, StorageError> {
    let keys: Vec<_> = wanted.customers.iter().copied().collect();
    Ok(customers().which(on, &keys, of_customers(&keys)).await?.into_iter().copied().collect())
}

async fn included(on: &On<'_, impl ConnectionTrait>, wanted: &EarningsWanted) -> Result<Vec<Holder>, StorageError> {
    let keys: Vec<_> = wanted.limited.iter().copied().collect();
    Ok(audiences().which(on, &keys, holders(&keys)).await?.into_iter().copied().collect())
}

/// Facts apart from the earnings.
pub(in crate::storage) struct EarningContext {
    pub customers: Vec<(OrgId, CustomerId)>,
    pub audiences: Vec<Holder>,
    pub used: HashMap<Holder, u32>,
}

impl EarningContext {
    /// Returns the facts with the earnings of these instances.
    pub fn with(self, instances: Instances, wanted: &EarningsWanted) -> Facts {
        Facts {
            earnings: recorded_earnings(instances),
            each_named_once: wanted.each_named_once,
            used: self.used,
            audiences: self.audiences.into_iter().collect(),
            customers: self.customers.into_iter().collect(),
        }
    }
}

/// Groups instances by earning. In the order of keys and ordinals the first instance of an earning comes first, and it
/// has the details.
fn recorded_earnings(instances: Instances) -> HashMap<EarningKey, RecordedEarning> {
    let mut earnings: HashMap<EarningKey, RecordedEarning> = HashMap::default();
    for ((key, _), row) in instances {
        let instance = Instance {
            earn_id: row.earn_id.0,
            valid_till: row.valid_till_ms,
            revoked: row.earned_status == StoredStatus::Revoked,
        };
        if let Some(earning) = earnings.get_mut(&key) {
            earning.instances.push(instance);
            continue;
        }
        let earning = RecordedEarning {
            earned_from_type: row.earned_from_type.into(),
            event_time: row.event_time_ms,
            details: details(row.event_type, row.event_payload, row.supplementary_criteria).shared(),
            instances: vec![instance],
        };
        earnings.insert(key, earning);
    }
    earnings
}

/// Assembles the details of an earning.
pub(in crate::storage) fn details(
    event_type: Option<String>,
    event_payload: Option<String>,
    criteria: Option<StoredCriteria>,
) -> Details {
    Details {
        event_type: event_type.map(Into::into),
        event_payload: event_payload.map(Into::into),
        supplementary_criteria: criteria.map(|criteria| criteria.0),
    }
}

/// Returns the earning key of an instance that was found for the event of `wanted`.
pub(in crate::storage) fn earning_key(wanted: &EarningKey, row: &RecordedRow) -> EarningKey {
    let (promotion_id, earned_from_id) = (row.promotion_id.0, Arc::from(row.earned_from_id.as_str()));
    EarningKey { promotion_id, earned_from_id, ..wanted.clone() }
}

/// Lists customers.
pub(in crate::storage) fn of_customers<'a>(
    keys: impl IntoIterator<Item = &'a (OrgId, CustomerId), IntoIter: Clone>,
) -> Rows<'static> {
    let keys = keys.into_iter();
    Rows::of_orgs(keys.clone().map(|key| key.0)).integers(customer::Column::CustomerId, keys.map(|key| key.1.0))
}

/// Lists the events of earnings.
pub(in crate::storage) fn of_events<'a>(keys: &[&'a EarningKey]) -> Rows<'a> {
    Rows::of_orgs(keys.iter().map(|key| key.org_id))
        .integers(Column::CustomerId, keys.iter().map(|key| key.customer_id.0))
        .texts(Column::EventId, keys.iter().map(|key| &*key.event_id))
}

/// Lists earnings.
pub(in crate::storage) fn of_earnings<'a>(keys: &[&'a EarningKey]) -> Rows<'a> {
    of_events(keys)
        .ids(Column::PromotionId, keys.iter().map(|key| key.promotion_id))
        .texts(Column::EarnedFromId, keys.iter().map(|key| &*key.earned_from_id))
}
