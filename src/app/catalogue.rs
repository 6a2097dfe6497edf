//! Changing the catalogue and the customer base, one call at a time.
//!
//! Changes of one organization's promotions go one after the other: each first takes the organization's row, and decides
//! from the catalogue as it is then.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::App;
use super::earn_ids::EarnIds;
use super::error::WalletError;
use crate::earning::catalogue_change::{CatalogueChange, CatalogueRefusal, apply};
use crate::earning::{Catalogue, CustomerId, ObjectId, OrgId, Promotion};
use crate::storage::{StorageError, Store};

/// Why the catalogue stays as it is.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogueError {
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] CatalogueRefusal),
    /// The organization is not recorded.
    #[error("there is no organization {}", .0.0)]
    NoOrganization(OrgId),
    /// The database did not serve, or others were in the way. Trying again may help.
    #[error("the catalogue cannot be changed at the moment")]
    Unavailable(#[source] Arc<StorageError>),
    /// The database failed.
    #[error("the catalogue could not be changed")]
    Storage(#[source] Arc<StorageError>),
}

impl From<StorageError> for CatalogueError {
    fn from(error: StorageError) -> Self {
        if error.may_pass() { Self::Unavailable(Arc::new(error)) } else { Self::Storage(Arc::new(error)) }
    }
}

/// Changes a promotion of an organization at `now_ms` (milliseconds since 1970-01-01T00:00:00Z). Gives it as it is then,
/// and the version of the catalogue.
///
/// # Errors
/// Why it stays as it is.
pub async fn change_promotion(
    store: &Store,
    org_id: OrgId,
    change: CatalogueChange,
    now_ms: i64,
) -> Result<(Promotion, i64), CatalogueError> {
    let id = match &change {
        CatalogueChange::Create(promotion) | CatalogueChange::Replace(promotion) => promotion.id,
        CatalogueChange::SetActive(id, _) => *id,
    };
    let transaction = store.begin().await?;
    // First of all: from here on every other change of this organization waits.
    transaction.bump_catalogue_versions(&BTreeSet::from([org_id])).await?;
    let catalogue = transaction.catalogue(org_id).await?.ok_or(CatalogueError::NoOrganization(org_id))?;
    let Some(promotion) = apply(change, &catalogue, now_ms)? else {
        transaction.rollback().await?;
        let promotion = catalogue.promotions.get(&id).cloned();
        // The version as it was before this.
        return Ok((promotion.ok_or(CatalogueRefusal::NotFound(id))?, catalogue.version - 1));
    };
    transaction.upsert_promotion(org_id, &promotion).await?;
    transaction.commit().await?;
    Ok((promotion, catalogue.version))
}

/// The catalogue of an organization, from the database.
///
/// # Errors
/// When there is no such organization, or of the database.
pub async fn recorded(store: &Store, org_id: OrgId) -> Result<Catalogue, CatalogueError> {
    store.catalogue(org_id).await?.ok_or(CatalogueError::NoOrganization(org_id))
}

/// An id that no promotion has, made at `now_ms` (milliseconds since 1970-01-01T00:00:00Z).
pub fn new_promotion_id(now_ms: i64) -> ObjectId {
    EarnIds::of_this_process().next(now_ms)
}

/// Up to `limit` promotions of a catalogue in the order of their ids, those after `after`; and whether there are more.
pub fn page_of(catalogue: &Catalogue, limit: usize, after: Option<ObjectId>) -> (Vec<&Promotion>, bool) {
    let mut promotions: Vec<_> =
        catalogue.promotions.values().filter(|promotion| after.is_none_or(|after| promotion.id > after)).collect();
    promotions.sort_unstable_by_key(|promotion| promotion.id);
    let more = promotions.len() > limit;
    promotions.truncate(limit);
    (promotions, more)
}

/// Records customers of an organization that is recorded, in one transaction. Gives how many were not recorded before.
///
/// # Errors
/// Of the database.
pub async fn record_customers(
    store: &Store,
    org_id: OrgId,
    customers: &BTreeSet<CustomerId>,
) -> Result<usize, StorageError> {
    let transaction = store.begin().await?;
    let customers: Vec<_> = customers.iter().map(|customer_id| (org_id, *customer_id)).collect();
    let added = transaction.upsert_customers(&customers).await?;
    transaction.commit().await?;
    Ok(added)
}

impl App {
    /// An id that no promotion has.
    pub fn new_promotion_id(&self) -> ObjectId {
        new_promotion_id(self.now_ms())
    }

    /// Changes a promotion. Gives it as it is then.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub async fn change_promotion(&self, org_id: OrgId, change: CatalogueChange) -> Result<Promotion, CatalogueError> {
        let changed = change_promotion(&self.store, org_id, change, self.now_ms());
        let (promotion, version) = self.within(changed).await?;
        // From here on this process earns by nothing older.
        self.catalogues.require(org_id, version);
        Ok(promotion)
    }

    /// The promotions of these ids that the organization has, in this order.
    ///
    /// # Errors
    /// Why they could not be looked up.
    pub async fn promotions(&self, org_id: OrgId, ids: &[ObjectId]) -> Result<Vec<Promotion>, WalletError> {
        let catalogue = self.within(self.catalogue(org_id)).await?;
        Ok(ids.iter().filter_map(|id| catalogue.promotions.get(id)).cloned().collect())
    }

    /// Up to `limit` promotions of the organization in the order of their ids, those after `after`; and whether there are
    /// more.
    ///
    /// # Errors
    /// Why they could not be looked up.
    pub async fn list_promotions(
        &self,
        org_id: OrgId,
        limit: usize,
        after: Option<ObjectId>,
    ) -> Result<(Vec<Promotion>, bool), WalletError> {
        let catalogue = self.within(self.catalogue(org_id)).await?;
        let (promotions, more) = page_of(&catalogue, limit, after);
        Ok((promotions.into_iter().cloned().collect(), more))
    }

    /// Adds customers to the audience of a promotion, and removes others. Gives how many were added and removed.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub async fn change_audience(
        &self,
        (org_id, promotion_id): (OrgId, ObjectId),
        add: &BTreeSet<CustomerId>,
        remove: &BTreeSet<CustomerId>,
    ) -> Result<(usize, usize), CatalogueError> {
        let changed = async {
            let transaction = self.store.begin().await?;
            if !transaction.has_promotion(org_id, promotion_id).await? {
                return Err(CatalogueRefusal::NotFound(promotion_id).into());
            }
            let added = transaction.add_to_audience(org_id, promotion_id, add).await?;
            let removed = transaction.remove_from_audience(org_id, promotion_id, remove).await?;
            transaction.commit().await?;
            Ok((added, removed))
        };
        self.within(changed).await
    }

    /// Records customers. Gives how many were not recorded before.
    ///
    /// # Errors
    /// Of the database.
    pub async fn record_customers(
        &self,
        org_id: OrgId,
        customers: &BTreeSet<CustomerId>,
    ) -> Result<usize, WalletError> {
        self.within(async { Ok(record_customers(&self.store, org_id, customers).await?) }).await
    }

    /// Whether the customer is recorded.
    ///
    /// # Errors
    /// Of the database.
    pub async fn is_customer(&self, org_id: OrgId, customer_id: CustomerId) -> Result<bool, WalletError> {
        self.within(async { Ok(self.store.is_customer(org_id, customer_id).await?) }).await
    }
}
