//! Facts about customers and their wallets that the rules need for the commands of a batch. Storage loads them, and the
//! rules add what is granted, so that later commands of the same batch see it.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::{BulkEarn, CustomerId, Details, EarnedFromType, Entry, ObjectId, OrgId, Timestamp};

/// Earning key: the identity of an earning. The database keeps it unique together with the ordinal of the instance. The
/// order of the fields makes the earnings of one event adjacent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EarningKey {
    /// Organization.
    pub org_id: OrgId,
    /// Customer who earned.
    pub customer_id: CustomerId,
    /// The caller's identifier of the event.
    pub event_id: Arc<str>,
    /// Promotion that was earned.
    pub promotion_id: ObjectId,
    /// The caller's identifier of the earning within the event.
    pub earned_from_id: Arc<str>,
}

impl EarningKey {
    /// Returns the key of the earning that `entry` of `command` names; `None` when the entry names no promotion id.
    pub fn of(command: &BulkEarn, entry: &Entry) -> Option<Self> {
        Some(Self {
            org_id: command.org_id,
            customer_id: command.customer_id,
            event_id: Arc::clone(&command.event_id),
            promotion_id: entry.promotion_id?,
            earned_from_id: Arc::clone(&entry.earned_from_id),
        })
    }

    /// Returns the organization, the customer and the event of the earning.
    pub fn event(&self) -> (OrgId, CustomerId, &str) {
        (self.org_id, self.customer_id, &self.event_id)
    }

    /// Returns the customer and promotion whose cap and audience apply to this earning.
    pub fn holder(&self) -> Holder {
        Holder { org_id: self.org_id, customer_id: self.customer_id, promotion_id: self.promotion_id }
    }
}

/// Customer and promotion: caps and audiences apply to such a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    /// Organization.
    pub org_id: OrgId,
    /// The customer.
    pub customer_id: CustomerId,
    /// The promotion.
    pub promotion_id: ObjectId,
}

/// Instance: one earned promotion of an earning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    /// Earn id of the instance.
    pub earn_id: ObjectId,
    /// Last millisecond at which the instance is valid.
    pub valid_till: Timestamp,
    /// True if the instance was revoked.
    pub revoked: bool,
}

/// Recorded earning.
#[derive(Debug, Clone)]
pub struct RecordedEarning {
    /// Type under which the promotion was earned.
    pub earned_from_type: EarnedFromType,
    /// Time of the event in the first call.
    pub event_time: Timestamp,
    /// Details in the first call.
    pub details: Option<Arc<Details>>,
    /// Instances of the earning, in the order of their ordinals.
    pub instances: Vec<Instance>,
}

/// New instances of one earning, to be saved.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Key of the earning.
    pub key: EarningKey,
    /// Type under which the promotion is earned.
    pub earned_from_type: EarnedFromType,
    /// Time of the event.
    pub event_time: Timestamp,
    /// Details of the earning.
    pub details: Option<Arc<Details>>,
    /// Cap of the promotion; `None` without a cap.
    pub cap: Option<u32>,
    /// Ordinal of the first new instance; 1 for a new earning.
    pub first_ordinal: u32,
    /// The new instances.
    pub instances: Vec<Instance>,
}

impl Grant {
    /// Returns the number of new instances.
    pub fn count(&self) -> u32 {
        u32::try_from(self.instances.len()).unwrap_or(u32::MAX)
    }
}

/// Facts for deciding bulk earnings, besides the catalog.
#[derive(Debug, Default)]
pub struct Facts {
    /// Recorded earnings among those that the commands name.
    pub earnings: HashMap<EarningKey, RecordedEarning>,
    /// True if the commands name every earning once. No later entry reads a new grant then, so grants are not added to
    /// `earnings`.
    pub each_named_once: bool,
    /// Number of unrevoked instances of each capped promotion that a customer holds. A missing entry stands for 0.
    pub used: HashMap<Holder, u32>,
    /// Audience memberships of the customers, for the limited promotions that the commands name.
    pub audiences: HashSet<Holder>,
    /// Recorded customers among those that the commands name.
    pub customers: HashSet<(OrgId, CustomerId)>,
}

impl Facts {
    /// Adds a grant to the facts, for the entries and commands that follow.
    pub fn record(&mut self, grant: &Grant) {
        if let Some(cap) = grant.cap {
            let used = self.used.entry(grant.key.holder()).or_default();
            *used += grant.count();
            debug_assert!(*used <= cap, "a decision never exceeds the cap: {used} of {cap}");
        }
        if self.each_named_once {
            return;
        }
        let earning = self.earnings.entry(grant.key.clone()).or_insert_with(|| RecordedEarning {
            earned_from_type: grant.earned_from_type,
            event_time: grant.event_time,
            details: grant.details.clone(),
            instances: Vec::new(),
        });
        debug_assert_eq!(
            earning.instances.len() + 1,
            grant.first_ordinal as usize,
            "the ordinals of an earning have no gap and none comes twice"
        );
        earning.instances.extend_from_slice(&grant.instances);
    }
}
