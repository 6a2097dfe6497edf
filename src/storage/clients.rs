//! API clients, for those who check credentials.

use sea_orm::EntityTrait;

use super::entity::api_client;
use super::statement::Rows;
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
        Ok(row.map(to_client))
    }

    /// The clients among these names.
    ///
    /// # Errors
    /// Of the database.
    pub async fn api_clients(&self, usernames: Vec<String>) -> Result<Vec<ApiClient>, StorageError> {
        let names = Rows::default().texts("username", usernames);
        let find = "SELECT c.username, c.secret_hash, c.org_id, c.access
                    FROM wanted CROSS JOIN api_clients AS c WHERE c.username = wanted.username";
        let found = api_client::Entity::find().from_raw_sql(names.statement(self.database.get_database_backend(), find));
        Ok(found.all(&self.database).await?.into_iter().map(to_client).collect())
    }
}

fn to_client(row: api_client::Model) -> ApiClient {
    ApiClient {
        username: row.username,
        secret_hash: row.secret_hash,
        org_id: OrgId(row.org_id),
        access: row.access,
    }
}
