//! What the wallet and the customer base say about the commands at hand: loaded by storage, read by the rules, and
//! kept up to date while the commands of one batch are decided one after the other.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::{BulkEarn, CustomerId, Details, EarnedFromType, Entry, ObjectId, OrgId};

/// The name of an earning. The database holds it unique, with the ordinal of the instance; in this order, so that what
/// one event earned is found in one place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EarningKey {
    /// Organization.
    pub org_id: OrgId,
    /// Who earned.
    pub customer_id: CustomerId,
    /// The caller's identifier of the event.
    pub event_id: Arc<str>,
    /// What was earned.
    pub promotion_id: ObjectId,
    /// The caller's identifier of the earning within the event.
    pub earned_from_id: Arc<str>,
}

impl EarningKey {
    /// The earning that `entry` of `command` names, when it names a promotion id at all.
    pub fn of(command: &BulkEarn, entry: &Entry) -> Option<Self> {
        Some(Self {
            org_id: command.org_id,
            customer_id: command.customer_id,
            event_id: Arc::clone(&command.event_id),
            promotion_id: entry.promotion_id?,
            earned_from_id: Arc::clone(&entry.earned_from_id),
        })
    }

    /// The event that earned, of its customer.
    pub fn event(&self) -> (OrgId, CustomerId, &str) {
        (self.org_id, self.customer_id, &self.event_id)
    }

    /// The customer and promotion whose cap and audience this earning is about.
    pub fn holder(&self) -> Holder {
        Holder { org_id: self.org_id, customer_id: self.customer_id, promotion_id: self.promotion_id }
    }
}

/// A customer and a promotion they hold or want: what caps and audiences are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    /// Organization.
    pub org_id: OrgId,
    /// The customer.
    pub customer_id: CustomerId,
    /// The promotion.
    pub promotion_id: ObjectId,
}

/// One earned promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    /// The earn id.
    pub earn_id: ObjectId,
    /// Last millisecond at which it is valid, since 1970-01-01T00:00:00Z.
    pub valid_till_ms: i64,
    /// Whether it was taken back.
    pub revoked: bool,
}

/// What is recorded of one earning.
#[derive(Debug, Clone)]
pub struct RecordedEarning {
    /// How it was earned.
    pub earned_from_type: EarnedFromType,
    /// When its event occurred, by the first call; milliseconds since 1970-01-01T00:00:00Z.
    pub event_time_ms: i64,
    /// Those of the first call.
    pub details: Option<Arc<Details>>,
    /// Its earned promotions, in the order of their ordinals.
    pub instances: Vec<Instance>,
}

/// New instances of one earning, to be saved.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The earning.
    pub key: EarningKey,
    /// How it is earned.
    pub earned_from_type: EarnedFromType,
    /// When its event occurred, milliseconds since 1970-01-01T00:00:00Z.
    pub event_time_ms: i64,
    /// Those of the earning.
    pub details: Option<Arc<Details>>,
    /// How many of its promotion each customer may hold, if that is limited.
    pub cap: Option<u32>,
    /// Ordinal of the first new instance: 1 for a new earning.
    pub first_ordinal: u32,
    /// The new instances.
    pub instances: Vec<Instance>,
}

impl Grant {
    /// How many new instances there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.instances.len()).unwrap_or(u32::MAX)
    }
}

/// Everything the rules need besides the catalog.
#[derive(Debug, Default)]
pub struct Facts {
    /// The recorded earnings among those that the commands name.
    pub earnings: HashMap<EarningKey, RecordedEarning>,
    /// Whether the commands name every earning once: then nobody looks for what was just granted of one.
    pub each_named_once: bool,
    /// How many a customer holds of each capped promotion, those that were taken back not counted; absent: none.
    pub used: HashMap<Holder, u32>,
    /// The audiences that the customers are in, among the limited promotions that the commands name.
    pub audiences: HashSet<Holder>,
    /// The recorded ones among the customers that the commands name.
    pub customers: HashSet<(OrgId, CustomerId)>,
}

impl Facts {
    /// Takes what was just granted into account for the entries and commands that follow.
    pub fn record(&mut self, grant: &Grant) {
        if grant.cap.is_some() {
            *self.used.entry(grant.key.holder()).or_default() += grant.count();
        }
        if self.each_named_once {
            return;
        }
        self.earnings
            .entry(grant.key.clone())
            .or_insert_with(|| RecordedEarning {
                earned_from_type: grant.earned_from_type,
                event_time_ms: grant.event_time_ms,
                details: grant.details.clone(),
                instances: Vec::new(),
            })
            .instances
            .extend_from_slice(&grant.instances);
    }
}
