//! Importing a catalogue: an upsert of everything in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;

use super::access::Access;
use super::secret::{Checker, HashError, Secret};
use super::transaction::{Change, ChangeError, Ended, in_transaction};
use crate::earning::{Catalogue, CustomerId, ObjectId, Org, OrgId, Promotion};
use crate::storage::clients::ApiClient;
use crate::storage::{StorageError, Store, Transaction};

/// What a file holds, each record already right in itself.
#[derive(Debug)]
pub struct Import {
    /// Organizations.
    pub orgs: Vec<Org>,
    /// Promotions.
    pub promotions: Vec<ImportedPromotion>,
    /// Customers.
    pub customers: Vec<(OrgId, CustomerId)>,
    /// API clients.
    pub api_clients: Vec<ImportedClient>,
}

/// A promotion of a file.
#[derive(Debug)]
pub struct ImportedPromotion {
    /// Organization it belongs to.
    pub org_id: OrgId,
    /// The promotion.
    pub promotion: Promotion,
    /// Its audience, which replaces the recorded one.
    pub audience: Vec<CustomerId>,
}

/// An API client of a file.
#[derive(Debug)]
pub struct ImportedClient {
    /// Name.
    pub username: String,
    /// Secret.
    pub secret: Secret,
    /// Organization it calls for.
    pub org_id: OrgId,
    /// What it may do.
    pub access: Access,
    /// Requests a minute, where it has a limit of its own; 0: as many as it likes.
    pub requests_per_minute: Option<u32>,
}

/// What an import did.
#[derive(Debug)]
pub struct Imported {
    /// What the operator should know, though it is no reason to refuse.
    pub warnings: Vec<String>,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A record does not fit the others, or what is recorded.
    #[error("{at}: {problem}")]
    Refused {
        /// Path in the file.
        at: String,
        /// What is wrong, in words that follow the path.
        problem: String,
    },
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A secret could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl Import {
    /// Upserts everything into `store`, whose schema is up to date, or nothing.
    ///
    /// # Errors
    /// The first record that does not fit, or the database's failure.
    pub async fn run(self, store: &Store) -> Result<Imported, ImportError> {
        let clients = self.hash_secrets(store).await?;
        in_transaction(store, &WithHashes { import: &self, clients }).await
    }

    /// Writes everything in one transaction, in the one order of locks: catalogs, audiences, rows.
    async fn write(&self, transaction: &Transaction, clients: &[ApiClient]) -> Result<Imported, ImportError> {
        let orgs = self.orgs.iter().map(|org| org.id).chain(self.promotions.iter().map(|each| each.org_id));
        let touched: BTreeSet<OrgId> = orgs.collect();
        let mut before = BTreeMap::new();
        for org_id in &touched {
            transaction.lock_catalog(*org_id).await?;
            before.extend(transaction.catalog(*org_id).await?.map(|catalog| (*org_id, catalog)));
        }
        for org in &self.orgs {
            transaction.upsert_org(org).await?;
        }
        self.check_references(&transaction.org_ids().await?)?;
        self.upsert_promotions(transaction, &before).await?;
        let mut warnings = Vec::new();
        for org_id in &touched {
            let Some(after) = transaction.catalog(*org_id).await? else { continue };
            warnings.extend(warning_of_cap(&after));
            if let Some(before) = before.get(org_id) {
                transaction.record_former_terms(*org_id, &before.former_terms(&after)).await?;
            }
            transaction.raise_catalog_version(*org_id).await?;
        }
        self.replace_audiences(transaction).await?;
        transaction.upsert_customers(&self.customers.iter().copied().collect()).await?;
        for client in clients {
            transaction.upsert_api_client(client.clone()).await?;
        }
        Ok(Imported { warnings })
    }

    /// Replaces the audiences of the promotions, in the order of their keys.
    async fn replace_audiences(&self, transaction: &Transaction) -> Result<(), ImportError> {
        let audiences: BTreeMap<_, BTreeSet<_>> = self
            .promotions
            .iter()
            .map(|each| ((each.org_id, each.promotion.id), each.audience.iter().copied().collect()))
            .collect();
        for org_id in audiences.keys().map(|(org_id, _)| org_id).collect::<BTreeSet<_>>() {
            transaction.lock_audiences(*org_id).await?;
        }
        for ((org_id, id), customers) in &audiences {
            transaction.replace_audience(*org_id, *id, customers).await?;
        }
        Ok(())
    }

    /// Keeps the hash of a secret that is recorded already, so that a repeated import changes nothing. Hashing is slow,
    /// so it is done before the transaction.
    async fn hash_secrets(&self, store: &Store) -> Result<Vec<ApiClient>, ImportError> {
        let mut clients = Vec::with_capacity(self.api_clients.len());
        let mut checker = Checker::default();
        for (index, client) in self.api_clients.iter().enumerate() {
            let recorded = store.api_client(&client.username).await?;
            if let Some(recorded) = &recorded
                && recorded.org_id != client.org_id
            {
                // Whoever uses these credentials would act for another organization from now on.
                let problem = format!("{:?} is a client of organization {}", client.username, recorded.org_id.0);
                return Err(ImportError::Refused { at: format!("apiClients[{index}].orgId"), problem });
            }
            let recorded = recorded.map(|recorded| recorded.secret_hash);
            let secret_hash = match recorded.filter(|hash| checker.matches(&client.secret, Some(hash))) {
                Some(hash) => hash,
                None => client.secret.hash()?,
            };
            clients.push(ApiClient {
                username: client.username.clone(),
                secret_hash,
                org_id: client.org_id,
                access: client.access.to_string(),
                // A new one is not; of a recorded one it stays as it is.
                disabled: false,
                requests_per_minute: client.requests_per_minute,
            });
        }
        Ok(clients)
    }

    fn check_references(&self, orgs: &BTreeSet<OrgId>) -> Result<(), ImportError> {
        let lists: [(&str, Vec<OrgId>); 3] = [
            ("promotions", self.promotions.iter().map(|each| each.org_id).collect()),
            ("customers", self.customers.iter().map(|(org_id, _)| *org_id).collect()),
            ("apiClients", self.api_clients.iter().map(|client| client.org_id).collect()),
        ];
        for (list, org_ids) in lists {
            if let Some(index) = org_ids.iter().position(|org_id| !orgs.contains(org_id)) {
                let problem = format!("there is no organization {}", org_ids[index].0);
                return Err(ImportError::Refused { at: format!("{list}[{index}].orgId"), problem });
            }
        }
        Ok(())
    }

    async fn upsert_promotions(
        &self,
        transaction: &Transaction,
        before: &BTreeMap<OrgId, Catalogue>,
    ) -> Result<(), ImportError> {
        let mut named_here = BTreeMap::<OrgId, BTreeSet<ObjectId>>::new();
        for each in &self.promotions {
            named_here.entry(each.org_id).or_default().insert(each.promotion.id);
        }
        for (org_id, ids) in &named_here {
            transaction.deactivate(*org_id, ids).await?;
        }
        let mut named = HashMap::<(OrgId, &str), ObjectId>::new();
        for (index, ImportedPromotion { org_id, promotion, .. }) in self.promotions.iter().enumerate() {
            if promotion.active {
                let recorded = transaction.active_promotion_named(*org_id, &promotion.name).await?;
                let other =
                    named.insert((*org_id, &promotion.name), promotion.id).or(recorded);
                if let Some(other) = other {
                    let problem = format!("{:?} is the name of active promotion {other} (716)", promotion.name);
                    return Err(ImportError::Refused { at: format!("promotions[{index}].name"), problem });
                }
            }
            let recorded = before.get(org_id).and_then(|catalogue| catalogue.promotions.get(&promotion.id));
            let promotion = match recorded {
                Some(recorded) => promotion.clone().replacing(recorded),
                None => promotion.clone(),
            };
            transaction.upsert_promotion(*org_id, &promotion).await?;
        }
        Ok(())
    }
}

/// An import whose secrets are hashed.
struct WithHashes<'a> {
    import: &'a Import,
    clients: Vec<ApiClient>,
}

#[async_trait]
impl Change for WithHashes<'_> {
    type Done = Imported;
    type Error = ImportError;

    async fn make(&self, transaction: &Transaction) -> Result<Ended<Imported>, ImportError> {
        self.import.write(transaction, &self.clients).await.map(Ended::Commit)
    }
}

/// Warns of an organization past its cap. It is accepted: earning then answers 705, and the operator should hear of it now.
fn warning_of_cap(catalog: &Catalogue) -> Option<String> {
    let (active, cap) = (catalog.active_promotions, catalog.org.max_active_promotions);
    let OrgId(org_id) = catalog.org.id;
    (active > cap).then(|| {
        format!(
            "organization {org_id} has {active} active promotions, more than its maximum of {cap}: \
             earning answers 705 until some are deactivated"
        )
    })
}

impl ChangeError for ImportError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_conflict())
    }
}
