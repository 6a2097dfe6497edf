//! Counts under caps: the number of instances of a capped promotion that each customer holds.
//!
//! Every write that changes the number of instances that a customer holds of a capped promotion leaves a count of the
//! promotion's present cap period. A promotion with a cap from the beginning has period 0: without a count, the
//! customer holds none. A promotion that got its cap after it had been earned has a later period: without a count of
//! that period, the wallet is counted.

use std::collections::BTreeMap;

use foldhash::HashMap;
use sea_orm::{ConnectionTrait, DerivePartialModel, IdenStatic};

use super::earnings::Grants;
use crate::earning::Holder;
use crate::earning::change::RecordedStatus;
use crate::storage::StorageError;
use crate::storage::entity::cap_usage::{Column, Entity};
use crate::storage::entity::earned_promotion;
use crate::storage::entity::stored::{StoredStatus, count};
use crate::storage::org_owned::{Insertion, Present, Search, column, names};
use crate::storage::rows::{Rows, WANTED, at_place};
use crate::storage::statement::On;

/// Count as it is recorded.
#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub(in crate::storage) struct Count {
    pub used: i64,
    pub cap_period: i64,
}

/// Columns of the key after the organization.
const KEY: [Column; 2] = [Column::CustomerId, Column::PromotionId];
const COLUMNS: [Column; 6] =
    [Column::CustomerId, Column::PromotionId, Column::Used, Column::Cap, Column::CapPeriod, Column::LastChange];

/// Lists holders.
pub(in crate::storage) fn holders<'a>(keys: impl IntoIterator<Item = &'a Holder, IntoIter: Clone>) -> Rows<'static> {
    let keys = keys.into_iter();
    Rows::of_orgs(keys.clone().map(|key| key.org_id))
        .integers(Column::CustomerId, keys.clone().map(|key| key.customer_id.0))
        .ids(Column::PromotionId, keys.map(|key| key.promotion_id))
}

/// Searches the counts of a list of holders.
pub(in crate::storage) fn recorded() -> Search<Entity> {
    Search::by(&KEY)
}

/// Searches the earned promotions of a list of holders that count towards a cap. The condition and the order are those
/// of the listing index, so that every engine uses that index and reads rows of the customer only.
pub(in crate::storage) fn held() -> Search<earned_promotion::Entity> {
    use earned_promotion::Column;
    let status = column::<earned_promotion::Entity>(Column::EarnedStatus);
    let revoked = StoredStatus::text(RecordedStatus::Revoked);
    Search {
        index: Some(earned_promotion::LISTING),
        condition: format!("{status} <> '' AND {status} <> '{revoked}'"),
        order: format!(
            "{}, {} DESC, {}",
            Column::EarnedStatus.as_str(),
            Column::ValidTillMs.as_str(),
            Column::EarnId.as_str()
        ),
        ..Search::by(&[Column::CustomerId, Column::PromotionId])
    }
}

/// Reads the counts of these holders, each with the present cap period of its promotion. Counts the wallet where the
/// period is later than 0 and has no count. Must run within a transaction.
pub(in crate::storage) async fn read_or_count(
    on: &On<'_, impl ConnectionTrait>,
    capped: &BTreeMap<Holder, i64>,
) -> Result<HashMap<Holder, u32>, StorageError> {
    let keys: Vec<_> = capped.keys().collect();
    let mut used = HashMap::default();
    for found in recorded().run::<Count>(on, holders(keys.iter().copied())).await? {
        let holder = **found.of(&keys)?;
        if capped[&holder] == found.row.cap_period {
            used.insert(holder, count(found.row.used));
        }
    }
    let unsure = capped.iter().filter(|(holder, period)| **period > 0 && !used.contains_key(holder));
    let unsure: BTreeMap<_, _> = unsure.map(|(holder, period)| (*holder, *period)).collect();
    if !unsure.is_empty() {
        // All holders are locked, so that the order of locks is that of the keys.
        lock(on, capped).await?;
        used.extend(count_anew(on, &unsure).await?);
    }
    Ok(used)
}

/// Counts the instances of these holders, and records each count with the given period. The counts are locked, so no
/// other transaction changes them before this one ends.
async fn count_anew(
    on: &On<'_, impl ConnectionTrait>,
    unsure: &BTreeMap<Holder, i64>,
) -> Result<BTreeMap<Holder, u32>, StorageError> {
    // This is a separate statement, so that it sees everything that was committed before the locks were obtained.
    let mut used: BTreeMap<_, _> = unsure.keys().map(|holder| (*holder, 0)).collect();
    let keys: Vec<_> = unsure.keys().collect();
    let count_held =
        format!("SELECT place, count(*) AS held FROM ({}) AS found GROUP BY place", held().places(on.dialect, WANTED));
    for row in on.query(&count_held, holders(unsure.keys())).await? {
        let holder = at_place(row.try_get("", "place")?, &keys)?;
        used.insert(**holder, count(row.try_get("", "held")?));
    }
    let counted = rows(unsure.keys(), |holder| {
        let used = i64::from(used[holder]);
        CountValues { used, cap: used, cap_period: unsure[holder], last_change: 0 }
    });
    let replaced = [Column::Used, Column::Cap, Column::CapPeriod, Column::LastChange]
        .map(|column| format!("{0} = excluded.{0}", column.as_str()));
    on.execute(&upsert(replaced.join(", ")).body(), counted).await?;
    Ok(used)
}

/// Locks the counts of these holders, in the order of their keys. Creates a missing count, with the period before the
/// given one, so that other transactions that count at the same time wait here.
async fn lock(on: &On<'_, impl ConnectionTrait>, holders: &BTreeMap<Holder, i64>) -> Result<(), StorageError> {
    let former = rows(holders.keys(), |holder| CountValues {
        cap_period: (holders[holder] - 1).max(0),
        ..CountValues::default()
    });
    let kept = format!("{cap} = {}", column::<Entity>(Column::Cap), cap = Column::Cap.as_str());
    on.execute(&upsert(kept).body(), former).await.map(drop)
}

/// Adds what was granted to the counts. The check `cap_usage_used_within_cap` refuses a count above its cap.
pub(in crate::storage) async fn add(on: &On<'_, impl ConnectionTrait>, grants: &Grants) -> Result<(), StorageError> {
    if !grants.under_cap.is_empty() {
        on.execute(&addition().body(), granted(grants)).await?;
    }
    Ok(())
}

/// Lists the grants under caps.
pub(in crate::storage) fn granted(grants: &Grants) -> Rows<'static> {
    rows(grants.under_cap.keys(), |holder| {
        let under = &grants.under_cap[holder];
        let granted = i64::from(under.granted);
        CountValues { used: granted, cap: under.cap.into(), cap_period: under.cap_period, last_change: granted }
    })
}

/// Adds to counts. A count of the promotion's present period is increased; any other is replaced.
pub(in crate::storage) fn addition() -> Insertion<Entity> {
    let of = column::<Entity>;
    let [used, cap, period, change] =
        [Column::Used, Column::Cap, Column::CapPeriod, Column::LastChange].map(|column| column.as_str());
    upsert(format!(
        "{used} = CASE WHEN {} = excluded.{period} THEN {} + excluded.{change} ELSE excluded.{used} END, \
         {cap} = excluded.{cap}, {period} = excluded.{period}, {change} = excluded.{change}",
        of(Column::CapPeriod),
        of(Column::Used),
    ))
}

/// Subtracts revoked instances from each count that exists, whatever the catalog says of the promotion. Creates an
/// empty count where there is none.
pub(in crate::storage) async fn subtract(
    on: &On<'_, impl ConnectionTrait>,
    revoked: &BTreeMap<Holder, Revoked>,
) -> Result<(), StorageError> {
    if revoked.is_empty() {
        return Ok(());
    }
    let periods: BTreeMap<_, _> = revoked.iter().map(|(holder, revoked)| (*holder, revoked.cap_period)).collect();
    if periods.values().any(|period| *period > 0) {
        // Missing counts of these periods are created first.
        read_or_count(on, &periods).await?;
    }
    let of = column::<Entity>;
    let [used, change] = [Column::Used, Column::LastChange].map(|column| column.as_str());
    let taken_off = upsert(format!(
        "{used} = CASE WHEN {0} > excluded.{change} THEN {0} - excluded.{change} ELSE 0 END, {change} = excluded.{change}",
        of(Column::Used),
    ));
    let list = rows(revoked.keys(), |holder| {
        let Revoked { count, cap_period } = revoked[holder];
        CountValues { cap_period, last_change: count, ..CountValues::default() }
    });
    on.execute(&taken_off.body(), list).await.map(drop)
}

/// Revoked earned promotions of one holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revoked {
    /// Number of revoked instances.
    pub count: i64,
    /// Cap period of the promotion.
    pub cap_period: i64,
}

/// Values of a count to write.
#[derive(Default)]
struct CountValues {
    used: i64,
    cap: i64,
    cap_period: i64,
    last_change: i64,
}

fn rows<'a>(keys: impl Iterator<Item = &'a Holder> + Clone, of: impl Fn(&Holder) -> CountValues) -> Rows<'static> {
    let values: Vec<_> = keys.clone().map(of).collect();
    holders(keys)
        .integers(Column::Used, values.iter().map(|values| values.used))
        .integers(Column::Cap, values.iter().map(|values| values.cap))
        .integers(Column::CapPeriod, values.iter().map(|values| values.cap_period))
        .integers(Column::LastChange, values.iter().map(|values| values.last_change))
}

fn upsert(set: String) -> Insertion<Entity> {
    Insertion::of(&COLUMNS, Present::Changed { key: names(&KEY), set })
}
