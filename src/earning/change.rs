//! What becomes of earned promotions: revoking and redeeming, decided from what the wallet holds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Catalogue, CustomerId, ObjectId, OrgId, PromotionType};

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

/// An identifier as a caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What was written.
    pub text: String,
    /// The id, when it is one at all.
    pub id: Option<ObjectId>,
}

impl From<String> for Given {
    fn from(text: String) -> Self {
        Self { id: ObjectId::parse(&text), text }
    }
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
    /// Who holds them.
    pub customer_id: CustomerId,
    /// Names the transaction within the organization.
    pub transaction_identifier: Arc<str>,
    /// All that the transaction is, in a form in which the same has the same text.
    pub content: Arc<str>,
    /// The promotions and earn ids.
    pub instances: Vec<(Given, Given)>,
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
            Self::Redeem(redeem) => (redeem.org_id, redeem.customer_id),
        }
    }

    /// Every earn id it names.
    pub fn earn_ids(&self) -> Box<dyn Iterator<Item = ObjectId> + '_> {
        match self {
            Self::Revoke(revoke) => {
                Box::new(revoke.details.iter().flat_map(|(_, ids)| ids).filter_map(|given| given.id))
            }
            Self::Redeem(redeem) => Box::new(redeem.instances.iter().filter_map(|(_, given)| given.id)),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Of which promotion it is.
    pub promotion_id: ObjectId,
    /// Last millisecond at which it is valid, since 1970-01-01T00:00:00Z.
    pub valid_till_ms: i64,
    /// What became of it.
    pub status: RecordedStatus,
}

/// A transaction that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedTransaction {
    /// Whose it is.
    pub customer_id: CustomerId,
    /// All that it is.
    pub content: Arc<str>,
}

/// Everything the rules need besides the catalogue: of what the commands of a batch name. What one command changes, the
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
    #[error("transaction {0:?} is recorded with other content")]
    OtherContent(Arc<str>),
    /// 731: no earned promotion of this customer and promotion.
    #[error("{0:?} is not an earned promotion of this customer and promotion")]
    NotHeld(String),
    /// 731: taken back.
    #[error("earned promotion {0} was revoked")]
    Revoked(ObjectId),
    /// 729: redeemed by another transaction.
    #[error("earned promotion {0} was redeemed by another transaction")]
    Redeemed(ObjectId),
    /// 706: no longer valid.
    #[error("earned promotion {earn_id} expired: it was valid until {valid_till_ms}")]
    Expired {
        /// The earn id.
        earn_id: ObjectId,
        /// Last millisecond at which it was valid, since 1970-01-01T00:00:00Z.
        valid_till_ms: i64,
    },
}

impl RedeemFailure {
    /// The documented number.
    pub fn code(&self) -> i32 {
        match self {
            Self::Expired { .. } => 706,
            Self::Redeemed(_) => 729,
            Self::NotHeld(_) | Self::Revoked(_) => 731,
            Self::OtherContent(_) => 800,
        }
    }
}

/// Decides what of `revoke` is taken back: what becomes of each promotion's earn ids, and what is newly revoked.
pub fn revoke(
    revoke: &Revoke,
    catalogue: &Catalogue,
    facts: &mut ChangeFacts,
) -> (Vec<RevokedDetail>, Vec<InstanceKey>) {
    let mut newly = Vec::new();
    let details = revoke.details.iter().map(|(promotion, earn_ids)| {
        let kind = promotion.id.and_then(|id| catalogue.promotions.get(&id)).map(|promotion| promotion.kind);
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

/// Decides whether all of `redeem` can be redeemed at `now_ms` (milliseconds since 1970-01-01T00:00:00Z), and what is
/// newly redeemed: nothing, when the transaction is recorded already.
///
/// # Errors
/// The first reason why not.
pub fn redeem(redeem: &Redeem, facts: &mut ChangeFacts, now_ms: i64) -> Result<Vec<InstanceKey>, RedeemFailure> {
    let name = (redeem.org_id, Arc::clone(&redeem.transaction_identifier));
    let transaction = RecordedTransaction { customer_id: redeem.customer_id, content: Arc::clone(&redeem.content) };
    match facts.transactions.get(&name) {
        Some(recorded) if *recorded == transaction => return Ok(Vec::new()),
        Some(_) => return Err(RedeemFailure::OtherContent(name.1)),
        None => {}
    }
    let mut newly = Vec::new();
    for (promotion, given) in &redeem.instances {
        let not_held = || RedeemFailure::NotHeld(given.text.chars().take(MAX_ECHOED_CHARACTERS).collect());
        let earn_id = given.id.ok_or_else(not_held)?;
        let key = InstanceKey { org_id: redeem.org_id, customer_id: redeem.customer_id, earn_id };
        let held = facts.held.get(&key).filter(|held| Some(held.promotion_id) == promotion.id).ok_or_else(not_held)?;
        match held.status {
            RecordedStatus::Revoked => return Err(RedeemFailure::Revoked(earn_id)),
            RecordedStatus::Redeemed => return Err(RedeemFailure::Redeemed(earn_id)),
            RecordedStatus::Unlocked if held.valid_till_ms < now_ms => {
                return Err(RedeemFailure::Expired { earn_id, valid_till_ms: held.valid_till_ms });
            }
            // It may be in both lists.
            RecordedStatus::Unlocked if newly.contains(&key) => {}
            RecordedStatus::Unlocked => newly.push(key),
        }
    }
    for key in &newly {
        if let Some(held) = facts.held.get_mut(key) {
            held.status = RecordedStatus::Redeemed;
        }
    }
    facts.transactions.insert(name, transaction);
    Ok(newly)
}

/// How much of an earn id that is none a text repeats.
const MAX_ECHOED_CHARACTERS: usize = 100;
