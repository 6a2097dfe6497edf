//! API clients, for those who check credentials.

use sea_orm::EntityTrait;

use super::entity::api_client;
use super::{StorageError, Store};
use crate::earning::OrgId;

/// A recorded API client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiClient {
    /// Name, unique among all clients.
    pub username: String,
    /// argon2id, as a PHC string.
    pub secret_hash: String,
    /// Organization it calls for.
    pub org_id: OrgId,
    /// Access groups with a space between them.
    pub access: String,
}

impl Store {
    /// The client of that name.
    ///
    /// # Errors
    /// Of the database.
    pub async fn api_client(&self, username: &str) -> Result<Option<ApiClient>, StorageError> {
        let row = api_client::Entity::find_by_id(username).one(&self.database).await?;
        Ok(row.map(|row| ApiClient {
            username: row.username,
            secret_hash: row.secret_hash,
            org_id: OrgId(row.org_id),
            access: row.access,
        }))
    }
}
