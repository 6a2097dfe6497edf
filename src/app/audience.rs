//! Changes the audience of a promotion, one change of an organization at a time.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::App;
use super::catalog::{CatalogCall, CatalogError};
use super::transaction::{TransactionEnd, TransactionWork, in_transaction};
use crate::earning::catalog_change::CatalogRefusal;
use crate::earning::history::Origin;
use crate::earning::{CustomerId, ObjectId, OrgId};
use crate::storage::Transaction;
use crate::storage::change::Change;

/// A change of a promotion's audience.
#[derive(Debug)]
pub struct ChangeAudience {
    /// Organization.
    pub org_id: OrgId,
    /// The promotion.
    pub promotion_id: ObjectId,
    /// Customers to add.
    pub add: BTreeSet<CustomerId>,
    /// Customers to remove.
    pub remove: BTreeSet<CustomerId>,
}

/// Numbers of customers that were added to an audience and removed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudienceChanged {
    /// Number of customers that were not in the audience before.
    pub added: usize,
    /// Number of customers that were in the audience before.
    pub removed: usize,
}

/// A change of an audience, and its origin.
struct ChangeAudienceFrom<'a> {
    change: &'a ChangeAudience,
    origin: &'a Origin,
}

#[async_trait]
impl TransactionWork for ChangeAudienceFrom<'_> {
    type Done = AudienceChanged;
    type Error = CatalogError;

    async fn make(&self, transaction: &Transaction) -> Result<TransactionEnd<AudienceChanged>, CatalogError> {
        let Self { change: ChangeAudience { org_id, promotion_id, add, remove }, origin } = self;
        if !transaction.has_promotion(*org_id, *promotion_id).await? {
            return Err(CatalogRefusal::NotFound(*promotion_id).into());
        }
        // Changes of audiences are serialized, so that none of them waits for a row lock of another.
        transaction.lock_changes(*org_id).await?;
        let present = transaction.in_audience(*org_id, *promotion_id, &(add | remove)).await?;
        let (added, removed) = (add - &present, remove & &present);
        let counts = AudienceChanged { added: added.len(), removed: removed.len() };
        if added.is_empty() && removed.is_empty() {
            return Ok(TransactionEnd::Rollback(counts));
        }
        transaction.add_to_audience(*org_id, *promotion_id, &added).await?;
        transaction.remove_from_audience(*org_id, *promotion_id, &removed).await?;
        let changes = Change::of_audience(*promotion_id, &added, &removed);
        transaction.record_changes(*org_id, origin, &changes).await?;
        Ok(TransactionEnd::Commit(counts))
    }
}

impl App {
    /// Adds customers to the audience of a promotion, and removes others.
    ///
    /// # Errors
    /// Returns why the audience was not changed.
    pub async fn change_audience(
        &self,
        call: &CatalogCall,
        change: &ChangeAudience,
    ) -> Result<AudienceChanged, CatalogError> {
        let origin = self.origin(call);
        let work = ChangeAudienceFrom { change, origin: &origin };
        self.changing(&call.client, change.org_id, in_transaction(&self.store, &work)).await
    }
}
