//! The bulk earning that a caller asks for, after `wire` has checked its form.

use std::sync::Arc;

use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{CustomerId, ObjectId, OrgId, Timestamp};

/// Type under which a promotion is earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
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
    /// Returns the documented name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Type of a supplementary loyalty program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ProgramType {
    /// Program of tiers.
    Tier,
    /// Program with a subscription.
    Subscription,
}

impl ProgramType {
    /// Returns the documented name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Supplementary loyalty program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupplementaryCriteria {
    /// Identifier of the loyalty program, 1 or more.
    pub loyalty_program_id: i64,
    /// Type of the program.
    pub program_type: ProgramType,
    /// Identifier of the partner program, 1 or more.
    pub partner_program_id: i64,
}

/// Details of an earning that are stored and returned, and that no rule reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Type of the event in the caller's words; `None` stands for the name of its [`EarnedFromType`].
    pub event_type: Option<Box<str>>,
    /// A JSON object about the event, as text.
    pub event_payload: Option<Box<str>>,
    /// Program in which the promotion is earned.
    pub supplementary_criteria: Option<SupplementaryCriteria>,
}

impl Details {
    /// Returns the details shared; `None` when they are empty.
    pub fn shared(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }
}

/// Bulk earning: earnings of one customer for one event.
#[derive(Debug, Clone)]
pub struct BulkEarn {
    /// Organization of the caller.
    pub org_id: OrgId,
    /// Customer who earns.
    pub customer_id: CustomerId,
    /// Time of the event.
    pub event_time: Timestamp,
    /// Type under which the promotions are earned.
    pub earned_from_type: EarnedFromType,
    /// The caller's identifier of the event.
    pub event_id: Arc<str>,
    /// Details of the event; `None` when the call gives none.
    pub details: Option<Arc<Details>>,
    /// Limits the text, in bytes, of a recorded payload other than that of this call which may be returned with each
    /// instance.
    pub max_recorded_payload_bytes: usize,
    /// Entries, one per earning.
    pub entries: Vec<Entry>,
}

impl BulkEarn {
    /// Returns the number of earned promotions that the command asks for.
    pub fn grants(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.earn_count)).sum()
    }
}

/// One entry of a bulk earning.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Promotion id as the caller wrote it.
    pub promotion_id_given: String,
    /// Promotion id; `None` when the caller's text is not an id.
    pub promotion_id: Option<ObjectId>,
    /// Number of instances that the earning should have, 1 or more.
    pub earn_count: u32,
    /// Identifier of the earning within the event.
    pub earned_from_id: Arc<str>,
}
