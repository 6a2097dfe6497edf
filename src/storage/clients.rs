//! API clients, for those who check credentials.

use sea_orm::EntityTrait;

use super::entity::api_client;
use super::statement::{Lookup, Rows};
use super::{StorageError, Store};
use crate::earning::OrgId;

const CLIENTS: Lookup = Lookup {
    answers: "t.username, t.secret_hash, t.org_id, t.access, t.disabled",
    table: "api_clients",
    key: &["username"],
    ..Lookup::PLAIN
};

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
    /// Whether its credentials are refused.
    pub disabled: bool,
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
    pub async fn api_clients(&self, usernames: &[String]) -> Result<Vec<ApiClient>, StorageError> {
        let names = Rows::default().texts("username", usernames.iter().map(String::as_str));
        let find = names.statement(self.database.get_database_backend(), &CLIENTS.body(self.dialect));
        let found = api_client::Entity::find().from_raw_sql(find);
        Ok(found.all(&self.database).await?.into_iter().map(to_client).collect())
    }
}

fn to_client(row: api_client::Model) -> ApiClient {
    let api_client::Model { username, secret_hash, org_id, access, disabled } = row;
    ApiClient { username, secret_hash, org_id: OrgId(org_id), access, disabled }
}
