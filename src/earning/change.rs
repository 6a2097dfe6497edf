//! Changes of earned promotions: the rules of revoking and redeeming.

// The part of the standard library's module that reads no clock.
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::codes;
use super::object_id::{GivenId, MAX_ECHOED_CHARACTERS};
use super::redemption::{Redemption, RedemptionLine, first_difference};
use super::time::DAY;
use super::{Catalog, CustomerId, ObjectId, OrgId, PromotionType, Timestamp};

/// Limits how long before the event of an earned promotion the transaction that redeems it may be dated: one
/// day. The clocks of tills and of the systems that send events differ, and an event may be dated as
/// far ahead of the server's clock.
pub const MAX_BEFORE_EVENT: Duration = DAY;

/// Limits the option `--late-redemption-days`: the number of days after a transaction within which its redemption is
/// judged by the date of the transaction.
pub const MAX_LATE_REDEMPTION_DAYS: u32 = 365;

/// Key of the row of an earned promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceKey {
    /// Organization.
    pub org_id: OrgId,
    /// Customer who holds the earned promotion.
    pub customer_id: CustomerId,
    /// Earn id of the earned promotion.
    pub earn_id: ObjectId,
}

/// Command to revoke earned promotions of one customer.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// Organization of the caller.
    pub org_id: OrgId,
    /// Customer who holds the earned promotions.
    pub customer_id: CustomerId,
    /// Promotions, each once, with the earn ids of each.
    pub details: Vec<(GivenId, Vec<GivenId>)>,
}

/// Command to redeem earned promotions of one customer in a transaction.
#[derive(Debug, Clone)]
pub struct Redeem {
    /// Organization of the caller.
    pub org_id: OrgId,
    /// Identifier of the transaction, unique within the organization.
    pub transaction_identifier: Arc<str>,
    /// Transaction, in the form in which it is recorded if it is new.
    pub transaction: RecordedTransaction,
}

/// Change of the wallet of one customer.
#[derive(Debug, Clone)]
pub enum WalletChange {
    /// Revokes earned promotions.
    Revoke(Revoke),
    /// Redeems earned promotions.
    Redeem(Redeem),
}

impl WalletChange {
    /// Returns the customer whose wallet is changed.
    pub fn customer(&self) -> (OrgId, CustomerId) {
        match self {
            Self::Revoke(revoke) => (revoke.org_id, revoke.customer_id),
            Self::Redeem(redeem) => (redeem.org_id, redeem.transaction.redemption.customer_id),
        }
    }

    /// Returns every earn id that the change names.
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

/// Recorded status of an earned promotion. Expiry follows from the time and is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedStatus {
    /// Neither redeemed nor revoked.
    Unlocked,
    /// Redeemed.
    Redeemed,
    /// Revoked.
    Revoked,
}

/// Status of an earned promotion at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum EarnedStatus {
    /// Valid and neither redeemed nor revoked.
    Unlocked,
    /// Redeemed.
    Redeemed,
    /// Revoked.
    Revoked,
    /// No longer valid, and neither redeemed nor revoked.
    Expired,
}

impl EarnedStatus {
    /// Returns the documented name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl HeldPromotion {
    /// Returns the status at `now`.
    pub fn status_at(&self, now: Timestamp) -> EarnedStatus {
        match self.status {
            RecordedStatus::Unlocked if self.valid_till < now => EarnedStatus::Expired,
            RecordedStatus::Unlocked => EarnedStatus::Unlocked,
            RecordedStatus::Redeemed => EarnedStatus::Redeemed,
            RecordedStatus::Revoked => EarnedStatus::Revoked,
        }
    }
}

/// Earned promotion as the wallet records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPromotion {
    /// Promotion that was earned.
    pub promotion_id: ObjectId,
    /// Time of the event.
    pub event_time: Timestamp,
    /// Last millisecond at which the earned promotion is valid.
    pub valid_till: Timestamp,
    /// Recorded status.
    pub status: RecordedStatus,
    /// Transaction that redeemed it; `None` unless it is redeemed.
    pub redeemed_by: Option<Arc<str>>,
}

/// Transaction that is recorded, or will be.
#[derive(Debug, Clone)]
pub struct RecordedTransaction {
    /// Digest of the content. A digest recorded by another release may have another version.
    pub digest: Arc<str>,
    /// Content of the transaction.
    pub redemption: Arc<Redemption>,
}

impl RecordedTransaction {
    /// Returns the path of the first field in which `given` differs; `None` when both have the same content.
    fn first_difference(&self, given: &Self) -> Option<String> {
        if self.digest == given.digest {
            return None;
        }
        // Digests of two versions differ even if the content is the same.
        first_difference(&self.redemption, &given.redemption)
    }
}

impl From<Redemption> for RecordedTransaction {
    fn from(redemption: Redemption) -> Self {
        Self { digest: redemption.digest().into(), redemption: Arc::new(redemption) }
    }
}

/// Facts for deciding revocations and redemptions, besides the catalog. They cover what the commands of a batch name,
/// and each command sees the changes of those before it.
#[derive(Debug, Default)]
pub struct ChangeFacts {
    /// Earned promotions that the commands name.
    pub held: HashMap<InstanceKey, HeldPromotion>,
    /// Recorded transactions, by organization and identifier.
    pub transactions: HashMap<(OrgId, Arc<str>), RecordedTransaction>,
    /// Recorded customers among those that the commands name.
    pub customers: HashSet<(OrgId, CustomerId)>,
}

/// Reason why an earn id cannot be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevokeFailure {
    /// The earned promotion was redeemed.
    #[error("already redeemed")]
    Redeemed,
    /// Customers do not hold promotions of this type.
    #[error("the promotion is of type {}, which customers do not hold", .0.name())]
    NobodyHolds(PromotionType),
    /// The customer has no such earned promotion of the promotion.
    #[error("not an earn id of this customer and promotion")]
    NotHeld,
}

impl RevokeFailure {
    /// Returns the documented number.
    pub fn code(self) -> i32 {
        match self {
            Self::Redeemed => codes::ALREADY_REDEEMED,
            Self::NobodyHolds(_) => codes::NOBODY_HOLDS,
            Self::NotHeld => codes::REVOKED_OR_NOT_HELD,
        }
    }
}

/// Outcome for the earn ids of one promotion, as indices into the command's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedDetail {
    /// Indices of the earn ids that are revoked, by this call or an earlier one.
    pub revoked: Vec<usize>,
    /// Indices of the earn ids that are not revoked, by reason.
    pub failed: Vec<(RevokeFailure, Vec<usize>)>,
}

/// Reason why a transaction is not redeemed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedeemFailure {
    /// The transaction is recorded with other content.
    #[error("transaction {transaction_identifier:?} is recorded with other content: {field} differs")]
    OtherContent {
        /// Identifier of the transaction.
        transaction_identifier: Arc<str>,
        /// Path of the first field that differs.
        field: String,
    },
    /// The customer has no such earned promotion of the promotion.
    #[error("{0:?} is not an earned promotion of this customer and promotion")]
    NotHeld(String),
    /// The earned promotion was revoked.
    #[error("earned promotion {0} was revoked")]
    Revoked(ObjectId),
    /// The earned promotion was redeemed by another transaction.
    #[error("earned promotion {earn_id} was redeemed by another transaction, {by:?}")]
    Redeemed {
        /// Earn id of the earned promotion.
        earn_id: ObjectId,
        /// Transaction that redeemed it.
        by: Arc<str>,
    },
    /// The transaction is dated too long before the event for which the promotion was earned.
    #[error(
        "must not be more than 24 hours before {event_time}, the eventTime of earned promotion {earn_id}: it is \
         {transaction_date}"
    )]
    BeforeEvent {
        /// Earn id of the earned promotion.
        earn_id: ObjectId,
        /// Date of the transaction.
        transaction_date: Timestamp,
        /// Time of the event.
        event_time: Timestamp,
    },
    /// The earned promotion is no longer valid.
    #[error("earned promotion {earn_id} had expired at {judged_at}: it was valid until {valid_till}")]
    Expired {
        /// Earn id of the earned promotion.
        earn_id: ObjectId,
        /// Instant at which it had to be valid.
        judged_at: Timestamp,
        /// Last millisecond at which it was valid.
        valid_till: Timestamp,
    },
}

/// Decides which earn ids of `revoke` are revoked. Returns the outcome for each promotion, and the keys that are newly
/// revoked.
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
        debug_assert_eq!(
            detail.revoked.len() + detail.failed.iter().map(|(_, places)| places.len()).sum::<usize>(),
            earn_ids.len(),
            "each earn id is revoked or fails, and none does both"
        );
        detail
    });
    (details.collect(), newly)
}

/// Marks one earned promotion as revoked. Returns its key; `None` when it was revoked already.
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

/// Outcome of a transaction that is redeemed.
#[derive(Debug)]
pub struct Redeemed {
    /// Content as it is recorded.
    pub redemption: Arc<Redemption>,
    /// Earned promotions that are newly redeemed; empty when the transaction was recorded already.
    pub newly: Vec<InstanceKey>,
}

/// Decides whether every line of `redeem` can be redeemed. A transaction dated before `late_from` is judged as if it had occurred at `late_from`.
///
/// # Errors
/// Returns the first reason why the transaction is not redeemed.
pub fn redeem(redeem: &Redeem, facts: &mut ChangeFacts, late_from: Timestamp) -> Result<Redeemed, RedeemFailure> {
    let name = (redeem.org_id, Arc::clone(&redeem.transaction_identifier));
    if let Some(recorded) = facts.transactions.get(&name) {
        return match recorded.first_difference(&redeem.transaction) {
            None => Ok(Redeemed { redemption: Arc::clone(&recorded.redemption), newly: Vec::new() }),
            Some(field) => Err(RedeemFailure::OtherContent { transaction_identifier: name.1, field }),
        };
    }
    let redemption = &redeem.transaction.redemption;
    let judged_at = redemption.transaction_date.max(late_from);
    let mut newly = Vec::new();
    let mut seen = HashSet::new();
    for line in redemption.lines() {
        let key = redeemable(redeem, line, facts, judged_at)?;
        // An earned promotion may be in both lists.
        if seen.insert(key) {
            newly.push(key);
        }
    }
    for key in &newly {
        if let Some(held) = facts.held.get_mut(key) {
            debug_assert_eq!(held.status, RecordedStatus::Unlocked, "an earned promotion is redeemed once");
            held.status = RecordedStatus::Redeemed;
            held.redeemed_by = Some(Arc::clone(&name.1));
        }
    }
    facts.transactions.insert(name, redeem.transaction.clone());
    Ok(Redeemed { redemption: Arc::clone(redemption), newly })
}

/// Returns the key of the earned promotion of `line` if it can be redeemed by a transaction that is judged at
/// `judged_at`.
fn redeemable(
    redeem: &Redeem,
    line: &RedemptionLine,
    facts: &ChangeFacts,
    judged_at: Timestamp,
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
    let transaction_date = redemption.transaction_date;
    if transaction_date < held.event_time - MAX_BEFORE_EVENT {
        let event_time = held.event_time;
        return Err(RedeemFailure::BeforeEvent { earn_id, transaction_date, event_time });
    }
    if held.valid_till < judged_at {
        return Err(RedeemFailure::Expired { earn_id, judged_at, valid_till: held.valid_till });
    }
    Ok(key)
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
