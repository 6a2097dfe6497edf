//! API clients and the hashes of their secrets.

use sea_orm::entity::prelude::*;

use crate::storage::SecretHash;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_clients")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub username: String,
    /// argon2id hash of the secret, as a PHC string.
    pub secret_hash: SecretHash,
    pub org_id: i64,
    /// Access groups such as `earn:write`, separated by spaces.
    pub access: String,
    /// True if the client's credentials are refused.
    pub disabled: bool,
    /// Limit of requests per minute; null for the default, 0 for no limit.
    pub requests_per_minute: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
