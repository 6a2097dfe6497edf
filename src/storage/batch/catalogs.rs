//! The catalog fence: a write commits only against the catalog version that it was decided from.
//!
//! A batch locks the catalogs of its organizations in shared mode and requires the versions of its decision. A change
//! of a catalog locks it exclusively, and gives it a version that it never had.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DerivePartialModel, QueryFilter};

use crate::earning::history::{Actor, Origin};
use crate::earning::{CatalogVersion, ObjectId, OrgId, Promotion, Timestamp};
use crate::storage::StorageError;
use crate::storage::change::Change;
use crate::storage::entity::stored::Id;
use crate::storage::entity::{OrgOwned, org, promotion};
use crate::storage::org_owned::Search;
use crate::storage::rows::Rows;
use crate::storage::statement::On;
use crate::storage::transaction::Transaction;

/// Version of each organization's catalog that a batch is decided from. The batch locks them in this order.
pub type CatalogVersions = BTreeMap<OrgId, CatalogVersion>;

/// Locks each catalog of a list in shared mode; the migration defines the function.
const HOLD: &str = "SELECT hold_catalog(org_id, catalog_version) AS held FROM wanted";

/// Lists the catalogs and their versions.
pub(in crate::storage) fn rows(catalogs: &CatalogVersions) -> Rows<'static> {
    Rows::of_orgs(catalogs.keys().copied())
        .integers(org::Column::CatalogVersion, catalogs.values().map(|version| version.0))
}

/// Searches the catalogs of a list that have the listed versions.
pub(in crate::storage) fn current() -> Search<org::Entity> {
    Search::by(&[org::Column::CatalogVersion])
}

/// Locks the catalogs in shared mode until the transaction ends. Returns true if each of them has the listed version.
///
/// On an engine with one writer, reads the versions: a process that changes them waits for this transaction.
pub(in crate::storage) async fn hold(
    on: &On<'_, impl ConnectionTrait>,
    catalogs: &CatalogVersions,
) -> Result<bool, StorageError> {
    if on.dialect.has_one_writer() {
        let keys: Vec<_> = catalogs.keys().collect();
        return Ok(current().which(on, &keys, rows(catalogs)).await?.len() == catalogs.len());
    }
    let held = on.query(HOLD, rows(catalogs)).await?;
    let held = held.iter().map(|row| row.try_get("", "held")).collect::<Result<Vec<bool>, _>>()?;
    Ok(held.into_iter().all(|held| held))
}

impl Transaction {
    /// Locks the catalog of an organization exclusively until the transaction ends: waits for the batches that hold it,
    /// and makes later ones wait. Must come before any read, with the organizations in ascending order.
    ///
    /// # Errors
    /// Returns errors of the database; [`StorageError::Busy`] when the lock is not obtained in time.
    pub async fn lock_catalog(&self, org_id: OrgId) -> Result<(), StorageError> {
        self.lock(org_id.0).await
    }

    /// Records at `now` that promotions were earned for the first time, and
    /// gives their catalogs new versions, which it returns. The catalogs must be locked.
    pub(in crate::storage) async fn mark_first_earnings(
        &self,
        first: &BTreeSet<(OrgId, ObjectId)>,
        now: Timestamp,
    ) -> Result<CatalogVersions, StorageError> {
        let mut changes = BTreeMap::<_, Vec<_>>::new();
        for (org_id, promotion_id) in first {
            changes.entry(*org_id).or_default().extend(self.mark_earned(*org_id, *promotion_id).await?);
        }
        let origin = Origin { actor: Actor::Service, request_id: None, at: now };
        for (org_id, changes) in &changes {
            self.raise_catalog_version(*org_id, &origin, changes).await?;
        }
        versions(&self.on(), &changes.into_keys().collect()).await
    }

    /// Marks a promotion as earned. Returns the change, unless the promotion is marked already.
    async fn mark_earned(&self, org_id: OrgId, id: ObjectId) -> Result<Option<Change>, StorageError> {
        use promotion::Column;
        let found = promotion::Entity::of(org_id).find().filter(Column::Id.eq(Id(id)));
        let Some(before) = found.one(&self.connection).await?.map(Promotion::from) else { return Ok(None) };
        let mark = promotion::Entity::of(org_id).update().filter(Column::Id.eq(Id(id)));
        mark.col_expr(Column::Earned, Expr::value(true)).exec(&self.connection).await?;
        Ok(Change::of_promotion(Some(&before), &Promotion { earned: true, ..before.clone() }))
    }
}

/// Recorded version of a catalog.
#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "org::Entity")]
pub(in crate::storage) struct Version {
    pub id: i64,
    pub catalog_version: i64,
}

/// Reads the present catalog version of each organization that exists.
pub(in crate::storage) async fn versions(
    on: &On<'_, impl ConnectionTrait>,
    orgs: &BTreeSet<OrgId>,
) -> Result<CatalogVersions, StorageError> {
    let found = Search::<org::Entity>::by(&[]).run::<Version>(on, Rows::of_orgs(orgs.iter().copied())).await?;
    Ok(found.iter().map(|found| (OrgId(found.row.id), CatalogVersion(found.row.catalog_version))).collect())
}
