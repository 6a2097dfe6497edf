//! The catalogs in memory, so that earning reads none from the database.
//!
//! What is in memory may be old at any time, and nothing depends on its age: a write requires the version that it was
//! decided from (`storage::batch`), and what is only shown is compared with the database first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::earning::{Catalog, CatalogVersion, OrgId};
use crate::storage::{StorageError, Store};

/// The catalog of each organization of a batch.
pub(super) type InMemory = HashMap<OrgId, Arc<Catalog>>;

/// The catalogs of the organizations that were asked for.
#[derive(Debug)]
pub struct CatalogCache {
    store: Store,
    in_memory: Mutex<InMemory>,
}

impl CatalogCache {
    pub(super) fn new(store: Store) -> Self {
        Self { store, in_memory: Mutex::default() }
    }

    /// Returns the catalog of each of `org_ids` that exists, as it was when it was last read.
    ///
    /// # Errors
    /// Those of the database, where one is not in memory.
    pub(super) async fn of(&self, org_ids: &BTreeSet<OrgId>) -> Result<InMemory, StorageError> {
        let mut found: InMemory = {
            let in_memory = self.in_memory.lock();
            org_ids.iter().filter_map(|org_id| Some((*org_id, Arc::clone(in_memory.get(org_id)?)))).collect()
        };
        for org_id in org_ids {
            if !found.contains_key(org_id) {
                found.extend(self.read(*org_id).await?.map(|catalog| (*org_id, catalog)));
            }
        }
        Ok(found)
    }

    /// Returns the catalog of each of `org_ids` that exists, as it is now.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn current(&self, org_ids: &BTreeSet<OrgId>) -> Result<InMemory, StorageError> {
        let versions = self.store.catalog_versions(org_ids).await?;
        let mut found = InMemory::new();
        for (org_id, version) in &versions {
            let known = self.in_memory.lock().get(org_id).filter(|known| known.version == *version).cloned();
            let catalog = match known {
                Some(known) => Some(known),
                None => self.read(*org_id).await?,
            };
            found.extend(catalog.map(|catalog| (*org_id, catalog)));
        }
        Ok(found)
    }

    /// Reads a catalog, and keeps it.
    async fn read(&self, org_id: OrgId) -> Result<Option<Arc<Catalog>>, StorageError> {
        let read = self.store.catalog(org_id).await?.map(Arc::new);
        let mut in_memory = self.in_memory.lock();
        match &read {
            Some(catalog) => drop(in_memory.insert(org_id, Arc::clone(catalog))),
            None => drop(in_memory.remove(&org_id)),
        }
        Ok(read)
    }
}

/// Returns the versions that a decision from these catalogs depends on.
pub(super) fn versions(catalogs: &InMemory) -> BTreeMap<OrgId, CatalogVersion> {
    catalogs.iter().map(|(org_id, catalog)| (*org_id, catalog.version)).collect()
}
