//! Keeps catalogs in memory, so that earning reads none from the database.
//!
//! A catalog in memory may be outdated at any time, and nothing depends on its age: a write requires the version that
//! it was decided from (`storage::batch`), and a catalog that is only displayed is first compared with the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::earning::{Catalog, CatalogVersion, OrgId};
use crate::storage::{StorageError, Store};

/// The catalog of each organization of a batch.
pub(super) type InMemory = HashMap<OrgId, Arc<Catalog>>;

/// A cache of the catalogs of the requested organizations.
#[derive(Debug)]
pub struct CatalogCache {
    store: Store,
    in_memory: Mutex<InMemory>,
    /// Time at which each was read.
    read_at: Mutex<HashMap<OrgId, Instant>>,
}

impl CatalogCache {
    pub(super) fn new(store: Store) -> Self {
        Self { store, in_memory: Mutex::default(), read_at: Mutex::default() }
    }

    /// Returns the catalog of each of `org_ids` that exists, as of the last time it was read.
    ///
    /// # Errors
    /// Returns the error of the database, which is asked for catalogs that are not in memory.
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
    /// Returns the error of the database.
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

    /// Returns the time since the catalog that was not read for the longest time was read; zero without a catalog.
    pub(super) fn age(&self) -> Duration {
        self.read_at.lock().values().map(Instant::elapsed).max().unwrap_or_default()
    }

    /// Reads a catalog, and stores it in the cache.
    async fn read(&self, org_id: OrgId) -> Result<Option<Arc<Catalog>>, StorageError> {
        let read = self.store.catalog(org_id).await?.map(Arc::new);
        let (mut in_memory, mut read_at) = (self.in_memory.lock(), self.read_at.lock());
        if let Some(catalog) = &read {
            in_memory.insert(org_id, Arc::clone(catalog));
            read_at.insert(org_id, Instant::now());
        } else {
            in_memory.remove(&org_id);
            read_at.remove(&org_id);
        }
        Ok(read)
    }
}

/// Returns the versions that a decision from these catalogs depends on.
pub(super) fn versions(catalogs: &InMemory) -> BTreeMap<OrgId, CatalogVersion> {
    catalogs.iter().map(|(org_id, catalog)| (*org_id, catalog.version)).collect()
}
