//! Issues and withdraws the credentials of one API client at a time. A change takes effect on running servers within a
//! second.

use async_trait::async_trait;

use super::transaction::{TransactionEnd, TransactionWork, in_transaction};
use crate::access::groups::Access;
use crate::access::secret::{HashError, Secret};
use crate::earning::OrgId;
use crate::earning::history::Origin;
use crate::storage::clients::{ApiClient, ClientChange};
use crate::storage::{StorageError, Store, Transaction};

/// A recorded API client, without its stored secret.
#[derive(Debug, Clone)]
pub struct RecordedClient {
    /// Name, unique among all clients.
    pub username: String,
    /// Organization it calls for.
    pub org_id: OrgId,
    /// Access groups of the client.
    pub access: Access,
    /// True while the credentials are refused.
    pub disabled: bool,
    /// Requests a minute, when the client has a limit of its own; 0 means no limit.
    pub requests_per_minute: Option<u32>,
}

/// An API client to add, or to give a new secret.
#[derive(Debug)]
pub struct NewClient {
    /// Username.
    pub username: String,
    /// Secret.
    pub secret: Secret,
    /// Organization it calls for.
    pub org_id: OrgId,
    /// Access groups; `None` means all for a new client, and the recorded ones for an existing one.
    pub access: Option<Access>,
    /// Requests a minute, when the client has a limit of its own; 0 means no limit.
    pub requests_per_minute: Option<u32>,
}

/// The reason for which an API client is not added or changed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The organization is not recorded.
    #[error("there is no organization {}", .0.0)]
    NoOrganization(OrgId),
    /// A client of this name exists.
    #[error("{username:?} is a client of organization {} already", org_id.0)]
    NameTaken {
        /// Username.
        username: String,
        /// Organization of that client.
        org_id: OrgId,
    },
    /// No client has this name.
    #[error("there is no client {0:?}")]
    NotFound(String),
    /// A secret could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The database failed.
    #[error("the API clients could not be read or changed")]
    Storage(#[from] StorageError),
}

/// Adds a client.
///
/// # Errors
/// Returns an error when the name is taken, or the error of the database.
pub async fn add(store: &Store, client: &NewClient, origin: &Origin) -> Result<(), ClientError> {
    let org_id = client.org_id;
    if store.catalog_versions(&[org_id].into()).await?.is_empty() {
        return Err(ClientError::NoOrganization(org_id));
    }
    let username = client.username.clone();
    let (secret_hash, access) = (client.secret.hash()?, client.access.as_ref().unwrap_or(&Access::All).to_string());
    let requests_per_minute = client.requests_per_minute;
    let added = ApiClient { username, secret_hash, org_id, access, disabled: false, requests_per_minute };
    let added = in_transaction(store, &AddApiClient { client: added, origin }).await?;
    if added { Ok(()) } else { Err(taken_or_missing(store, &client.username).await) }
}

/// Replaces the secret of a client by that of `client`, and its access and its limit where `client` has them. A
/// disabled client stays disabled.
///
/// # Errors
/// Returns an error when the organization has no such client, or the error of the database.
pub async fn renew(store: &Store, client: &NewClient, origin: &Origin) -> Result<(), ClientError> {
    let change = ClientChange {
        secret_hash: Some(client.secret.hash()?),
        access: client.access.as_ref().map(ToString::to_string),
        disabled: None,
        requests_per_minute: client.requests_per_minute,
    };
    // The holder of the credentials must not act for another organization from then on.
    let (username, org_id) = (&client.username, Some(client.org_id));
    let changed = in_transaction(store, &ChangeClient { username, org_id, change, origin }).await?;
    if changed { Ok(()) } else { Err(taken_or_missing(store, &client.username).await) }
}

/// Disables the credentials of a client from now on, or enables them again.
///
/// # Errors
/// Returns an error when there is no such client, or the error of the database.
pub async fn set_disabled(store: &Store, username: &str, disabled: bool, origin: &Origin) -> Result<(), ClientError> {
    let change = ClientChange { disabled: Some(disabled), ..ClientChange::default() };
    let changed = in_transaction(store, &ChangeClient { username, org_id: None, change, origin }).await?;
    if changed { Ok(()) } else { Err(ClientError::NotFound(username.to_owned())) }
}

/// A client to add.
struct AddApiClient<'a> {
    client: ApiClient,
    origin: &'a Origin,
}

#[async_trait]
impl TransactionWork for AddApiClient<'_> {
    /// True if the client was added, false if its name is taken.
    type Done = bool;
    type Error = StorageError;

    async fn make(&self, transaction: &Transaction) -> Result<TransactionEnd<bool>, StorageError> {
        let Self { client, origin } = self;
        transaction.lock_changes(client.org_id).await?;
        if !transaction.insert_api_client(client.clone()).await? {
            return Ok(TransactionEnd::Rollback(false));
        }
        let changes: Vec<_> = ApiClient::change(None, Some(client)).into_iter().collect();
        transaction.record_changes(client.org_id, origin, &changes).await?;
        Ok(TransactionEnd::Commit(true))
    }
}

/// A change of the client with this username, if it belongs to this organization where one is given.
struct ChangeClient<'a> {
    username: &'a str,
    org_id: Option<OrgId>,
    change: ClientChange,
    origin: &'a Origin,
}

#[async_trait]
impl TransactionWork for ChangeClient<'_> {
    /// True if there is such a client.
    type Done = bool;
    type Error = StorageError;

    async fn make(&self, transaction: &Transaction) -> Result<TransactionEnd<bool>, StorageError> {
        let Self { username, org_id, change, origin } = self;
        let of_org = match org_id {
            Some(org_id) => Some(*org_id),
            None => transaction.api_client(username).await?.map(|client| client.org_id),
        };
        let Some(of_org) = of_org else { return Ok(TransactionEnd::Rollback(false)) };
        transaction.lock_changes(of_org).await?;
        let changed = transaction.change_api_client(of_org, username, change.clone()).await?;
        let Some((before, after)) = changed else { return Ok(TransactionEnd::Rollback(false)) };
        let Some(change) = ApiClient::change(Some(&before), Some(&after)) else {
            return Ok(TransactionEnd::Rollback(true));
        };
        transaction.record_changes(of_org, origin, &[change]).await?;
        Ok(TransactionEnd::Commit(true))
    }
}

/// The removal of the client with this username.
struct RemoveClient<'a> {
    username: &'a str,
    origin: &'a Origin,
}

#[async_trait]
impl TransactionWork for RemoveClient<'_> {
    /// True if there was such a client.
    type Done = bool;
    type Error = StorageError;

    async fn make(&self, transaction: &Transaction) -> Result<TransactionEnd<bool>, StorageError> {
        let Self { username, origin } = self;
        let found = transaction.api_client(username).await?;
        let Some(org_id) = found.map(|client| client.org_id) else { return Ok(TransactionEnd::Rollback(false)) };
        transaction.lock_changes(org_id).await?;
        let removed = transaction.remove_api_client(org_id, username).await?;
        let Some(removed) = removed else { return Ok(TransactionEnd::Rollback(false)) };
        let changes: Vec<_> = ApiClient::change(Some(&removed), None).into_iter().collect();
        transaction.record_changes(org_id, origin, &changes).await?;
        Ok(TransactionEnd::Commit(true))
    }
}

/// Removes a client; its credentials are refused from now on.
///
/// # Errors
/// Returns an error when there is no such client, or the error of the database.
pub async fn remove(store: &Store, username: &str, origin: &Origin) -> Result<(), ClientError> {
    let removed = in_transaction(store, &RemoveClient { username, origin }).await?;
    if removed { Ok(()) } else { Err(ClientError::NotFound(username.to_owned())) }
}

/// Returns the client of this name.
///
/// # Errors
/// Returns an error when there is no such client, or the error of the database.
pub async fn one(store: &Store, username: &str) -> Result<RecordedClient, ClientError> {
    let found = store.api_client(username).await?;
    found.map(recorded).ok_or_else(|| ClientError::NotFound(username.to_owned()))
}

/// Returns every client, or those of one organization, ordered by username.
///
/// # Errors
/// Returns an error when there is no such organization, or the error of the database.
pub async fn list(store: &Store, org_id: Option<OrgId>) -> Result<Vec<RecordedClient>, ClientError> {
    if let Some(org_id) = org_id
        && store.catalog_versions(&[org_id].into()).await?.is_empty()
    {
        return Err(ClientError::NoOrganization(org_id));
    }
    Ok(store.all_api_clients(org_id).await?.into_iter().map(recorded).collect())
}

fn recorded(client: ApiClient) -> RecordedClient {
    RecordedClient {
        access: Access::parse(&client.access),
        username: client.username,
        org_id: client.org_id,
        disabled: client.disabled,
        requests_per_minute: client.requests_per_minute,
    }
}

/// Returns why nothing changed: another organization's client has the name, or no client has it.
async fn taken_or_missing(store: &Store, username: &str) -> ClientError {
    match store.api_client(username).await {
        Ok(Some(client)) => ClientError::NameTaken { username: client.username, org_id: client.org_id },
        Ok(None) => ClientError::NotFound(username.to_owned()),
        Err(error) => error.into(),
    }
}
