//! Recording changes of catalogs, audiences and API clients, each within the transaction that makes it.
//!
//! A catalog gets a new version here only, together with the records of the changes. A change of an audience or of an
//! API client is not decided from a version, and batches need not wait for it: it leaves the version as it is, and is
//! recorded after the changes that made that version.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, IdenStatic, QueryFilter, QueryOrder, QuerySelect};

use super::catalogs::versions;
use crate::earning::OrgId;
use crate::earning::history::Origin;
use crate::storage::StorageError;
use crate::storage::change::{Change, Content, RANDOM_BITS};
use crate::storage::entity::catalog_change::{Column, Entity};
use crate::storage::entity::stored::StoredAction;
use crate::storage::entity::{OrgOwned, org};
use crate::storage::org_owned::{Insertion, Present};
use crate::storage::rows::Rows;
use crate::storage::transaction::Transaction;

/// Limits the records of one statement, each of which may have 40 kB.
const ROWS_PER_STATEMENT: usize = 100;
/// Limits the stored text of an actor, in characters: more than a username
/// ([`USERNAME_MAX_LEN`](crate::earning::limits::api_client::USERNAME_MAX_LEN)) and a prefix take.
pub(in crate::storage) const MAX_ACTOR_CHARACTERS: usize = 300;

/// Columns of a record, after the organization.
const COLUMNS: [Column; 9] = [
    Column::Version,
    Column::Part,
    Column::ChangedAtMs,
    Column::Actor,
    Column::RequestId,
    Column::Action,
    Column::PromotionId,
    Column::Before,
    Column::After,
];

impl Transaction {
    /// Gives the catalog of an organization a new version, and records the changes that make it. Does nothing if there
    /// are none. The catalog must be locked, and so must the audiences and API clients if some of the changes are of
    /// them.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn raise_catalog_version(
        &self,
        org_id: OrgId,
        origin: &Origin,
        changes: &[Change],
    ) -> Result<(), StorageError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.raise(org_id).await?;
        let Some(version) = self.catalog_version(org_id).await? else { return Ok(()) };
        self.record(org_id, Recorded { origin, changes, version, after_part: 0 }).await
    }

    /// Records changes of audiences and API clients. They must be locked.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn record_changes(&self, org_id: OrgId, origin: &Origin, changes: &[Change]) -> Result<(), StorageError> {
        let Some(version) = self.catalog_version(org_id).await? else { return Ok(()) };
        let last = Entity::of(org_id).find().select_only().column(Column::Part).filter(Column::Version.eq(version));
        let last: Option<i64> = last.order_by_desc(Column::Part).into_tuple().one(&self.connection).await?;
        self.record(org_id, Recorded { origin, changes, version, after_part: last.unwrap_or_default() }).await
    }

    /// Locks the audiences and the API clients of an organization, and the end of its history, until the transaction
    /// ends. Must come after the catalogs, with the organizations in ascending order, and before any row.
    ///
    /// # Errors
    /// Returns errors of the database; [`StorageError::Busy`] when the lock is not obtained in time.
    pub async fn lock_changes(&self, org_id: OrgId) -> Result<(), StorageError> {
        // Organizations are numbered from 1, so no other lock has a negative number.
        self.lock(-org_id.0).await
    }

    /// Gives the catalog of an organization a new version.
    ///
    /// The version is a counter with a random part below it. A database that is restored from a backup counts the same
    /// numbers again, but not with the same random parts, so no process mistakes a new catalog for one that was lost.
    async fn raise(&self, org_id: OrgId) -> Result<(), StorageError> {
        use org::Column;
        let (unit, random) = (1_i64 << RANDOM_BITS, rand::random_range(0..1_u32 << RANDOM_BITS));
        // Values are bound, so the text of the statement is always the same and is prepared once.
        let next = Expr::col(Column::CatalogVersion).div(unit).add(1_i64).mul(unit).add(i64::from(random));
        let raise = org::Entity::of(org_id).update().col_expr(Column::CatalogVersion, next);
        match raise.exec(&self.connection).await?.rows_affected {
            1 => Ok(()),
            rows => Err(StorageError::Corrupt(format!("{rows} organizations {}", org_id.0))),
        }
    }

    async fn catalog_version(&self, org_id: OrgId) -> Result<Option<i64>, StorageError> {
        Ok(versions(&self.on(), &[org_id].into()).await?.get(&org_id).map(|version| version.0))
    }

    async fn record(&self, org_id: OrgId, recorded: Recorded<'_>) -> Result<(), StorageError> {
        let Recorded { origin, changes, version, after_part } = recorded;
        let actor: String = origin.actor.to_string().chars().take(MAX_ACTOR_CHARACTERS).collect();
        let request_id = origin.request_id.as_deref().unwrap_or_default();
        let text = |side: Option<&Content>| side.map(ToString::to_string).unwrap_or_default();
        let values = COLUMNS.map(|column| match column {
            // A list has no nulls, and an existing text is not empty.
            Column::RequestId | Column::PromotionId | Column::Before | Column::After => {
                format!("NULLIF({}, '')", column.as_str())
            }
            column => column.as_str().to_owned(),
        });
        let values = values.join(", ");
        let insertion = Insertion::<Entity> { values, ..Insertion::of(&COLUMNS, Present::Refused) }.body();
        let mut part = after_part;
        for changes in changes.chunks(ROWS_PER_STATEMENT) {
            let parts = changes.iter().zip(part + 1..).map(|(_, part)| part).collect::<Vec<_>>();
            part = parts.last().copied().unwrap_or(part);
            let promotions = changes.iter().map(|change| change.promotion_id.map(|id| id.to_string()));
            let rows = Rows::of_orgs(changes.iter().map(|_| org_id))
                .integers(Column::Version, changes.iter().map(|_| version))
                .integers(Column::Part, parts)
                .times(Column::ChangedAtMs, changes.iter().map(|_| origin.at))
                .texts(Column::Actor, changes.iter().map(|_| actor.as_str()))
                .texts(Column::RequestId, changes.iter().map(|_| request_id))
                .texts(Column::Action, changes.iter().map(|change| StoredAction::text(change.action)))
                .owned_texts(Column::PromotionId, promotions.map(Option::unwrap_or_default))
                .owned_texts(Column::Before, changes.iter().map(|change| text(change.before.as_ref())))
                .owned_texts(Column::After, changes.iter().map(|change| text(change.after.as_ref())));
            self.on().execute(&insertion, rows).await?;
        }
        Ok(())
    }
}

/// Records to write under a version of the catalog, numbered after a part of it.
struct Recorded<'a> {
    origin: &'a Origin,
    changes: &'a [Change],
    version: i64,
    after_part: i64,
}
