//! Organizations.

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, QuerySelect};

use crate::earning::OrgId;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orgs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub name: String,
    /// Time zone by its IANA name.
    pub time_zone: String,
    pub max_active_promotions: i64,
    pub accept_unknown_customers: bool,
    /// Version of the catalog. Every change of the organization or its promotions sets a value that it never had, so
    /// versions are compared for equality only.
    pub catalog_version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Returns the ids of all organizations. Reads of the rows of all organizations start here and go on with one
/// organization at a time.
pub async fn ids<C: FromIterator<OrgId>>(database: &impl ConnectionTrait) -> Result<C, DbErr> {
    let ids = Entity::find().select_only().column(Column::Id).into_tuple::<i64>().all(database).await?;
    Ok(ids.into_iter().map(OrgId).collect())
}
