//! Records of API clients, for checking credentials and for managing clients.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryTrait, TryInsertResult};

use super::entity::api_client;
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

    /// Adds a client. Returns false, and changes nothing, if its username is taken.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn insert_api_client(&self, client: ApiClient) -> Result<bool, StorageError> {
        let transaction = self.begin().await?;
        let inserted = insert(&transaction.connection, client).await?;
        transaction.commit().await?;
        Ok(inserted)
    }

    /// Changes the client with this username, if it belongs to this organization where one is given. Returns false if
    /// there is no such client.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn change_api_client(
        &self,
        username: &str,
        org_id: Option<OrgId>,
        change: ClientChange,
    ) -> Result<bool, StorageError> {
        let transaction = self.begin().await?;
        let changed = update(&transaction.connection, username, org_id, change).await?;
        transaction.commit().await?;
        Ok(changed)
    }
}

impl Transaction {
    /// Adds a client. Returns false, and changes nothing, if its username is taken.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn insert_api_client(&self, client: ApiClient) -> Result<bool, StorageError> {
        insert(&self.connection, client).await
    }

    /// Changes the client with this username. Returns false if there is none.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn change_api_client(&self, username: &str, change: ClientChange) -> Result<bool, StorageError> {
        update(&self.connection, username, None, change).await
    }
}

async fn insert(database: &impl ConnectionTrait, client: ApiClient) -> Result<bool, StorageError> {
    use api_client::Column;
    let insert = api_client::Entity::insert(to_row(client)).on_conflict_do_nothing_on([Column::Username]);
    Ok(matches!(insert.exec_without_returning(database).await?, TryInsertResult::Inserted(1)))
}

async fn update(
    database: &impl ConnectionTrait,
    username: &str,
    org_id: Option<OrgId>,
    change: ClientChange,
) -> Result<bool, StorageError> {
    use api_client::Column;
    let mut update = api_client::Entity::update_many().filter(Column::Username.eq(username));
    if let Some(org_id) = org_id {
        update = update.filter(Column::OrgId.eq(org_id.0));
    }
    if let Some(secret_hash) = change.secret_hash {
        update = update.col_expr(Column::SecretHash, Expr::value(secret_hash));
    }
    if let Some(access) = change.access {
        update = update.col_expr(Column::Access, Expr::value(access));
    }
    if let Some(disabled) = change.disabled {
        update = update.col_expr(Column::Disabled, Expr::value(disabled));
    }
    if let Some(requests_per_minute) = change.requests_per_minute {
        update = update.col_expr(Column::RequestsPerMinute, Expr::value(i64::from(requests_per_minute)));
    }
    Ok(update.exec(database).await?.rows_affected > 0)
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
