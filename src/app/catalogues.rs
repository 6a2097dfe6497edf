//! The catalogues in memory, so that earning reads none from the database.
//!
//! A catalogue is used for a second after it was found to be the current version; those in use are compared with the
//! database more often than that, beside the calls. Polling the version rather than listening for notifications is one
//! way for every engine, works through any connection pooler, and has no message that a broken connection could lose.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::lock;
use crate::earning::{Catalogue, OrgId};
use crate::storage::{StorageError, Store};

/// How long a catalogue is used without asking for its version: a change is obeyed within this time.
pub const FRESH_FOR: Duration = Duration::from_secs(1);

/// The catalogue of each organization of a batch.
pub(super) type InMemory = HashMap<OrgId, Arc<Catalogue>>;

/// The catalogues of the organizations that earn.
#[derive(Debug)]
pub struct Catalogues {
    store: Store,
    in_memory: Mutex<HashMap<OrgId, Snapshot>>,
    /// The versions that this process made: nothing older is used any more.
    required: Mutex<HashMap<OrgId, i64>>,
}

#[derive(Debug)]
struct Snapshot {
    catalogue: Arc<Catalogue>,
    /// When it was known to be current.
    current_at: Instant,
    /// Whether it was used since it was last compared.
    used: bool,
}

impl Catalogues {
    pub(super) fn new(store: Store) -> Self {
        Self { store, in_memory: Mutex::default(), required: Mutex::default() }
    }

    /// The catalogue of each of `org_ids` that exists.
    ///
    /// # Errors
    /// Of the database, where one is not in memory or not known to be current.
    pub async fn of(&self, org_ids: &BTreeSet<OrgId>) -> Result<HashMap<OrgId, Arc<Catalogue>>, StorageError> {
        let (mut found, unsure) = self.fresh(org_ids);
        if !unsure.is_empty() {
            // They were current after this call began, however much they change from now on.
            found.extend(self.compare(&unsure).await?);
        }
        Ok(found)
    }

    /// From here on no catalogue of this organization is used that is older than `version`.
    pub(super) fn require(&self, org_id: OrgId, version: i64) {
        let mut required = lock(&self.required);
        let required = required.entry(org_id).or_default();
        *required = version.max(*required);
    }

    /// The ones that are current, and which may not be.
    fn fresh(&self, org_ids: &BTreeSet<OrgId>) -> (HashMap<OrgId, Arc<Catalogue>>, BTreeSet<OrgId>) {
        let (mut in_memory, required) = (self.in_memory(), lock(&self.required));
        let (mut found, mut unsure) = (HashMap::new(), BTreeSet::new());
        for org_id in org_ids {
            let required = required.get(org_id).copied().unwrap_or_default();
            let fresh = |snapshot: &&mut Snapshot| {
                snapshot.current_at.elapsed() < FRESH_FOR && snapshot.catalogue.version >= required
            };
            match in_memory.get_mut(org_id).filter(fresh) {
                Some(snapshot) => {
                    snapshot.used = true;
                    found.insert(*org_id, Arc::clone(&snapshot.catalogue));
                }
                None => drop(unsure.insert(*org_id)),
            }
        }
        (found, unsure)
    }

    /// Compares those that were used since the last time with the database.
    ///
    /// # Errors
    /// Of the database.
    pub async fn refresh(&self) -> Result<(), StorageError> {
        let used: BTreeSet<_> = self
            .in_memory()
            .iter_mut()
            .filter_map(|(org_id, snapshot)| std::mem::take(&mut snapshot.used).then_some(*org_id))
            .collect();
        if used.is_empty() { Ok(()) } else { self.compare(&used).await.map(drop) }
    }

    /// The catalogue of each of `org_ids` that exists, compared with the database just now.
    ///
    /// # Errors
    /// Of the database.
    pub(super) async fn compare(&self, org_ids: &BTreeSet<OrgId>) -> Result<InMemory, StorageError> {
        // Before the question: what is changed after it may be missing from the answer.
        let current_at = Instant::now();
        let versions = self.store.catalogue_versions(org_ids).await?;
        let mut found = InMemory::new();
        for org_id in org_ids {
            let Some(version) = versions.get(org_id).copied() else {
                self.in_memory().remove(org_id);
                continue;
            };
            let known = self.in_memory().get(org_id).map(|snapshot| Arc::clone(&snapshot.catalogue));
            let catalogue = match known.filter(|known| known.version >= version) {
                Some(known) => known,
                None => match self.store.catalogue(*org_id).await? {
                    Some(catalogue) => Arc::new(catalogue),
                    None => continue,
                },
            };
            self.keep(*org_id, &catalogue, current_at);
            found.insert(*org_id, catalogue);
        }
        Ok(found)
    }

    /// Keeps it, unless a newer one is kept already.
    fn keep(&self, org_id: OrgId, catalogue: &Arc<Catalogue>, current_at: Instant) {
        let mut in_memory = self.in_memory();
        match in_memory.get_mut(&org_id) {
            Some(kept) if kept.catalogue.version > catalogue.version => {}
            Some(kept) if kept.catalogue.version == catalogue.version => {
                kept.current_at = kept.current_at.max(current_at);
            }
            _ => {
                let snapshot = Snapshot { catalogue: Arc::clone(catalogue), current_at, used: true };
                in_memory.insert(org_id, snapshot);
            }
        }
    }

    fn in_memory(&self) -> MutexGuard<'_, HashMap<OrgId, Snapshot>> {
        lock(&self.in_memory)
    }
}
