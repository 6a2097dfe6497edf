//! Changes of earned promotions: the commands to revoke and to redeem them, and the facts that the rules need.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::object_id::GivenId;
use super::redemption::{Redemption, first_difference};
use super::{CustomerId, ObjectId, OrgId, Timestamp};

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
    pub(super) fn first_difference(&self, given: &Self) -> Option<String> {
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
