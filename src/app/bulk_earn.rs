//! Deciding and saving a batch of bulk earnings in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::catalogues::{Catalogues, InMemory};
use super::earn_ids::EarnIds;
use super::error::{BatchError, WalletError};
use super::writer::{Batches, Customer, Patience};
use super::{App, Clock};
use crate::earning::{BulkEarn, Decision, Details, EarningKey, EntryOutcome, Facts, ObjectId, OrgId, Scene, decide};
use crate::storage::wallet::{Grants, Session, Wanted};
use crate::storage::{StorageError, Store};

/// The outcome of each entry of a command, or why there is none.
pub type Earned = Result<Vec<EntryOutcome>, WalletError>;

impl App {
    /// Grants what `command` of an API client asks for. The answer is durable.
    ///
    /// # Errors
    /// Why nothing was granted.
    pub async fn bulk_earn(&self, client: Arc<str>, command: Arc<BulkEarn>) -> Earned {
        self.earner.write(client, command).await
    }
}

/// Decides and saves batches. Each lane of the writer has its own.
#[derive(Debug)]
pub struct BatchEarner {
    session: Session,
    clock: Clock,
    ids: EarnIds,
    catalogues: Arc<Catalogues>,
    /// Batches to come of which the facts are read before they are decided.
    read_first: u32,
    /// Promotions that were found not to be marked as earned, and were.
    marked: BTreeSet<(OrgId, ObjectId)>,
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

    async fn run(&mut self, batch: &[&BulkEarn], _patience: Patience) -> Result<Vec<Earned>, BatchError> {
        self.earn(batch).await
    }

    async fn wait_for_org(&mut self, _org_id: OrgId) -> Result<(), StorageError> {
        Ok(())
    }
}

/// For so many batches after one whose facts were not as presumed, or that repeats something, the next may be alike.
const READ_FIRST: u32 = 16;

impl BatchEarner {
    pub(super) fn new(store: Store, clock: Clock, catalogues: Arc<Catalogues>) -> Self {
        Self {
            session: Session::new(store),
            clock,
            ids: EarnIds::of_this_process(),
            catalogues,
            read_first: 0,
            marked: BTreeSet::new(),
        }
    }

    /// Decides every command of the batch, in order, and saves what they grant in one transaction.
    async fn earn(&mut self, batch: &[&BulkEarn]) -> Result<Vec<Earned>, BatchError> {
        let org_ids: BTreeSet<_> = batch.iter().map(|command| command.org_id).collect();
        let catalogues = self.catalogues.of(&org_ids).await.map_err(BatchError::Load)?;
        let mut access = self.session.begin().await.map_err(BatchError::Load)?;
        let now_ms = self.clock.now_ms();
        let wanted = wanted(batch, &catalogues);
        if self.read_first == 0 && self.session.writes_at_once(&wanted) {
            let (outcomes, grants) = self.decide_all(batch, (&catalogues, &mut wanted.presumed()), now_ms);
            if !grants.grants.is_empty() {
                // Unless it is written: an error ends this batch here.
                self.read_first = READ_FIRST;
                let written = self.session.write_as_presumed(access, (&wanted, &grants), now_ms).await;
                match written.map_err(BatchError::Save)? {
                    None => {
                        self.read_first = 0;
                        self.marked.extend(grants.first_of);
                        return Ok(outcomes);
                    }
                    Some(batch) => access = batch,
                }
            }
        }
        let mut facts = access.facts(&wanted, now_ms).await.map_err(BatchError::Load)?;
        self.read_first = if facts.earnings.is_empty() { self.read_first.saturating_sub(1) } else { READ_FIRST };
        let (outcomes, grants) = self.decide_all(batch, (&catalogues, &mut facts), now_ms);
        self.session.end(access, &grants, now_ms).await.map_err(BatchError::Save)?;
        self.marked.extend(grants.first_of);
        Ok(outcomes)
    }

    /// The promotions that are earned for the first time, as far as is known here.
    fn first_earned(&self, grants: &Grants, catalogues: &InMemory) -> BTreeSet<(OrgId, ObjectId)> {
        let is_news = |key: &(OrgId, ObjectId)| {
            let catalogue = catalogues.get(&key.0);
            let promotion = catalogue.and_then(|catalogue| catalogue.promotions.get(&key.1));
            promotion.is_some_and(|promotion| !promotion.earned) && !self.marked.contains(key)
        };
        let keys = grants.grants.iter().map(|grant| (grant.key.org_id, grant.key.promotion_id));
        keys.filter(is_news).collect()
    }

    fn decide_all(
        &self,
        batch: &[&BulkEarn],
        (catalogues, facts): (&InMemory, &mut Facts),
        now_ms: i64,
    ) -> (Vec<Earned>, Grants) {
        let mut grants = Grants::default();
        let outcomes = batch.iter().map(|command| self.decide(command, (catalogues, facts), now_ms, &mut grants));
        let outcomes = outcomes.collect();
        grants.first_of = self.first_earned(&grants, catalogues);
        (outcomes, grants)
    }

    fn decide(
        &self,
        command: &BulkEarn,
        (catalogues, facts): (&InMemory, &mut Facts),
        now_ms: i64,
        grants: &mut Grants,
    ) -> Earned {
        let catalogue = catalogues.get(&command.org_id).ok_or_else(|| WalletError::no_organization(command.org_id))?;
        if !catalogue.org.accept_unknown_customers && !facts.customers.contains(&(command.org_id, command.customer_id))
        {
            return Err(WalletError::CustomerNotFound(command.customer_id));
        }
        if is_answered_too_long(command, facts) {
            return Err(WalletError::AnswerTooLong);
        }
        let Decision { outcomes, grants: new } =
            decide(command, &mut Scene { catalogue, facts, now_ms }, || self.ids.next(now_ms));
        for grant in &new {
            if let Some(cap) = grant.cap {
                grants.under_cap.entry(grant.key.holder()).or_insert((0, cap)).0 += grant.count();
            }
        }
        grants.grants.extend(new);
        Ok(outcomes)
    }
}

/// Whether something that it names is recorded with another payload, longer than its answer has room for.
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

fn wanted(batch: &[&BulkEarn], catalogues: &InMemory) -> Wanted {
    let (mut wanted, mut named) = (Wanted::default(), Vec::new());
    for command in batch {
        let Some(catalogue) = catalogues.get(&command.org_id) else { continue };
        if !catalogue.org.accept_unknown_customers {
            wanted.customers.insert((command.org_id, command.customer_id));
        }
        for key in command.entries.iter().filter_map(|entry| EarningKey::of(command, entry)) {
            let Some(promotion) = catalogue.promotions.get(&key.promotion_id) else { continue };
            if promotion.max_earning_per_customer.is_some() {
                wanted.capped.insert(key.holder(), promotion.capped_since_ms);
            }
            if promotion.limited_to_audience {
                wanted.limited.insert(key.holder());
            }
            named.push(key);
        }
    }
    let count = named.len();
    // Sorted once, and not searched for the place of each.
    wanted.earnings = named.into_iter().collect();
    wanted.each_named_once = wanted.earnings.len() == count;
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earning::CustomerId;
    use crate::earning::decide::tests::{catalogue, command, promotion};

    #[test]
    fn what_a_batch_names_twice_is_known() {
        let catalogues = InMemory::from([(OrgId(1), Arc::new(catalogue(vec![promotion(1), promotion(2)], 250)))]);
        let distinct = |batch: &[&BulkEarn]| wanted(batch, &catalogues).each_named_once;
        let one = command(&[(1, 1, "a"), (2, 1, "a"), (1, 1, "b")]);
        let of_another = BulkEarn { customer_id: CustomerId(8), ..one.clone() };
        assert!(distinct(&[]) && distinct(&[&one]) && distinct(&[&one, &of_another]));
        assert!(!distinct(&[&one, &of_another, &command(&[(2, 3, "a")])]));
    }
}
