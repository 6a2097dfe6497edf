//! The keys for access tokens that the servers on a database share. They are of no organization, and nothing but the
//! permissions of the database protects them.

use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;

use super::entity::token_key;
use super::{PrivateKeyPem, StorageError, Store};

impl Store {
    /// Returns the key of this name; `None` if none is recorded.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn token_key(&self, kid: &str) -> Result<Option<PrivateKeyPem>, StorageError> {
        let connection = self.lookups.acquire().await?;
        let row = token_key::Entity::find_by_id(kid).one(&connection).await?;
        connection.release();
        Ok(row.map(|row| row.pem))
    }

    /// Records a key unless one of its name is recorded. Returns the recorded one: of processes that record keys at the
    /// same time, the first one wins.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn record_token_key(&self, kid: &str, pem: PrivateKeyPem) -> Result<PrivateKeyPem, StorageError> {
        let row = token_key::ActiveModel { kid: Set(kid.to_owned()), pem: Set(pem) };
        let insert = token_key::Entity::insert(row).on_conflict_do_nothing_on([token_key::Column::Kid]);
        let transaction = self.begin().await?;
        insert.exec_without_returning(&transaction.connection).await?;
        transaction.commit().await?;
        // Read by a statement of its own, which sees what another process has committed meanwhile.
        let recorded = self.token_key(kid).await?;
        recorded.ok_or_else(|| StorageError::Corrupt(format!("the key {kid:?} for access tokens is not kept")))
    }
}
