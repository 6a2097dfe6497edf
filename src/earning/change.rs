//! What becomes of earned promotions: revoking and redeeming, decided from what the wallet holds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::object_id::{Given, MAX_ECHOED_CHARACTERS};
use super::redemption::{Redemption, RedemptionLine, first_difference};
use super::time::{DAY_MS, iso};
use super::{Catalog, CustomerId, ObjectId, OrgId, PromotionType};

/// Longest time from the date of a transaction to the event of an earned promotion that it redeems: clocks of tills and of
/// whatever sends events differ, and an event may be as far ahead of the server's clock.
pub const MAX_BEFORE_EVENT_MS: i64 = DAY_MS;

/// Most days after its transaction within which a server can be told to take a redemption.
pub const MAX_LATE_REDEMPTION_DAYS: u32 = 365;

/// An earned promotion, by what its row is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceKey {
    /// Organization.
    pub org_id: OrgId,
    /// Who holds it.
    pub customer_id: CustomerId,
    /// The earn id.
    pub earn_id: ObjectId,
}

/// Earned promotions of one customer to take back.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// Organization of the caller.
    pub org_id: OrgId,
    /// Who holds them.
    pub customer_id: CustomerId,
    /// The promotions, each once, and the earn ids of each.
    pub details: Vec<(Given, Vec<Given>)>,
}

/// A transaction in which earned promotions of one customer are redeemed.
#[derive(Debug, Clone)]
pub struct Redeem {
    /// Organization of the caller.
    pub org_id: OrgId,
    /// Names the transaction within the organization.
    pub transaction_identifier: Arc<str>,
    /// The transaction as it is recorded if it is new.
    pub transaction: RecordedTransaction,
}

/// Something that is done to what a customer holds.
#[derive(Debug, Clone)]
pub enum Change {
    /// Takes back.
    Revoke(Revoke),
    /// Redeems.
    Redeem(Redeem),
}

impl Change {
    /// Whose wallet it changes.
    pub fn customer(&self) -> (OrgId, CustomerId) {
        match self {
            Self::Revoke(revoke) => (revoke.org_id, revoke.customer_id),
            Self::Redeem(redeem) => (redeem.org_id, redeem.transaction.redemption.customer_id),
        }
    }

    /// Every earn id it names.
    pub fn earn_ids(&self) -> Box<dyn Iterator<Item = ObjectId> + '_> {
        match self {
            Self::Revoke(revoke) => {
                Box::new(revoke.details.iter().flat_map(|(_, ids)| ids).filter_map(|given| given.id))
            }
            Self::Redeem(redeem) => {
                Box::new(redeem.transaction.redemption.lines().filter_map(|line| line.earned_promotion.id))
            }
        }
    }
}

/// What became of an earned promotion, but for its expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedStatus {
    /// Neither of these.
    Unlocked,
    /// Redeemed.
    Redeemed,
    /// Taken back.
    Revoked,
}

impl RecordedStatus {
    /// Every one there is.
    pub const ALL: [Self; 3] = [Self::Unlocked, Self::Redeemed, Self::Revoked];

    /// The documented name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlocked => "UNLOCKED",
            Self::Redeemed => "REDEEMED",
            Self::Revoked => "REVOKED",
        }
    }

    /// The one of that documented name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What became of an earned promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EarnedStatus {
    /// It can be redeemed.
    Unlocked,
    /// It was redeemed.
    Redeemed,
    /// It was taken back.
    Revoked,
    /// It was neither, and is no longer valid.
    Expired,
}

impl EarnedStatus {
    /// Every one there is.
    pub const ALL: [Self; 4] = [Self::Unlocked, Self::Redeemed, Self::Revoked, Self::Expired];

    /// The documented name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlocked => "UNLOCKED",
            Self::Redeemed => "REDEEMED",
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
        }
    }

    /// The one of that documented name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl Held {
    /// What became of it, at `now_ms` (milliseconds since 1970-01-01T00:00:00Z).
    pub fn status_at(&self, now_ms: i64) -> EarnedStatus {
        match self.status {
            RecordedStatus::Unlocked if self.valid_till_ms < now_ms => EarnedStatus::Expired,
            RecordedStatus::Unlocked => EarnedStatus::Unlocked,
            RecordedStatus::Redeemed => EarnedStatus::Redeemed,
            RecordedStatus::Revoked => EarnedStatus::Revoked,
        }
    }
}

/// What the wallet says of an earned promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Of which promotion it is.
    pub promotion_id: ObjectId,
    /// When its event occurred, milliseconds since 1970-01-01T00:00:00Z.
    pub event_time_ms: i64,
    /// Last millisecond at which it is valid, since 1970-01-01T00:00:00Z.
    pub valid_till_ms: i64,
    /// What became of it.
    pub status: RecordedStatus,
    /// The transaction that redeemed it.
    pub redeemed_by: Option<Arc<str>>,
}

/// A transaction that is recorded, or is to be.
#[derive(Debug, Clone)]
pub struct RecordedTransaction {
    /// The digest of its content, perhaps in a version of another release.
    pub digest: Arc<str>,
    /// Its content.
    pub redemption: Arc<Redemption>,
}

impl RecordedTransaction {
    /// The path of the first field in which `given` differs; `None` when both have the same content.
    fn first_difference(&self, given: &Self) -> Option<String> {
        if self.digest == given.digest {
            return None;
        }
        // Digests of two versions differ though the content may not.
        first_difference(&self.redemption, &given.redemption)
    }
}

impl From<Redemption> for RecordedTransaction {
    fn from(redemption: Redemption) -> Self {
        Self { digest: redemption.digest().into(), redemption: Arc::new(redemption) }
    }
}

/// Everything the rules need besides the catalog: of what the commands of a batch name. What one command changes, the
/// next sees.
#[derive(Debug, Default)]
pub struct ChangeFacts {
    /// The earned promotions.
    pub held: HashMap<InstanceKey, Held>,
    /// The transactions, by organization and identifier.
    pub transactions: HashMap<(OrgId, Arc<str>), RecordedTransaction>,
    /// The recorded ones among the customers.
    pub customers: HashSet<(OrgId, CustomerId)>,
}

/// Why earned promotions are not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevokeFailure {
    /// 729.
    #[error("already redeemed")]
    Redeemed,
    /// 730.
    #[error("the promotion is of type {}, which nobody holds", .0.name())]
    NobodyHolds(PromotionType),
    /// 731.
    #[error("not an earn id of this customer and promotion")]
    NotHeld,
}

impl RevokeFailure {
    /// The documented number.
    pub fn code(self) -> i32 {
        match self {
            Self::Redeemed => 729,
            Self::NobodyHolds(_) => 730,
            Self::NotHeld => 731,
        }
    }
}

/// What became of the earn ids of one promotion: places in the command's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedDetail {
    /// Those that are revoked, now or before.
    pub revoked: Vec<usize>,
    /// Those that are not, by reason.
    pub failed: Vec<(RevokeFailure, Vec<usize>)>,
}

/// Why nothing of a transaction is redeemed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedeemFailure {
    /// 800: the transaction is recorded with other content.
    #[error("transaction {transaction_identifier:?} is recorded with other content: {field} differs")]
    OtherContent {
        /// The transaction.
        transaction_identifier: Arc<str>,
        /// Path of the first field that differs.
        field: String,
    },
    /// 731: no earned promotion of this customer and promotion.
    #[error("{0:?} is not an earned promotion of this customer and promotion")]
    NotHeld(String),
    /// 731: taken back.
    #[error("earned promotion {0} was revoked")]
    Revoked(ObjectId),
    /// 729: redeemed by another transaction.
    #[error("earned promotion {earn_id} was redeemed by another transaction, {by:?}")]
    Redeemed {
        /// The earn id.
        earn_id: ObjectId,
        /// The transaction that redeemed it.
        by: Arc<str>,
    },
    /// 400: the transaction is dated too long before the event that earned the promotion.
    #[error(
        "must not be more than 24 hours before {}, the eventTime of earned promotion {earn_id}: it is {}",
        iso(*event_time_ms),
        iso(*transaction_date_ms)
    )]
    BeforeEvent {
        /// The earn id.
        earn_id: ObjectId,
        /// When the transaction occurred, milliseconds since 1970-01-01T00:00:00Z.
        transaction_date_ms: i64,
        /// When the event occurred, milliseconds since 1970-01-01T00:00:00Z.
        event_time_ms: i64,
    },
    /// 706: no longer valid.
    #[error("earned promotion {earn_id} had expired at {}: it was valid until {}", iso(*judged_ms), iso(*valid_till_ms))]
    Expired {
        /// The earn id.
        earn_id: ObjectId,
        /// The instant at which it had to be valid, milliseconds since 1970-01-01T00:00:00Z.
        judged_ms: i64,
        /// Last millisecond at which it was valid, since 1970-01-01T00:00:00Z.
        valid_till_ms: i64,
    },
}

/// Decides what of `revoke` is taken back: what becomes of each promotion's earn ids, and what is newly revoked.
pub fn revoke(revoke: &Revoke, catalog: &Catalog, facts: &mut ChangeFacts) -> (Vec<RevokedDetail>, Vec<InstanceKey>) {
    let mut newly = Vec::new();
    let details = revoke.details.iter().map(|(promotion, earn_ids)| {
        let kind = promotion.id.and_then(|id| catalog.promotions.get(&id)).map(|promotion| promotion.kind);
        let mut detail = RevokedDetail::default();
        for (place, earn_id) in earn_ids.iter().enumerate() {
            let failure = match kind {
                Some(kind @ (PromotionType::Pos | PromotionType::Code)) => Some(RevokeFailure::NobodyHolds(kind)),
                _ => match revoke_one(revoke, promotion.id, earn_id.id, facts) {
                    Ok(key) => {
                        newly.extend(key);
                        None
                    }
                    Err(failure) => Some(failure),
                },
            };
            match failure {
                None => detail.revoked.push(place),
                Some(failure) => match detail.failed.iter_mut().find(|(other, _)| *other == failure) {
                    Some((_, places)) => places.push(place),
                    None => detail.failed.push((failure, vec![place])),
                },
            }
        }
        detail
    });
    (details.collect(), newly)
}

/// What has to be revoked for one earn id: nothing, when it is revoked already.
fn revoke_one(
    revoke: &Revoke,
    promotion_id: Option<ObjectId>,
    earn_id: Option<ObjectId>,
    facts: &mut ChangeFacts,
) -> Result<Option<InstanceKey>, RevokeFailure> {
    let earn_id = earn_id.ok_or(RevokeFailure::NotHeld)?;
    let key = InstanceKey { org_id: revoke.org_id, customer_id: revoke.customer_id, earn_id };
    let held = facts.held.get_mut(&key).filter(|held| Some(held.promotion_id) == promotion_id);
    let held = held.ok_or(RevokeFailure::NotHeld)?;
    match held.status {
        RecordedStatus::Redeemed => Err(RevokeFailure::Redeemed),
        RecordedStatus::Revoked => Ok(None),
        RecordedStatus::Unlocked => {
            held.status = RecordedStatus::Revoked;
            Ok(Some(key))
        }
    }
}

/// A transaction that is redeemed.
#[derive(Debug)]
pub struct Redeemed {
    /// Its content as it is recorded.
    pub redemption: Arc<Redemption>,
    /// The earned promotions that are newly redeemed: none, when the transaction was recorded already.
    pub newly: Vec<InstanceKey>,
}

/// Decides whether all of `redeem` can be redeemed. A transaction that was told late is judged as if it had occurred at
/// `late_from_ms` (milliseconds since 1970-01-01T00:00:00Z).
///
/// # Errors
/// The first reason why not.
pub fn redeem(redeem: &Redeem, facts: &mut ChangeFacts, late_from_ms: i64) -> Result<Redeemed, RedeemFailure> {
    let name = (redeem.org_id, Arc::clone(&redeem.transaction_identifier));
    if let Some(recorded) = facts.transactions.get(&name) {
        return match recorded.first_difference(&redeem.transaction) {
            None => Ok(Redeemed { redemption: Arc::clone(&recorded.redemption), newly: Vec::new() }),
            Some(field) => Err(RedeemFailure::OtherContent { transaction_identifier: name.1, field }),
        };
    }
    let redemption = &redeem.transaction.redemption;
    let judged_ms = redemption.transaction_date_ms.max(late_from_ms);
    let mut newly = Vec::new();
    let mut seen = HashSet::new();
    for line in redemption.lines() {
        let key = redeemable(redeem, line, facts, judged_ms)?;
        // It may be in both lists.
        if seen.insert(key) {
            newly.push(key);
        }
    }
    for key in &newly {
        if let Some(held) = facts.held.get_mut(key) {
            held.status = RecordedStatus::Redeemed;
            held.redeemed_by = Some(Arc::clone(&name.1));
        }
    }
    facts.transactions.insert(name, redeem.transaction.clone());
    Ok(Redeemed { redemption: Arc::clone(redemption), newly })
}

/// Returns the earned promotion of `line` when it can be redeemed by a transaction that is judged at `judged_ms`.
fn redeemable(
    redeem: &Redeem,
    line: &RedemptionLine,
    facts: &ChangeFacts,
    judged_ms: i64,
) -> Result<InstanceKey, RedeemFailure> {
    let redemption = &redeem.transaction.redemption;
    let given = &line.earned_promotion;
    let not_held = || RedeemFailure::NotHeld(given.text.chars().take(MAX_ECHOED_CHARACTERS).collect());
    let earn_id = given.id.ok_or_else(not_held)?;
    let key = InstanceKey { org_id: redeem.org_id, customer_id: redemption.customer_id, earn_id };
    let held = facts.held.get(&key).filter(|held| Some(held.promotion_id) == line.promotion.id).ok_or_else(not_held)?;
    match held.status {
        RecordedStatus::Revoked => return Err(RedeemFailure::Revoked(earn_id)),
        RecordedStatus::Redeemed => {
            let by = held.redeemed_by.clone().unwrap_or_default();
            return Err(RedeemFailure::Redeemed { earn_id, by });
        }
        RecordedStatus::Unlocked => {}
    }
    let transaction_date_ms = redemption.transaction_date_ms;
    if transaction_date_ms < held.event_time_ms.saturating_sub(MAX_BEFORE_EVENT_MS) {
        let event_time_ms = held.event_time_ms;
        return Err(RedeemFailure::BeforeEvent { earn_id, transaction_date_ms, event_time_ms });
    }
    if held.valid_till_ms < judged_ms {
        return Err(RedeemFailure::Expired { earn_id, judged_ms, valid_till_ms: held.valid_till_ms });
    }
    Ok(key)
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
