//! The changes that an import makes, for the history of each organization.

use std::collections::{BTreeMap, HashMap};

use crate::earning::history::Origin;
use crate::earning::{Catalog, OrgId, Promotion};
use crate::storage::change::Change;
use crate::storage::{StorageError, Transaction};

/// Changes of each organization.
pub(super) type ChangesMade = BTreeMap<OrgId, Vec<Change>>;

/// Returns the changes of the organization and its promotions from one catalog to another; `before` is `None` for a new
/// organization. Promotions come in the order of their ids.
fn of_catalog(before: Option<&Catalog>, after: &Catalog) -> Vec<Change> {
    let recorded = |promotion: &Promotion| before.and_then(|before| before.promotions.get(&promotion.id));
    let mut promotions: Vec<_> = after.promotions.values().collect();
    promotions.sort_unstable_by_key(|promotion| promotion.id);
    let org = Change::of_org(before.map(|before| &before.org), &after.org);
    let promotions =
        promotions.into_iter().filter_map(|promotion| Change::of_promotion(recorded(promotion), promotion));
    org.into_iter().chain(promotions).collect()
}

/// Records the changes of catalogs, each of which gets a new version, and the other changes after them.
///
/// # Errors
/// Returns the error of the database.
pub(super) async fn record(
    transaction: &Transaction,
    origin: &Origin,
    catalogs: Catalogs<'_>,
    mut others: ChangesMade,
) -> Result<(), StorageError> {
    for after in catalogs.after {
        let org_id = after.org.id;
        let mut changes = of_catalog(catalogs.before.get(&org_id), after);
        if !changes.is_empty() {
            changes.extend(others.remove(&org_id).unwrap_or_default());
            transaction.raise_catalog_version(org_id, origin, &changes).await?;
        }
    }
    for (org_id, changes) in others {
        transaction.record_changes(org_id, origin, &changes).await?;
    }
    Ok(())
}

/// The catalogs that an import wrote, ordered by organization, and as they were before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Catalogs<'a> {
    pub before: &'a HashMap<OrgId, Catalog>,
    pub after: &'a [Catalog],
}
