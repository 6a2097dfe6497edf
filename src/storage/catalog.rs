//! Reading the whole catalog of an organization, for the processes that keep it in memory.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;

use super::batch::catalogs::{CatalogVersions, versions};
use super::entity::{OrgOwned, org, promotion};
use super::{StorageError, Store, Transaction};
use crate::earning::{Catalog, CatalogVersion, EarnExpiry, Org, OrgId, Promotion};

/// Limits how often a catalog is read again because it changed while it was read.
const MAX_READS: usize = 8;

impl Store {
    /// Reads the present catalog version of each of `org_ids` that exists.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn catalog_versions(&self, org_ids: &BTreeSet<OrgId>) -> Result<CatalogVersions, StorageError> {
        let connection = self.lookups.acquire().await?;
        let versions = versions(&self.on(&connection), org_ids).await?;
        connection.release();
        Ok(versions)
    }

    /// Reads the organization and all its promotions. Returns `None` if there is no such organization.
    ///
    /// Reads the version before and after the rest. As no version comes twice, what is read between two equal versions
    /// belongs to that version.
    ///
    /// # Errors
    /// Returns errors of the database; [`StorageError::CatalogMoved`] when the catalog changes during every read.
    pub async fn catalog(&self, org_id: OrgId) -> Result<Option<Catalog>, StorageError> {
        let connection = self.lookups.acquire().await?;
        for _ in 0..MAX_READS {
            let catalog = load(&connection, org_id).await?;
            let after = versions(&self.on(&connection), &BTreeSet::from([org_id])).await?;
            if after.get(&org_id).copied() == catalog.as_ref().map(|catalog| catalog.version) {
                connection.release();
                return Ok(catalog);
            }
        }
        Err(StorageError::CatalogMoved)
    }
}

impl Transaction {
    /// Reads the organization and all its promotions. Returns `None` if there is no such organization. The catalog must
    /// be locked.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn catalog(&self, org_id: OrgId) -> Result<Option<Catalog>, StorageError> {
        load(&self.connection, org_id).await
    }
}

pub(super) async fn load(database: &impl ConnectionTrait, org_id: OrgId) -> Result<Option<Catalog>, StorageError> {
    let Some(row) = org::Entity::of(org_id).find().one(database).await? else { return Ok(None) };
    let org = Org {
        id: org_id,
        name: row.name,
        time_zone: row
            .time_zone
            .parse()
            .map_err(|_| StorageError::Corrupt(format!("time zone {:?}", row.time_zone)))?,
        max_active_promotions: count(row.max_active_promotions),
        accept_unknown_customers: row.accept_unknown_customers,
    };
    let rows = promotion::Entity::of(org_id).find().all(database).await?;
    let promotions = rows.into_iter().map(to_promotion).collect();
    Ok(Some(Catalog::new(CatalogVersion(row.catalog_version), org, promotions)))
}

fn to_promotion(row: promotion::Model) -> Promotion {
    Promotion {
        id: row.id.0,
        name: row.name,
        kind: row.kind.into(),
        active: row.active,
        start_ms: row.start_ms,
        end_ms: row.end_ms,
        max_earning_per_customer: row.max_earning_per_customer.map(count),
        cap_period: row.cap_period,
        earn_expiry: row
            .earn_expiry_days
            .map_or(EarnExpiry::WithPromotion, |days| EarnExpiry::DaysFromEarning(count(days))),
        limited_to_audience: row.earn_limited_to_specific_audience,
        earned: row.earned,
    }
}

/// Converts a number that the table does not allow below 1.
fn count(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
