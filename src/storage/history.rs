//! Reading the recorded changes of an organization, page by page, the latest first.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use super::change::{Change, Content};
use super::entity::catalog_change::{Column, Model};
use super::entity::stored::Id;
use super::entity::{OrgOwned, catalog_change};
use super::{StorageError, Store};
use crate::earning::history::ChangeAction;
use crate::earning::{ObjectId, OrgId, Timestamp};

/// Position of a change in the history of its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPlace {
    /// Version of the catalog that the change gave it.
    pub version: i64,
    /// Number of the change among those of the version.
    pub part: i64,
}

/// Part of a history to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPart {
    /// Promotion whose changes are read; `None` for all changes.
    pub promotion_id: Option<ObjectId>,
    /// Place of the last change of the page before; `None` for the first page.
    pub after: Option<HistoryPlace>,
    /// Largest number of changes.
    pub limit: usize,
}

/// Change as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedChange {
    /// Place in the history.
    pub place: HistoryPlace,
    /// Time of the change.
    pub at: Timestamp,
    /// Program or person that made the change.
    pub actor: String,
    /// Request id of the call that made it.
    pub request_id: Option<String>,
    /// The change.
    pub change: Change,
}

impl Store {
    /// Reads changes of an organization, the latest first.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn history(&self, org_id: OrgId, part: HistoryPart) -> Result<Vec<RecordedChange>, StorageError> {
        let HistoryPart { promotion_id, after, limit } = part;
        let place = || Expr::tuple([Expr::col(Column::Version), Expr::col(Column::Part)]);
        let found = catalog_change::Entity::of(org_id)
            .find()
            .apply_if(promotion_id, |find, id| find.filter(Column::PromotionId.eq(Id(id))))
            .apply_if(after, |find, HistoryPlace { version, part }| {
                find.filter(place().lt(Expr::tuple([Expr::value(version), Expr::value(part)])))
            })
            .order_by_desc(Column::Version)
            .order_by_desc(Column::Part)
            .limit(limit as u64);
        let connection = self.lookups.acquire().await?;
        let rows = found.all(&connection).await?;
        connection.release();
        rows.into_iter().map(recorded).collect()
    }
}

fn recorded(row: Model) -> Result<RecordedChange, StorageError> {
    let action = ChangeAction::from(row.action);
    let read = |side: Option<String>| side.map(|text| Content::read(action, &text)).transpose();
    let corrupt =
        |error| StorageError::Corrupt(format!("change {} of version {} of a catalog: {error}", row.part, row.version));
    let (before, after) = (read(row.before).map_err(corrupt)?, read(row.after).map_err(corrupt)?);
    let change = Change { action, promotion_id: row.promotion_id.map(|id| id.0), before, after };
    let place = HistoryPlace { version: row.version, part: row.part };
    let at = row.changed_at_ms;
    Ok(RecordedChange { place, at, actor: row.actor, request_id: row.request_id, change })
}
