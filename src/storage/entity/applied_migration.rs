//! Migrations that were applied. The table has the name and the form that SeaORM gives it, so that its tools read it.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "seaql_migrations")]
pub struct Model {
    /// Name of the migration.
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: String,
    /// Moment of the migration, in seconds since 1970-01-01T00:00:00Z.
    pub applied_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
