//! Decides and saves a batch of bulk earnings in one transaction.

use std::sync::Arc;

use super::against_catalogs::{self, FromCatalogs};
use super::catalog_cache::{CatalogCache, InMemory, versions};
use super::earn_ids::EarnIds;
use crate::clock::Clock;
use crate::earning::{BulkEarn, Decision, Details, EarningKey, EntryOutcome, Facts, OrgId, Scene, Timestamp, decide};
use crate::storage::batch::earnings::{EarningsWanted, Grants, UnderCap};
use crate::storage::batch::session::{BatchError, Patience, Ran, Session};
use crate::storage::{StorageError, Store};
use crate::telemetry::metrics::{Metrics, Operation, WalletMetrics};
use crate::writer::error::WalletError;
use crate::writer::{Batches, Customer, Written};

/// The outcome of each entry of a command, or the error of the whole command.
pub type Earned = Result<Vec<EntryOutcome>, WalletError>;

/// Decides and saves batches. Each worker of the writer has its own.
#[derive(Debug)]
pub struct BatchEarner {
    session: Session,
    clock: Clock,
    ids: EarnIds,
    catalogs: Arc<CatalogCache>,
    metrics: Arc<Metrics>,
}

impl Batches for BatchEarner {
    type Command = BulkEarn;
    type Outcome = Vec<EntryOutcome>;

    fn customer(command: &BulkEarn) -> Customer {
        (command.org_id, command.customer_id)
    }

    fn rows(command: &BulkEarn) -> usize {
        usize::try_from(command.grants()).unwrap_or(usize::MAX)
    }

    async fn run(&mut self, batch: &[&BulkEarn], patience: Patience) -> Result<Written<Self>, BatchError> {
        against_catalogs::run(self, batch, patience).await
    }

    async fn wait_for_org(&mut self, org_id: OrgId) -> Result<(), StorageError> {
        self.session.set_patience(Patience::Full);
        self.session.wait_for(org_id).await
    }
}

impl FromCatalogs for BatchEarner {
    fn parts(&mut self) -> (&mut Session, &CatalogCache) {
        (&mut self.session, &self.catalogs)
    }

    async fn attempt(&mut self, batch: &[&BulkEarn], catalogs: &InMemory) -> Result<Ran<Vec<Earned>>, BatchError> {
        let now = self.clock.now();
        let wanted = wanted(batch, catalogs);
        let deciding = DecidingEarnings { catalogs, ids: &self.ids, now };
        let timed = self.metrics.database.time(Operation::Earn);
        let mut granted = 0;
        let decide = |facts: &mut Facts| {
            let (outcomes, grants) = deciding.all(batch, facts);
            granted = grants.grants.iter().map(|grant| u64::from(grant.count())).sum();
            (outcomes, grants)
        };
        let ran = self.session.earn(&wanted, now, decide).await;
        drop(timed);
        if let Ok(Ran::Done(outcomes)) = &ran {
            count(&self.metrics.wallet, outcomes, granted);
        }
        ran
    }
}

impl BatchEarner {
    pub(super) fn new(store: Store, clock: Clock, catalogs: Arc<CatalogCache>, metrics: &Arc<Metrics>) -> Self {
        let (session, metrics) = (Session::new(store), Arc::clone(metrics));
        Self { session, clock, ids: EarnIds::of_this_process(), catalogs, metrics }
    }
}

/// Counts the entries of a batch that is durable, and the instances that it granted.
fn count(metrics: &WalletMetrics, outcomes: &[Earned], granted: u64) {
    let (mut new, mut replayed) = (0, 0);
    for outcome in outcomes.iter().flatten().flatten() {
        match &outcome.failure {
            Some(failure) => metrics.failed(failure.code()),
            None if outcome.replayed == outcome.instances.len() => replayed += 1,
            None => new += 1,
        }
    }
    metrics.granted(new);
    metrics.replayed(replayed);
    metrics.grants(granted);
}

/// The input of the decisions about a batch, besides the facts.
struct DecidingEarnings<'a> {
    catalogs: &'a InMemory,
    ids: &'a EarnIds,
    now: Timestamp,
}

impl DecidingEarnings<'_> {
    /// Decides every command, in order.
    fn all(&self, batch: &[&BulkEarn], facts: &mut Facts) -> (Vec<Earned>, Grants) {
        let mut grants = Grants::default();
        let outcomes = batch.iter().map(|command| self.one(command, facts, &mut grants)).collect();
        let keys = grants.grants.iter().map(|grant| (grant.key.org_id, grant.key.promotion_id));
        grants.first_of = keys.filter(|(org_id, id)| !self.catalogs[org_id].promotions[id].earned).collect();
        (outcomes, grants)
    }

    fn one(&self, command: &BulkEarn, facts: &mut Facts, grants: &mut Grants) -> Earned {
        let org_id = command.org_id;
        let catalog = self.catalogs.get(&org_id).ok_or_else(|| WalletError::no_organization(org_id))?;
        if !catalog.org.accept_unknown_customers && !facts.customers.contains(&(org_id, command.customer_id)) {
            return Err(WalletError::CustomerNotFound(command.customer_id));
        }
        if is_answered_too_long(command, facts) {
            return Err(WalletError::AnswerTooLong);
        }
        let now = self.now;
        let Decision { outcomes, grants: new } =
            decide(command, &mut Scene { catalog, facts, now }, || self.ids.next(now));
        for grant in &new {
            if let Some(cap) = grant.cap {
                let cap_period = catalog.promotions[&grant.key.promotion_id].cap_period;
                let under = UnderCap { granted: 0, cap, cap_period };
                grants.under_cap.entry(grant.key.holder()).or_insert(under).granted += grant.count();
            }
        }
        grants.grants.extend(new);
        Ok(outcomes)
    }
}

/// Returns true when an earning that the command names is recorded with another payload, longer than the answer has
/// room for.
fn is_answered_too_long(command: &BulkEarn, facts: &Facts) -> bool {
    fn payload(details: Option<&Arc<Details>>) -> Option<&str> {
        details?.event_payload.as_deref()
    }
    let given = payload(command.details.as_ref());
    let too_long = |recorded: &str| recorded.len() > command.max_recorded_payload_bytes && Some(recorded) != given;
    let keys = command.entries.iter().filter_map(|entry| EarningKey::of(command, entry));
    !facts.earnings.is_empty()
        && keys.filter_map(|key| payload(facts.earnings.get(&key)?.details.as_ref())).any(too_long)
}

fn wanted(batch: &[&BulkEarn], catalogs: &InMemory) -> EarningsWanted {
    let mut wanted = EarningsWanted { catalogs: versions(catalogs), ..EarningsWanted::default() };
    let mut named = Vec::new();
    for command in batch {
        let Some(catalog) = catalogs.get(&command.org_id) else { continue };
        if !catalog.org.accept_unknown_customers {
            wanted.customers.insert((command.org_id, command.customer_id));
        }
        for key in command.entries.iter().filter_map(|entry| EarningKey::of(command, entry)) {
            let Some(promotion) = catalog.promotions.get(&key.promotion_id) else { continue };
            if promotion.cap.is_some() {
                wanted.capped.insert(key.holder(), promotion.cap_period);
            }
            if promotion.limited_to_audience {
                wanted.limited.insert(key.holder());
            }
            named.push(key);
        }
    }
    let count = named.len();
    // The keys are sorted once, which is cheaper than inserting each.
    wanted.earnings = named.into_iter().collect();
    wanted.each_named_once = wanted.earnings.len() == count;
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earning::decide::tests::{catalog, command, promotion};
    use crate::earning::{CustomerId, OrgId};

    #[test]
    fn what_a_batch_names_twice_is_known() {
        let catalogs = InMemory::from([(OrgId(1), Arc::new(catalog(vec![promotion(1), promotion(2)], 250)))]);
        let distinct = |batch: &[&BulkEarn]| wanted(batch, &catalogs).each_named_once;
        let one = command(&[(1, 1, "a"), (2, 1, "a"), (1, 1, "b")]);
        let of_another = BulkEarn { customer_id: CustomerId(8), ..one.clone() };
        assert!(distinct(&[]) && distinct(&[&one]) && distinct(&[&one, &of_another]));
        assert!(!distinct(&[&one, &of_another, &command(&[(2, 3, "a")])]));
    }
}
