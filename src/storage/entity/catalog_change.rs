//! The history of each organization's catalog, audiences and API clients. A row is never changed or removed.

use sea_orm::entity::prelude::*;

use super::stored::{Id, StoredAction};

use crate::earning::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "catalog_changes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    /// Version of the catalog after the change. Changes of audiences and API clients leave the version as it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i64,
    /// Number of the change among those of this version: 1, 2, …
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i64,
    pub changed_at_ms: Timestamp,
    /// `client NAME`, `operator USER@HOST` or `service`.
    pub actor: String,
    /// Request id of the call that made the change.
    pub request_id: Option<String>,
    pub action: StoredAction,
    pub promotion_id: Option<Id>,
    /// State before the change, as JSON; `storage/change.rs` writes and reads it.
    pub before: Option<String>,
    /// State after the change, as JSON.
    pub after: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
