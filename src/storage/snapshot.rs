//! The catalogs and customers at one moment, for commands that show or export them.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::catalog::load;
use super::entity::stored::Id;
use super::entity::{OrgOwned, api_client, audience, customer, org};
use super::verify::Snapshot;
use super::{StorageError, Store};
use crate::earning::{Catalog, CustomerId, ObjectId, OrgId};

/// The catalogs and customers at one moment.
#[derive(Debug)]
pub struct CatalogSnapshot(Snapshot);

impl Store {
    /// Takes a snapshot, which changes of other transactions do not touch.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn catalog_snapshot(&self) -> Result<CatalogSnapshot, StorageError> {
        Ok(CatalogSnapshot(self.snapshot().await?))
    }
}

impl CatalogSnapshot {
    /// Returns the ids of all organizations.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn org_ids(&self) -> Result<BTreeSet<OrgId>, StorageError> {
        Ok(org::ids(&self.0.transaction).await?)
    }

    /// Returns the organization and its promotions; `None` if there is no such organization.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn catalog(&self, org_id: OrgId) -> Result<Option<Catalog>, StorageError> {
        load(&self.0.transaction, org_id).await
    }

    /// Returns the customers in the audience of a promotion, ordered by id.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn audience(&self, org_id: OrgId, id: ObjectId) -> Result<Vec<CustomerId>, StorageError> {
        use audience::Column;
        let rows = audience::Entity::of(org_id)
            .find()
            .select_only()
            .column(Column::CustomerId)
            .filter(Column::PromotionId.eq(Id(id)))
            .order_by_asc(Column::CustomerId);
        let ids: Vec<i64> = rows.into_tuple().all(&self.0.transaction).await?;
        Ok(ids.into_iter().map(CustomerId).collect())
    }

    /// Returns up to `limit` customers after `after`, ordered by id.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn customers(
        &self,
        org_id: OrgId,
        after: CustomerId,
        limit: u64,
    ) -> Result<Vec<CustomerId>, StorageError> {
        use customer::Column;
        let rows = customer::Entity::of(org_id)
            .find()
            .select_only()
            .column(Column::CustomerId)
            .filter(Column::CustomerId.gt(after.0))
            .order_by_asc(Column::CustomerId)
            .limit(limit);
        let ids: Vec<i64> = rows.into_tuple().all(&self.0.transaction).await?;
        Ok(ids.into_iter().map(CustomerId).collect())
    }

    /// Returns the number of customers of an organization.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn count_customers(&self, org_id: OrgId) -> Result<u64, StorageError> {
        Ok(customer::Entity::of(org_id).find().count(&self.0.transaction).await?)
    }

    /// Returns the number of API clients of an organization.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn count_clients(&self, org_id: OrgId) -> Result<u64, StorageError> {
        Ok(api_client::Entity::of(org_id).find().count(&self.0.transaction).await?)
    }
}
