//! Decides and saves a batch of revocations and redemptions in one transaction.

use std::sync::Arc;
use std::time::Duration;

use super::against_catalogs::{self, FromCatalogs};
use super::catalog_cache::{CatalogCache, InMemory, versions};
use crate::clock::Clock;
use crate::earning::change::{ChangeFacts, InstanceKey, WalletChange};
use crate::earning::redeem::{self, RedeemFailure};
use crate::earning::revoke::{self, RevokedDetail};
use crate::earning::{Catalog, Holder, OrgId, Redemption, Timestamp};
use crate::storage::StorageError;
use crate::storage::batch::changes::{Changes, ChangesWanted, NewTransaction, Revoked};
use crate::storage::batch::session::{BatchError, Patience, Ran, Session};
use crate::telemetry::metrics::{Metrics, Operation};
use crate::writer::error::WalletError;
use crate::writer::{Batches, Customer, Written};

/// The outcome of a change.
#[derive(Debug)]
pub enum Changed {
    /// The instances that were revoked, of each promotion of the command.
    Revoked(Vec<RevokedDetail>),
    /// The content of the transaction as recorded, or the reason for which nothing is redeemed.
    Redeemed(Result<Arc<Redemption>, RedeemFailure>),
}

/// The outcome of a change, or the reason for which nothing was decided.
type ChangeAnswer = Result<Changed, WalletError>;

/// Decides and saves batches. Each worker of the writer has its own.
#[derive(Debug)]
pub(super) struct BatchChanger {
    pub session: Session,
    pub clock: Clock,
    pub catalogs: Arc<CatalogCache>,
    /// Longest time after its transaction at which a redemption is judged as if it had been reported at once.
    pub late_redemption: Duration,
    pub metrics: Arc<Metrics>,
}

impl Batches for BatchChanger {
    type Command = WalletChange;
    type Outcome = Changed;

    fn customer(command: &WalletChange) -> Customer {
        command.customer()
    }

    fn rows(command: &WalletChange) -> usize {
        command.earn_ids().count()
    }

    async fn run(&mut self, batch: &[&WalletChange], patience: Patience) -> Result<Written<Self>, BatchError> {
        against_catalogs::run(self, batch, patience).await
    }

    async fn wait_for_org(&mut self, org_id: OrgId) -> Result<(), StorageError> {
        self.session.set_patience(Patience::Full);
        self.session.wait_for(org_id).await
    }
}

impl FromCatalogs for BatchChanger {
    fn parts(&mut self) -> (&mut Session, &CatalogCache) {
        (&mut self.session, &self.catalogs)
    }

    async fn attempt(
        &mut self,
        batch: &[&WalletChange],
        catalogs: &InMemory,
    ) -> Result<Ran<Vec<ChangeAnswer>>, BatchError> {
        let now = self.clock.now();
        let late_from = now - self.late_redemption;
        let wanted = wanted(batch, catalogs);
        let timed = self.metrics.database.time(Operation::Change);
        let mut written = [0; 2];
        let decide = |facts: &mut ChangeFacts| {
            let (answers, changes) = decide_all(batch, catalogs, facts, late_from);
            let redeemed = changes.instances.values().flatten().count();
            written = [changes.instances.len() - redeemed, redeemed].map(|instances| instances as u64);
            (answers, changes)
        };
        let ran = self.session.change(&wanted, now, decide).await;
        drop(timed);
        if let Ok(Ran::Done(_)) = ran {
            self.metrics.wallet.revocations(written[0]);
            self.metrics.wallet.redemptions(written[1]);
        }
        ran
    }
}

fn wanted(batch: &[&WalletChange], catalogs: &InMemory) -> ChangesWanted {
    let mut wanted = ChangesWanted { catalogs: versions(catalogs), ..ChangesWanted::default() };
    for command in batch {
        let (org_id, customer_id) = command.customer();
        if catalogs.get(&org_id).is_some_and(|catalog| !catalog.org.accept_unknown_customers) {
            wanted.customers.insert((org_id, customer_id));
        }
        wanted.instances.extend(command.earn_ids().map(|earn_id| InstanceKey { org_id, customer_id, earn_id }));
        if let WalletChange::Redeem(redeem) = command {
            wanted.transactions.insert((org_id, Arc::clone(&redeem.transaction_identifier)));
        }
    }
    wanted
}

/// Decides every command, in order. A redemption is judged as of its transaction, but at the earliest as of
/// `late_from`.
fn decide_all(
    batch: &[&WalletChange],
    catalogs: &InMemory,
    facts: &mut ChangeFacts,
    late_from: Timestamp,
) -> (Vec<ChangeAnswer>, Changes) {
    let mut changes = Changes::default();
    let answers = batch.iter().map(|command| {
        let (org_id, _) = command.customer();
        let catalog = catalogs.get(&org_id).ok_or_else(|| WalletError::no_organization(org_id))?;
        decide(command, &mut DecidingChanges { catalog, facts, late_from, changes: &mut changes })
    });
    let answers = answers.collect();
    (answers, changes)
}

/// The input of a decision, and the changes to write for the commands before it.
struct DecidingChanges<'a> {
    catalog: &'a Catalog,
    facts: &'a mut ChangeFacts,
    late_from: Timestamp,
    changes: &'a mut Changes,
}

fn decide(command: &WalletChange, deciding: &mut DecidingChanges<'_>) -> Result<Changed, WalletError> {
    let DecidingChanges { catalog, facts, late_from, changes } = deciding;
    let (org_id, customer_id) = command.customer();
    if !catalog.org.accept_unknown_customers && !facts.customers.contains(&(org_id, customer_id)) {
        return Err(WalletError::CustomerNotFound(customer_id));
    }
    match command {
        WalletChange::Revoke(revoke) => {
            let (details, newly) = revoke::revoke(revoke, catalog, facts);
            for key in newly {
                let promotion_id = facts.held[&key].promotion_id;
                let cap_period = catalog.promotions.get(&promotion_id).map_or(0, |promotion| promotion.cap_period);
                let revoked = changes.revoked.entry(Holder { org_id, customer_id, promotion_id }).or_default();
                *revoked = Revoked { count: revoked.count + 1, cap_period };
                changes.instances.insert(key, None);
            }
            Ok(Changed::Revoked(details))
        }
        WalletChange::Redeem(redeem) => {
            Ok(Changed::Redeemed(redeem::redeem(redeem, facts, *late_from).map(|redeemed| {
                let by = &redeem.transaction_identifier;
                if !redeemed.newly.is_empty() {
                    let instances = i64::try_from(redeemed.newly.len()).unwrap_or(i64::MAX);
                    let transaction = NewTransaction { transaction: redeem.transaction.clone(), instances };
                    changes.transactions.insert((org_id, Arc::clone(by)), transaction);
                }
                changes.instances.extend(redeemed.newly.into_iter().map(|key| (key, Some(Arc::clone(by)))));
                redeemed.redemption
            })))
        }
    }
}
