//! Reading the keys for access tokens, whatever their columns hold.

use sea_orm::sea_query::Expr;
use sea_orm::{EntityTrait, QuerySelect};

use super::snapshot::Snapshot;
use crate::storage::entity::token_key;
use crate::storage::{PrivateKeyPem, StorageError};

impl Snapshot {
    /// Returns the names and the keys of all rows. A missing value is empty.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn token_keys(&self) -> Result<Vec<(String, PrivateKeyPem)>, StorageError> {
        let find = token_key::Entity::find().select_only();
        let texts =
            find.column_as(Expr::cust("coalesce(kid, '')"), "kid").column_as(Expr::cust("coalesce(pem, '')"), "pem");
        Ok(texts.into_tuple().all(&self.transaction).await?)
    }
}
