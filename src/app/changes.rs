//! Deciding and saving a batch of revocations and redemptions in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::catalogues::{Catalogues, InMemory};
use super::error::{BatchError, WalletError};
use super::writer::{Batches, Customer, Patience};
use super::{App, Clock};
use crate::earning::change::{self, Change, ChangeFacts, InstanceKey, RedeemFailure, RevokedDetail};
use crate::earning::{Holder, OrgId};
use crate::storage::changes::{Changes, ChangesWanted, NewTransaction};
use crate::storage::{StorageError, Store};

/// What became of a change.
#[derive(Debug)]
pub enum Changed {
    /// What was revoked, of each promotion of the command.
    Revoked(Vec<RevokedDetail>),
    /// Whether the transaction is redeemed.
    Redeemed(Result<(), RedeemFailure>),
}

impl App {
    /// Revokes or redeems for an API client. The answer is durable.
    ///
    /// # Errors
    /// Why nothing was decided.
    pub async fn change(&self, client: Arc<str>, change: Change) -> Result<Changed, WalletError> {
        self.changer.write(client, Arc::new(change)).await
    }
}

/// Decides and saves batches. Each lane of the writer has its own.
#[derive(Debug)]
pub(super) struct BatchChanger {
    store: Store,
    clock: Clock,
    catalogues: Arc<Catalogues>,
}

impl Batches for BatchChanger {
    type Command = Change;
    type Outcome = Changed;

    fn customer(command: &Change) -> Customer {
        command.customer()
    }

    fn rows(command: &Change) -> usize {
        command.earn_ids().count()
    }

    async fn run(
        &mut self,
        batch: &[&Change],
        _patience: Patience,
    ) -> Result<Vec<Result<Changed, WalletError>>, BatchError> {
        let org_ids: BTreeSet<_> = batch.iter().map(|command| command.customer().0).collect();
        let catalogues = self.catalogues.of(&org_ids).await.map_err(BatchError::Load)?;
        let transaction = self.store.begin().await.map_err(BatchError::Load)?;
        let now_ms = self.clock.now_ms();
        let wanted = wanted(batch, &catalogues);
        let (mut facts, rows) = transaction.change_facts(&wanted).await.map_err(BatchError::Load)?;
        let mut changes = Changes::default();
        let answers = batch.iter().map(|command| decide(command, (&catalogues, &mut facts), now_ms, &mut changes));
        let answers: Vec<_> = answers.collect();
        if changes.instances.is_empty() {
            // What is only repeated is durable already.
            transaction.rollback().await.map_err(BatchError::Load)?;
        } else {
            transaction.save_changes(&changes, &rows, now_ms).await.map_err(BatchError::Save)?;
            transaction.commit().await.map_err(BatchError::Save)?;
        }
        Ok(answers)
    }

    async fn wait_for_org(&mut self, _org_id: OrgId) -> Result<(), StorageError> {
        Ok(())
    }
}

impl BatchChanger {
    pub(super) fn new(store: Store, clock: Clock, catalogues: Arc<Catalogues>) -> Self {
        Self { store, clock, catalogues }
    }
}

fn wanted(batch: &[&Change], catalogues: &InMemory) -> ChangesWanted {
    let mut wanted = ChangesWanted::default();
    for command in batch {
        let (org_id, customer_id) = command.customer();
        if catalogues.get(&org_id).is_some_and(|catalogue| !catalogue.org.accept_unknown_customers) {
            wanted.customers.insert((org_id, customer_id));
        }
        wanted.instances.extend(command.earn_ids().map(|earn_id| InstanceKey { org_id, customer_id, earn_id }));
        if let Change::Redeem(redeem) = command {
            wanted.transactions.insert((org_id, Arc::clone(&redeem.transaction_identifier)));
        }
    }
    wanted
}

fn decide(
    command: &Change,
    (catalogues, facts): (&InMemory, &mut ChangeFacts),
    now_ms: i64,
    changes: &mut Changes,
) -> Result<Changed, WalletError> {
    let (org_id, customer_id) = command.customer();
    let catalogue = catalogues.get(&org_id).ok_or_else(|| WalletError::no_organization(org_id))?;
    if !catalogue.org.accept_unknown_customers && !facts.customers.contains(&(org_id, customer_id)) {
        return Err(WalletError::CustomerNotFound(customer_id));
    }
    match command {
        Change::Revoke(revoke) => {
            let (details, newly) = change::revoke(revoke, catalogue, facts);
            for key in newly {
                let promotion_id = facts.held[&key].promotion_id;
                let promotion = catalogue.promotions.get(&promotion_id);
                if promotion.is_some_and(|promotion| promotion.max_earning_per_customer.is_some()) {
                    *changes.uncounted.entry(Holder { org_id, customer_id, promotion_id }).or_default() += 1;
                }
                changes.instances.insert(key, None);
            }
            Ok(Changed::Revoked(details))
        }
        Change::Redeem(redeem) => Ok(Changed::Redeemed(change::redeem(redeem, facts, now_ms).map(|newly| {
            let name = (org_id, Arc::clone(&redeem.transaction_identifier));
            if let (Some(transaction), false) = (facts.transactions.get(&name), newly.is_empty()) {
                let instances = i64::try_from(newly.len()).unwrap_or(i64::MAX);
                changes.transactions.insert(name, NewTransaction { transaction: transaction.clone(), instances });
            }
            let by = Some(Arc::clone(&redeem.transaction_identifier));
            changes.instances.extend(newly.into_iter().map(|key| (key, by.clone())));
        }))),
    }
}
