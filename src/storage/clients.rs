//! Records of API clients, for checking credentials and for managing clients.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryTrait, TryInsertResult};

use super::change::{Change, ClientContent};
use super::entity::{OrgOwned, api_client};
use super::org_owned::Search;
use super::rows::Rows;
use super::{SecretHash, StorageError, Store, Transaction};
use crate::earning::OrgId;

/// A recorded API client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiClient {
    /// Username, unique among all clients.
    pub username: String,
    /// Hash of the secret.
    pub secret_hash: SecretHash,
    /// Organization for which the client calls.
    pub org_id: OrgId,
    /// Access groups, separated by spaces.
    pub access: String,
    /// True if the client's credentials are refused.
    pub disabled: bool,
    /// Limit of requests per minute; `None` for the default, 0 for no limit.
    pub requests_per_minute: Option<u32>,
}

/// Change of a recorded API client. A field that is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ClientChange {
    /// New hash of the secret.
    pub secret_hash: Option<SecretHash>,
    /// New access groups, separated by spaces.
    pub access: Option<String>,
    /// True to refuse the client's credentials, false to accept them.
    pub disabled: Option<bool>,
    /// New limit of requests per minute; 0 for no limit.
    pub requests_per_minute: Option<u32>,
}

impl ApiClient {
    /// Returns the client with a change.
    fn with(mut self, change: ClientChange) -> Self {
        let ClientChange { secret_hash, access, disabled, requests_per_minute } = change;
        self.secret_hash = secret_hash.unwrap_or(self.secret_hash);
        self.access = access.unwrap_or(self.access);
        self.disabled = disabled.unwrap_or(self.disabled);
        self.requests_per_minute = requests_per_minute.or(self.requests_per_minute);
        self
    }

    /// Returns the change between two states of a client, if they differ.
    pub fn change(before: Option<&Self>, after: Option<&Self>) -> Option<Change> {
        let new_secret = before.zip(after).is_some_and(|(before, after)| before.secret_hash != after.secret_hash);
        let after = after.map(|after| ClientContent { new_secret, ..after.content() });
        Change::of_client(before.map(Self::content), after)
    }

    fn content(&self) -> ClientContent {
        ClientContent {
            username: self.username.clone(),
            access: self.access.clone(),
            disabled: self.disabled,
            requests_per_minute: self.requests_per_minute.map(Into::into),
            new_secret: false,
        }
    }
}

impl Store {
    /// Returns the client with this username; `None` if there is none.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn api_client(&self, username: &str) -> Result<Option<ApiClient>, StorageError> {
        let connection = self.lookups.acquire().await?;
        let row = api_client::Entity::find_by_id(username).one(&connection).await?;
        connection.release();
        Ok(row.map(to_client))
    }

    /// Returns the clients with these usernames.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn api_clients(&self, usernames: &[String]) -> Result<Vec<ApiClient>, StorageError> {
        use api_client::Column;
        let names = Rows::of_any_org().texts(Column::Username, usernames.iter().map(String::as_str));
        let search = Search::<api_client::Entity> { of_any_org: true, ..Search::by(&[Column::Username]) };
        let connection = self.lookups.acquire().await?;
        let found = search.run::<api_client::Model>(&self.on(&connection), names).await?;
        connection.release();
        Ok(found.into_iter().map(|found| to_client(found.row)).collect())
    }

    /// Returns all clients, or those of one organization, ordered by username.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn all_api_clients(&self, org_id: Option<OrgId>) -> Result<Vec<ApiClient>, StorageError> {
        use api_client::Column;
        let found = api_client::Entity::find()
            .apply_if(org_id, |find, org_id| find.filter(Column::OrgId.eq(org_id.0)))
            .order_by_asc(Column::Username);
        let connection = self.reads.acquire().await?;
        let found = found.all(&connection).await?;
        connection.release();
        Ok(found.into_iter().map(to_client).collect())
    }
}

impl Transaction {
    /// Returns the client with this username; `None` if there is none.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn api_client(&self, username: &str) -> Result<Option<ApiClient>, StorageError> {
        Ok(api_client::Entity::find_by_id(username).one(&self.connection).await?.map(to_client))
    }

    /// Adds a client. Returns false, and changes nothing, if its username is taken. The clients must be locked.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn insert_api_client(&self, client: ApiClient) -> Result<bool, StorageError> {
        insert(&self.connection, client).await
    }

    /// Changes the client with this username. Returns the client before the change and after it; `None` if the
    /// organization has no such client. The clients must be locked.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn change_api_client(
        &self,
        org_id: OrgId,
        username: &str,
        change: ClientChange,
    ) -> Result<Option<(ApiClient, ApiClient)>, StorageError> {
        use api_client::Column;
        let found = self.api_client(username).await?.filter(|client| client.org_id == org_id);
        let Some(before) = found else { return Ok(None) };
        let after = before.clone().with(change);
        let requests_per_minute = after.requests_per_minute.map(i64::from);
        let update = api_client::Entity::of(org_id).update().filter(Column::Username.eq(username));
        update
            .col_expr(Column::SecretHash, Expr::value(after.secret_hash.clone()))
            .col_expr(Column::Access, Expr::value(after.access.clone()))
            .col_expr(Column::Disabled, Expr::value(after.disabled))
            .col_expr(Column::RequestsPerMinute, Expr::value(requests_per_minute))
            .exec(&self.connection)
            .await?;
        Ok(Some((before, after)))
    }

    /// Removes the client with this username. Returns the client; `None` if the organization has no such client. The
    /// clients must be locked.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn remove_api_client(&self, org_id: OrgId, username: &str) -> Result<Option<ApiClient>, StorageError> {
        use api_client::Column;
        let found = self.api_client(username).await?.filter(|client| client.org_id == org_id);
        let Some(client) = found else { return Ok(None) };
        let removal = api_client::Entity::of(org_id).delete().filter(Column::Username.eq(username));
        removal.exec(&self.connection).await?;
        Ok(Some(client))
    }
}

async fn insert(database: &impl ConnectionTrait, client: ApiClient) -> Result<bool, StorageError> {
    use api_client::Column;
    let insert = api_client::Entity::insert(to_row(client)).on_conflict_do_nothing_on([Column::Username]);
    Ok(matches!(insert.exec_without_returning(database).await?, TryInsertResult::Inserted(1)))
}

fn to_row(client: ApiClient) -> api_client::ActiveModel {
    api_client::ActiveModel {
        username: Set(client.username),
        secret_hash: Set(client.secret_hash),
        org_id: Set(client.org_id.0),
        access: Set(client.access),
        disabled: Set(client.disabled),
        requests_per_minute: Set(client.requests_per_minute.map(i64::from)),
    }
}

fn to_client(row: api_client::Model) -> ApiClient {
    let api_client::Model { username, secret_hash, org_id, access, disabled, requests_per_minute } = row;
    // The table allows only numbers that fit.
    let requests_per_minute = requests_per_minute.and_then(|requests| u32::try_from(requests).ok());
    ApiClient { username, secret_hash, org_id: OrgId(org_id), access, disabled, requests_per_minute }
}
