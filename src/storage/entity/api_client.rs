//! Credentials of the programs that call.

use sea_orm::entity::prelude::*;

use crate::storage::SecretHash;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_clients")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub username: String,
    /// argon2id, as a PHC string.
    pub secret_hash: SecretHash,
    pub org_id: i64,
    /// Access groups with a space between them, as `earn:write`.
    pub access: String,
    /// Whether its credentials are refused.
    pub disabled: bool,
    /// Requests a minute, where it has a limit of its own; 0: as many as it likes.
    pub requests_per_minute: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
