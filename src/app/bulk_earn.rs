//! Deciding and saving a batch of bulk earnings in one transaction.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::earn_ids::EarnIds;
use super::error::EarnError;
use super::{App, Clock};
use crate::earning::{BulkEarn, Catalogue, EarningKey, EntryOutcome, Facts, Grant, OrgId, Scene, decide};
use crate::storage::wallet::Wanted;
use crate::storage::{StorageError, Store, Transaction};

/// The outcome of each entry of a command, or why there is none.
pub type Earned = Result<Vec<EntryOutcome>, EarnError>;

impl App {
    /// Grants what `command` asks for. The answer is durable.
    ///
    /// # Errors
    /// Why nothing was granted.
    pub async fn bulk_earn(&self, command: Arc<BulkEarn>) -> Earned {
        self.writer.earn(command).await
    }
}

/// Where a batch failed: it tells what may be said of the customers in it.
#[derive(Debug)]
pub enum BatchError {
    /// While reading.
    Load(StorageError),
    /// While writing.
    Save(StorageError),
}

impl BatchError {
    /// Whether the database could not be reached: then the parts of the batch would fare no better.
    pub fn is_unavailable(&self) -> bool {
        let (Self::Load(source) | Self::Save(source)) = self;
        source.is_unavailable()
    }

    /// The error of every command of a batch that failed so.
    pub fn spread(self) -> impl Fn(&BulkEarn) -> EarnError {
        let unavailable = self.is_unavailable();
        let (saving, source) = match self {
            Self::Load(source) => (false, Arc::new(source)),
            Self::Save(source) => (true, Arc::new(source)),
        };
        move |command| match (unavailable, saving) {
            (true, false) => EarnError::CustomerLookupFailed(command.customer_id, Arc::clone(&source)),
            (true, true) => EarnError::Unavailable(Arc::clone(&source)),
            (false, _) => EarnError::Internal(Arc::clone(&source)),
        }
    }
}

/// Decides and saves batches. There is one, in the writer's task.
#[derive(Debug)]
pub struct BatchEarner {
    store: Store,
    clock: Clock,
    ids: EarnIds,
    /// As of their versions, which every batch compares with the database's.
    catalogues: HashMap<OrgId, Catalogue>,
}

impl BatchEarner {
    /// Nothing in memory yet.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, ids: EarnIds::of_this_process(), catalogues: HashMap::new() }
    }

    /// Decides every command of the batch, in order, and saves what they grant in one transaction.
    pub async fn earn(&mut self, batch: &[&BulkEarn]) -> Result<Vec<Earned>, BatchError> {
        let transaction = self.store.begin().await.map_err(BatchError::Load)?;
        self.refresh_catalogues(&transaction, batch).await.map_err(BatchError::Load)?;
        let mut facts = transaction.facts(&self.wanted(batch)).await.map_err(BatchError::Load)?;
        let now_ms = self.clock.now_ms();
        let mut grants = Vec::new();
        let outcomes =
            batch.iter().map(|command| self.decide(command, &mut facts, now_ms, &mut grants)).collect::<Vec<_>>();
        if grants.is_empty() {
            // Nothing to make durable: what is replayed is durable already.
            transaction.rollback().await.map_err(BatchError::Load)?;
        } else {
            transaction.insert_grants(&grants, now_ms).await.map_err(BatchError::Save)?;
            transaction.commit().await.map_err(BatchError::Save)?;
        }
        Ok(outcomes)
    }

    /// Loads the catalogue of each organization of the batch whose version is not the one in memory.
    async fn refresh_catalogues(&mut self, transaction: &Transaction, batch: &[&BulkEarn]) -> Result<(), StorageError> {
        let org_ids: BTreeSet<_> = batch.iter().map(|command| command.org_id).collect();
        let versions = transaction.catalogue_versions(&org_ids).await?;
        for org_id in org_ids {
            let in_memory = self.catalogues.get(&org_id).map(|catalogue| catalogue.version);
            if in_memory.is_none() || in_memory != versions.get(&org_id).copied() {
                match transaction.catalogue(org_id).await? {
                    Some(catalogue) => self.catalogues.insert(org_id, catalogue),
                    None => self.catalogues.remove(&org_id),
                };
            }
        }
        Ok(())
    }

    fn wanted(&self, batch: &[&BulkEarn]) -> Wanted {
        let mut wanted = Wanted::default();
        for command in batch {
            let Some(catalogue) = self.catalogues.get(&command.org_id) else { continue };
            if !catalogue.org.accept_unknown_customers {
                wanted.customers.insert((command.org_id, command.customer_id));
            }
            for key in command.entries.iter().filter_map(|entry| EarningKey::of(command, entry)) {
                let Some(promotion) = catalogue.promotions.get(&key.promotion_id) else { continue };
                if promotion.max_earning_per_customer.is_some() {
                    wanted.capped.insert(key.holder());
                }
                if promotion.limited_to_audience {
                    wanted.limited.insert(key.holder());
                }
                wanted.earnings.insert(key);
            }
        }
        wanted
    }

    fn decide(&self, command: &BulkEarn, facts: &mut Facts, now_ms: i64, grants: &mut Vec<Grant>) -> Earned {
        let catalogue = self.catalogues.get(&command.org_id).ok_or_else(|| {
            let missing = format!("no organization {}, but credentials for it", command.org_id.0);
            EarnError::Internal(Arc::new(StorageError::Corrupt(missing)))
        })?;
        if !catalogue.org.accept_unknown_customers && !facts.customers.contains(&(command.org_id, command.customer_id))
        {
            return Err(EarnError::CustomerNotFound(command.customer_id));
        }
        let decision = decide(command, &mut Scene { catalogue, facts, now_ms }, || self.ids.next(now_ms));
        grants.extend(decision.grants);
        Ok(decision.outcomes)
    }
}
