//! Changes the promotions and the customer base, one call at a time.
//!
//! Changes of one organization's promotions are serialized: each first locks the catalog, and is decided from the
//! catalog as it is then.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::earn_ids::EarnIds;
use super::transaction::{ChangeError, TransactionEnd, TransactionWork, in_transaction};
use super::{App, ReadSlot};
use crate::earning::catalog_change::{CatalogChange, CatalogRefusal, apply};
use crate::earning::history::{Actor, Origin};
use crate::earning::{Catalog, CustomerId, ObjectId, OrgId, Promotion, Timestamp};
use crate::storage::change::Change;
use crate::storage::{StorageError, Store, Transaction};
use crate::writer::error::WalletError;

/// The reason for which a change of the catalog is not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// A rule forbids the change.
    #[error(transparent)]
    Refused(#[from] CatalogRefusal),
    /// The organization is not recorded.
    #[error("there is no organization {}", .0.0)]
    NoOrganization(OrgId),
    /// The database was unavailable, or other transactions held locks. A retry may succeed.
    #[error("the catalog cannot be changed at the moment")]
    Unavailable(#[source] Arc<StorageError>),
    /// The database failed.
    #[error("the catalog could not be changed")]
    Storage(#[source] Arc<StorageError>),
}

impl ChangeError for CatalogError {
    fn storage(&self) -> Option<&StorageError> {
        match self {
            Self::Unavailable(error) | Self::Storage(error) => Some(error),
            Self::Refused(_) | Self::NoOrganization(_) => None,
        }
    }
}

impl From<StorageError> for CatalogError {
    fn from(error: StorageError) -> Self {
        if error.may_pass() { Self::Unavailable(Arc::new(error)) } else { Self::Storage(Arc::new(error)) }
    }
}

/// Changes a promotion of an organization. Returns the promotion after the change.
///
/// # Errors
/// Returns why the promotion was not changed.
pub async fn change_promotion(
    store: &Store,
    org_id: OrgId,
    change: CatalogChange,
    origin: &Origin,
) -> Result<Promotion, CatalogError> {
    in_transaction(store, &ChangePromotion { org_id, change, origin }).await
}

/// A change of a promotion.
struct ChangePromotion<'a> {
    org_id: OrgId,
    change: CatalogChange,
    origin: &'a Origin,
}

#[async_trait]
impl TransactionWork for ChangePromotion<'_> {
    type Done = Promotion;
    type Error = CatalogError;

    async fn make(&self, transaction: &Transaction) -> Result<TransactionEnd<Promotion>, CatalogError> {
        let Self { org_id, change, origin } = self;
        let id = match change {
            CatalogChange::Create(promotion) | CatalogChange::Replace(promotion) => promotion.id,
            CatalogChange::SetActive(id, _) => *id,
        };
        // The lock is taken first: it waits for every batch that holds the catalog, and every other change of the
        // catalog waits here.
        transaction.lock_catalog(*org_id).await?;
        let catalog = transaction.catalog(*org_id).await?.ok_or(CatalogError::NoOrganization(*org_id))?;
        let recorded = catalog.promotions.get(&id);
        let applied = apply(change.clone(), &catalog, origin.at)?;
        let change = applied.as_ref().and_then(|promotion| Change::of_promotion(recorded, promotion));
        let (Some(promotion), Some(change)) = (applied, change) else {
            return Ok(TransactionEnd::Rollback(recorded.cloned().ok_or(CatalogRefusal::NotFound(id))?));
        };
        save_promotion(transaction, &catalog, &promotion).await?;
        transaction.raise_catalog_version(*org_id, origin, &[change]).await?;
        Ok(TransactionEnd::Commit(promotion))
    }
}

/// Saves a promotion, and replaces the one of the same id in `catalog`, if there is one.
async fn save_promotion(
    transaction: &Transaction,
    catalog: &Catalog,
    promotion: &Promotion,
) -> Result<(), StorageError> {
    let org_id = catalog.org.id;
    let mut after = catalog.clone();
    after.promotions.insert(promotion.id, promotion.clone());
    transaction.record_former_terms(org_id, &catalog.former_terms(&after)).await?;
    transaction.upsert_promotion(org_id, promotion).await
}

/// Returns the catalog of an organization, from the database.
///
/// # Errors
/// Returns an error when there is no such organization, or the error of the database.
pub async fn recorded(store: &Store, org_id: OrgId) -> Result<Catalog, CatalogError> {
    store.catalog(org_id).await?.ok_or(CatalogError::NoOrganization(org_id))
}

/// Returns an id that no promotion has, made at `now`.
pub fn new_promotion_id(now: Timestamp) -> ObjectId {
    EarnIds::of_this_process().next(now)
}

/// Returns up to `limit` promotions of a catalog, ordered by id, after the id `after`; and true when more follow.
pub fn page_of(catalog: &Catalog, limit: usize, after: Option<ObjectId>) -> (Vec<&Promotion>, bool) {
    let mut promotions: Vec<_> =
        catalog.promotions.values().filter(|promotion| after.is_none_or(|after| promotion.id > after)).collect();
    promotions.sort_unstable_by_key(|promotion| promotion.id);
    let more = promotions.len() > limit;
    promotions.truncate(limit);
    (promotions, more)
}

/// A page of promotions.
#[derive(Debug)]
pub struct PromotionPage {
    /// Promotions of the page.
    pub promotions: Vec<Promotion>,
    /// True when more promotions follow.
    pub more: bool,
    /// The client's slot for large pages, held until the page is encoded.
    pub slot: Option<ReadSlot>,
}

/// Records customers of a recorded organization in one transaction. Returns how many were not recorded before.
///
/// # Errors
/// Returns the error of the database.
pub async fn record_customers(
    store: &Store,
    org_id: OrgId,
    customers: &BTreeSet<CustomerId>,
) -> Result<usize, StorageError> {
    let customers = customers.iter().map(|customer_id| (org_id, *customer_id)).collect();
    in_transaction(store, &RecordCustomers(customers)).await
}

/// Customers to record.
struct RecordCustomers(BTreeSet<(OrgId, CustomerId)>);

#[async_trait]
impl TransactionWork for RecordCustomers {
    type Done = usize;
    type Error = StorageError;

    async fn make(&self, transaction: &Transaction) -> Result<TransactionEnd<usize>, StorageError> {
        Ok(TransactionEnd::Commit(transaction.upsert_customers(&self.0).await?))
    }
}

/// Returns how many of the customers are not recorded. Records nothing.
///
/// # Errors
/// Returns the error of the database.
pub async fn count_new(store: &Store, org_id: OrgId, customers: &BTreeSet<CustomerId>) -> Result<usize, StorageError> {
    let customers = customers.iter().map(|customer_id| (org_id, *customer_id)).collect();
    in_transaction(store, &CountNew(customers)).await
}

/// Customers to count.
struct CountNew(BTreeSet<(OrgId, CustomerId)>);

#[async_trait]
impl TransactionWork for CountNew {
    type Done = usize;
    type Error = StorageError;

    async fn make(&self, transaction: &Transaction) -> Result<TransactionEnd<usize>, StorageError> {
        let known = transaction.known_customers(&self.0).await?;
        Ok(TransactionEnd::Rollback(self.0.len() - known.len()))
    }
}

/// A page of promotions: up to `limit` of them, after the id `after`.
#[derive(Debug, Clone, Copy)]
pub struct PageWanted {
    /// Limits the promotions of the page.
    pub limit: usize,
    /// The last promotion of the page before.
    pub after: Option<ObjectId>,
}

/// A call that changes a catalog or an audience.
#[derive(Debug, Clone)]
pub struct CatalogCall {
    /// Name of the API client.
    pub client: Arc<str>,
    /// Request id of the call.
    pub request_id: Option<Arc<str>>,
}

impl App {
    /// Returns the origin of a change that a call makes now.
    pub(super) fn origin(&self, call: &CatalogCall) -> Origin {
        let CatalogCall { client, request_id } = call;
        Origin { actor: Actor::Client(Arc::clone(client)), request_id: request_id.clone(), at: self.now() }
    }

    /// Returns an id that no promotion has.
    pub fn new_promotion_id(&self) -> ObjectId {
        new_promotion_id(self.now())
    }

    /// Changes a promotion. Returns the promotion after the change.
    ///
    /// # Errors
    /// Returns why the promotion was not changed.
    pub async fn change_promotion(
        &self,
        call: &CatalogCall,
        org_id: OrgId,
        change: CatalogChange,
    ) -> Result<Promotion, CatalogError> {
        let origin = self.origin(call);
        self.changing(&call.client, org_id, change_promotion(&self.store, org_id, change, &origin)).await
    }

    /// Returns the promotions of these ids that the organization has, in the order of `ids`.
    ///
    /// # Errors
    /// Returns why they could not be looked up.
    pub async fn promotions(
        &self,
        client: &Arc<str>,
        org_id: OrgId,
        ids: &[ObjectId],
    ) -> Result<PromotionPage, WalletError> {
        let slot = self.gates.large_read(client, ids.len()).await?;
        let catalog = self.reading(client, self.catalog(org_id)).await?;
        let promotions = ids.iter().filter_map(|id| catalog.promotions.get(id)).cloned().collect();
        Ok(PromotionPage { promotions, more: false, slot })
    }

    /// Returns a page of the promotions of the organization, ordered by id.
    ///
    /// # Errors
    /// Returns why they could not be looked up.
    pub async fn list_promotions(
        &self,
        client: &Arc<str>,
        org_id: OrgId,
        wanted: PageWanted,
    ) -> Result<PromotionPage, WalletError> {
        let PageWanted { limit, after } = wanted;
        let slot = self.gates.large_read(client, limit).await?;
        let catalog = self.reading(client, self.catalog(org_id)).await?;
        let (promotions, more) = page_of(&catalog, limit, after);
        Ok(PromotionPage { promotions: promotions.into_iter().cloned().collect(), more, slot })
    }

    /// Records customers. Returns how many were not recorded before.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub async fn record_customers(
        &self,
        client: &Arc<str>,
        org_id: OrgId,
        customers: &BTreeSet<CustomerId>,
    ) -> Result<usize, WalletError> {
        self.changing(client, org_id, async { Ok(record_customers(&self.store, org_id, customers).await?) }).await
    }

    /// Returns true when the customer is recorded.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub async fn is_customer(
        &self,
        client: &Arc<str>,
        org_id: OrgId,
        customer_id: CustomerId,
    ) -> Result<bool, WalletError> {
        self.reading(client, async { Ok(self.store.is_customer(org_id, customer_id).await?) }).await
    }
}
