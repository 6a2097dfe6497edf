//! Compares the API clients of a file with the recorded ones: secrets change only when the operator asks for it.

use std::collections::BTreeMap;

use super::changes::{differing, line};
use super::history::ChangesMade;
use super::records::{ImportError, ImportedClient, RefusedRecord};
use crate::access::groups::Access;
use crate::access::secret::{Checker, Secret};
use crate::earning::OrgId;
use crate::storage::clients::{ApiClient, ClientChange};
use crate::storage::{SecretHash, Store, Transaction};

/// The writes of API clients of an import.
#[derive(Debug, Default)]
pub(super) struct ClientWrites {
    /// The writes by username: every import locks the rows in this order.
    writes: BTreeMap<String, PlannedClient>,
    /// One line for each client whose secret in the file differs from the recorded one, which stays.
    pub(super) warnings: Vec<String>,
    /// One line for each client that is new or changes.
    pub(super) changes: Vec<String>,
}

/// The write of one client, its organization, and its index in the file.
#[derive(Debug)]
struct PlannedClient {
    index: usize,
    org_id: OrgId,
    write: ClientWrite,
}

/// The write of one client.
#[derive(Debug)]
enum ClientWrite {
    Add(ApiClient),
    Change(ClientChange),
}

/// A client of the file, and its place there.
#[derive(Clone, Copy)]
struct Record<'a> {
    index: usize,
    client: &'a ImportedClient,
}

impl ClientWrites {
    /// Compares the clients of a file with the recorded ones.
    ///
    /// # Errors
    /// Returns the clients that conflict with the recorded ones, or the error of the database.
    pub(super) async fn plan(
        clients: &[ImportedClient],
        store: &Store,
        replace_secrets: bool,
    ) -> Result<Self, ImportError> {
        let (mut writes, mut problems, mut checker) = (Self::default(), Vec::new(), Checker::default());
        for (index, client) in clients.iter().enumerate() {
            match store.api_client(&client.username).await? {
                Some(recorded) => {
                    if let Some(problem) = other_org(index, client, &recorded) {
                        problems.push(problem);
                        continue;
                    }
                    let differs = |secret: &&Secret| !checker.matches(secret, Some(&recorded.secret_hash));
                    let other_secret = client.secret.as_ref().filter(differs);
                    let secret_hash = match other_secret {
                        Some(secret) if replace_secrets => Some(secret.hash()?),
                        Some(_) => {
                            writes.warnings.push(format!(
                                "apiClients[{index}]: the password of {:?} is not the recorded one, which stays; \
                                 --replace-secrets replaces it",
                                client.username
                            ));
                            None
                        }
                        None => None,
                    };
                    writes.change(Record { index, client }, &recorded, secret_hash);
                }
                None => match (client.org_id, &client.secret) {
                    (Some(org_id), Some(secret)) => writes.add(Record { index, client }, org_id, secret.hash()?),
                    (org_id, secret) => {
                        let missing = [(org_id.is_none(), "orgId"), (secret.is_none(), "password")];
                        let missing = missing.into_iter().filter(|(missing, _)| *missing);
                        problems.extend(missing.map(|(_, field)| RefusedRecord {
                            at: format!("apiClients[{index}].{field}"),
                            problem: "is required for a new client".to_owned(),
                        }));
                    }
                },
            }
        }
        if problems.is_empty() { Ok(writes) } else { Err(ImportError::Refused(problems)) }
    }

    fn add(&mut self, record: Record<'_>, org_id: OrgId, secret_hash: SecretHash) {
        let Record { index, client } = record;
        let access = client.access.as_ref().unwrap_or(&Access::All).to_string();
        let added = ApiClient {
            username: client.username.clone(),
            secret_hash,
            org_id,
            access,
            disabled: false,
            requests_per_minute: client.requests_per_minute,
        };
        self.changes.push(format!("apiClients[{index}] {:?}: new", client.username));
        self.writes.insert(client.username.clone(), PlannedClient { index, org_id, write: ClientWrite::Add(added) });
    }

    fn change(&mut self, record: Record<'_>, recorded: &ApiClient, secret_hash: Option<SecretHash>) {
        let Record { index, client } = record;
        let access = client.access.as_ref().map(ToString::to_string).filter(|access| *access != recorded.access);
        let requests =
            client.requests_per_minute.filter(|_| client.requests_per_minute != recorded.requests_per_minute);
        let limit = |requests: Option<u32>| requests.map_or("default".to_owned(), |requests| requests.to_string());
        let before =
            vec![("access", recorded.access.clone()), ("requestsPerMinute", limit(recorded.requests_per_minute))];
        let after = [
            ("access", access.clone().unwrap_or_else(|| recorded.access.clone())),
            ("requestsPerMinute", limit(requests.or(recorded.requests_per_minute))),
        ];
        let mut fields = differing(Some(before), &after);
        fields.extend(secret_hash.is_some().then(|| "secret replaced".to_owned()));
        let Some(line) = line(&format!("apiClients[{index}] {:?}", client.username), &fields) else { return };
        self.changes.push(line);
        let change = ClientChange { secret_hash, access, disabled: None, requests_per_minute: requests };
        let (org_id, write) = (recorded.org_id, ClientWrite::Change(change));
        self.writes.insert(client.username.clone(), PlannedClient { index, org_id, write });
    }

    /// Returns the organizations of the clients to write.
    pub(super) fn orgs(&self) -> impl Iterator<Item = OrgId> {
        self.writes.values().map(|planned| planned.org_id)
    }

    /// Writes the clients, which must be locked. Adds the changes to `made`.
    ///
    /// # Errors
    /// Returns the client that was added or removed since the comparison, or the error of the database.
    pub(super) async fn write(&self, transaction: &Transaction, made: &mut ChangesMade) -> Result<(), ImportError> {
        for (username, PlannedClient { index, org_id, write }) in &self.writes {
            let (written, meanwhile) = match write {
                ClientWrite::Add(client) => {
                    let added = transaction.insert_api_client(client.clone()).await?;
                    (added.then(|| ApiClient::change(None, Some(client))), "added")
                }
                ClientWrite::Change(change) => {
                    let changed = transaction.change_api_client(*org_id, username, change.clone()).await?;
                    (changed.map(|(before, after)| ApiClient::change(Some(&before), Some(&after))), "removed")
                }
            };
            let Some(change) = written else {
                let problem = format!("{username:?} was {meanwhile} by another process meanwhile; import again");
                return Err(ImportError::Overtaken(RefusedRecord { at: format!("apiClients[{index}]"), problem }));
            };
            made.entry(*org_id).or_default().extend(change);
        }
        Ok(())
    }
}

/// Refuses to move a recorded client: the holder of its credentials would act for another organization from then on.
fn other_org(index: usize, client: &ImportedClient, recorded: &ApiClient) -> Option<RefusedRecord> {
    client.org_id.filter(|org_id| *org_id != recorded.org_id)?;
    let problem = format!("{:?} is a client of organization {}", client.username, recorded.org_id.0);
    Some(RefusedRecord { at: format!("apiClients[{index}].orgId"), problem })
}
