//! Holding the catalogs of the next batch.

use std::collections::BTreeSet;

use super::catalogs::{self, CatalogVersions};
use crate::earning::{CatalogVersion, OrgId};
use crate::storage::StorageError;
use crate::storage::transaction::Transaction;

/// Transaction that holds catalogs.
#[derive(Debug)]
pub(super) struct HeldCatalogs {
    pub transaction: Transaction,
    /// Organizations whose catalogs are held exclusively.
    pub exclusive: BTreeSet<OrgId>,
}

impl HeldCatalogs {
    /// Locks the catalogs of organizations until the transaction ends, those of `exclusive` exclusively.
    pub async fn lock(
        transaction: Transaction,
        orgs: &BTreeSet<OrgId>,
        exclusive: &BTreeSet<OrgId>,
    ) -> Result<Self, StorageError> {
        // The locks are taken in one pass in ascending order, so that two batches never wait for each other.
        for org_id in orgs {
            if exclusive.contains(org_id) {
                transaction.lock_catalog(*org_id).await?;
            } else {
                catalogs::hold(&transaction.on(), &of_any_version(*org_id)).await?;
            }
        }
        Ok(Self { transaction, exclusive: exclusive.clone() })
    }
}

/// Names the catalog of an organization in order to hold it, whatever its version is.
pub(super) fn of_any_version(org_id: OrgId) -> CatalogVersions {
    [(org_id, CatalogVersion(0))].into()
}
