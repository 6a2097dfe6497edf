//! Reading the catalogue of an organization, whole, for those who keep it in memory.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sea_orm::ConnectionTrait;

use super::entity::{OrgOwned, earned_mark, org, promotion};
use super::org_owned::{Lookup, Table};
use super::statement::Rows;
use super::{StorageError, Store, Transaction, statement};
use crate::earning::{Catalogue, EarnExpiry, ObjectId, Org, OrgId, Promotion, PromotionType};

const CATALOGUE_VERSIONS: Lookup = Lookup { answers: "t.id, t.catalogue_version", ..Lookup::of(Table::Orgs) };

impl Store {
    /// The current catalogue version of each of `org_ids` that exists.
    ///
    /// # Errors
    /// Of the database.
    pub async fn catalogue_versions(&self, org_ids: &BTreeSet<OrgId>) -> Result<BTreeMap<OrgId, i64>, StorageError> {
        let ids = Rows::of_orgs(org_ids.iter().copied());
        let rows = statement::query(&self.database, &CATALOGUE_VERSIONS.body(self.dialect), ids).await?;
        rows.iter().map(|row| Ok((OrgId(row.try_get_by_index(1)?), row.try_get_by_index(2)?))).collect()
    }

    /// The organization and all its promotions; `None` when there is no such organization.
    ///
    /// The version is read first: what changes in between makes a catalogue that is newer than its version, which is
    /// read again, never one that is older.
    ///
    /// # Errors
    /// Of the database.
    pub async fn catalogue(&self, org_id: OrgId) -> Result<Option<Catalogue>, StorageError> {
        load_catalogue(&self.database, org_id).await
    }
}

impl Transaction {
    /// The organization and all its promotions; `None` when there is no such organization.
    ///
    /// # Errors
    /// Of the database.
    pub async fn catalogue(&self, org_id: OrgId) -> Result<Option<Catalogue>, StorageError> {
        load_catalogue(&self.0, org_id).await
    }
}

pub(super) async fn load_catalogue(
    database: &impl ConnectionTrait,
    org_id: OrgId,
) -> Result<Option<Catalogue>, StorageError> {
    let Some(row) = org::Entity::of(org_id).find().one(database).await? else { return Ok(None) };
    let org = Org {
        id: org_id,
        name: row.name,
        time_zone: row
            .time_zone
            .parse()
            .map_err(|_| StorageError::Corrupt(format!("time zone {:?}", row.time_zone)))?,
        max_active_promotions: u32::try_from(row.max_active_promotions).unwrap_or(u32::MAX),
        accept_unknown_customers: row.accept_unknown_customers,
    };
    let rows = promotion::Entity::of(org_id).find().all(database).await?;
    let marks = earned_mark::Entity::of(org_id).find().all(database).await?;
    let earned: HashSet<_> = marks.into_iter().map(|mark| mark.promotion_id).collect();
    let of = |row: promotion::Model| {
        let earned = earned.contains(&row.id);
        to_promotion(row, earned)
    };
    let promotions = rows.into_iter().map(of).collect::<Result<_, _>>()?;
    Ok(Some(Catalogue::new(row.catalogue_version, org, promotions)))
}

fn to_promotion(row: promotion::Model, earned: bool) -> Result<Promotion, StorageError> {
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Promotion {
        id: ObjectId::parse(&row.id).ok_or_else(|| StorageError::Corrupt(format!("id {:?}", row.id)))?,
        name: row.name,
        kind: PromotionType::from_name(&row.kind)
            .ok_or_else(|| StorageError::Corrupt(format!("promotion type {:?}", row.kind)))?,
        active: row.active,
        start_ms: row.start_ms,
        end_ms: row.end_ms,
        max_earning_per_customer: row.max_earning_per_customer.map(count),
        capped_since_ms: row.capped_since_ms,
        earn_expiry: row
            .earn_expiry_days
            .map_or(EarnExpiry::WithPromotion, |days| EarnExpiry::DaysFromEarning(count(days))),
        limited_to_audience: row.earn_limited_to_specific_audience,
        rules_changed_at_ms: row.rules_changed_at_ms,
        earned,
    })
}
