//! Reading the whole catalog of an organization, for the processes that keep it in memory.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;

use super::batch::catalogs::{CatalogVersions, versions};
use super::entity::stored::count;
use super::entity::{OrgOwned, org, promotion};
use super::{StorageError, Store, Transaction};
use crate::earning::{Catalog, CatalogVersion, Org, OrgId, Promotion};

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
    let promotions = rows.into_iter().map(Promotion::from).collect();
    Ok(Some(Catalog::new(CatalogVersion(row.catalog_version), org, promotions)))
}
