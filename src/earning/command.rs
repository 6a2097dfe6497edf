//! What a caller asks for: a bulk earning that already passed the checks of its form (`wire`).

use std::sync::Arc;

use super::{CustomerId, ObjectId, OrgId};

/// How a promotion was earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EarnedFromType {
    /// Granted by a bulk operation.
    BulkIssue,
    /// Triggered by a customer's activity.
    Activity,
    /// Triggered by reaching a milestone.
    Milestone,
    /// Granted as a reward.
    Reward,
}

impl EarnedFromType {
    /// Every one there is.
    pub const ALL: [Self; 4] = [Self::BulkIssue, Self::Activity, Self::Milestone, Self::Reward];

    /// The documented name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BulkIssue => "BULK_ISSUE",
            Self::Activity => "ACTIVITY",
            Self::Milestone => "MILESTONE",
            Self::Reward => "REWARD",
        }
    }

    /// The one of that documented name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Kind of a supplementary loyalty program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramType {
    /// A program of tiers.
    Tier,
    /// A program that is subscribed to.
    Subscription,
}

impl ProgramType {
    /// Every one there is.
    pub const ALL: [Self; 2] = [Self::Tier, Self::Subscription];

    /// The documented name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tier => "TIER",
            Self::Subscription => "SUBSCRIPTION",
        }
    }

    /// The one of that documented name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A supplementary loyalty program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupplementaryCriteria {
    /// The loyalty program, 1 or more.
    pub loyalty_program_id: i64,
    /// Its kind.
    pub program_type: ProgramType,
    /// The partner program, 1 or more.
    pub partner_program_id: i64,
}

/// What is stored of an earning and given back, and read by no rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Type of the event in the caller's words; `None`: the name of its [`EarnedFromType`].
    pub event_type: Option<Box<str>>,
    /// A JSON object about the event, as text.
    pub event_payload: Option<Box<str>>,
    /// The program it is earned in.
    pub supplementary_criteria: Option<SupplementaryCriteria>,
}

impl Details {
    /// For an earning: `None` where there is nothing to keep.
    pub fn shared(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }
}

/// Grants to one customer for one event.
#[derive(Debug, Clone)]
pub struct BulkEarn {
    /// Organization of the caller.
    pub org_id: OrgId,
    /// Who earns.
    pub customer_id: CustomerId,
    /// When the event occurred, milliseconds since 1970-01-01T00:00:00Z.
    pub event_time_ms: i64,
    /// How it is earned.
    pub earned_from_type: EarnedFromType,
    /// The caller's identifier of the event.
    pub event_id: Arc<str>,
    /// What else was told of it; `None`: nothing.
    pub details: Option<Arc<Details>>,
    /// Longest text of a payload that may be given back with each instance, where another than this one is recorded.
    pub max_recorded_payload_bytes: usize,
    /// What is earned.
    pub entries: Vec<Entry>,
}

impl BulkEarn {
    /// How many earned promotions it asks for.
    pub fn grants(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.earn_count)).sum()
    }
}

/// One entry of a bulk earning.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The promotion as the caller wrote it.
    pub promotion_id_given: String,
    /// The promotion, when what the caller wrote is an id at all.
    pub promotion_id: Option<ObjectId>,
    /// How many earned promotions this earning should have, 1 or more.
    pub earn_count: u32,
    /// Names the earning within the event.
    pub earned_from_id: Arc<str>,
}
