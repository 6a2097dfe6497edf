//! Keys for access tokens that the servers on a database share. They are of no organization.

use sea_orm::entity::prelude::*;

use crate::storage::PrivateKeyPem;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token_keys")]
pub struct Model {
    /// Name of the key, in the tokens that it signs.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    /// Private key, as the text of a PEM file.
    pub pem: PrivateKeyPem,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
