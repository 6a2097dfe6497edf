//! Failures of an entry: the closed list, with their documented numbers and texts.

use super::codes;
use super::draft::CAP;
use super::{EarnedFromType, ObjectId, PromotionType, Timestamp};

/// Reason why an entry was not granted, or not in full.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EarnFailure {
    /// The organization has no such promotion.
    #[error("promotion {given:?} not found")]
    PromotionNotFound {
        /// Identifier that the caller wrote.
        given: String,
    },
    /// Customers do not hold promotions of this type.
    #[error("promotion {promotion_id} is of type {}, which customers do not hold; use one of type EARNING or REWARD", kind.name())]
    TypeNotSupported {
        /// The promotion.
        promotion_id: ObjectId,
        /// Type of the promotion: POS or CODE.
        kind: PromotionType,
    },
    /// Promotions of this type are held by issuing.
    #[error("promotion {promotion_id} is of type {}, which is issued, not earned; use one of type EARNING or REWARD", kind.name())]
    TypeNotEarnable {
        /// The promotion.
        promotion_id: ObjectId,
        /// Type of the promotion: CUSTOMER.
        kind: PromotionType,
    },
    /// The earning is recorded with another `earnedFromType`.
    #[error("earnedFromType of this earning is {} and cannot change to {}", recorded.name(), given.name())]
    EarnedFromTypeChanged {
        /// Recorded type.
        recorded: EarnedFromType,
        /// Type in this call.
        given: EarnedFromType,
    },
    /// Some of what is recorded was taken back, and is not granted again.
    #[error("{}", revoked_text(*promotion_id, *revoked, rest.as_deref()))]
    Revoked {
        /// The promotion.
        promotion_id: ObjectId,
        /// Number of requested instances that are revoked.
        revoked: usize,
        /// Instances that fail for another reason, if any.
        rest: Option<Box<OtherFailures>>,
    },
    /// The organization has more active promotions than it may have.
    #[error("the organization has {active} active promotions, more than its maximum of {cap}; deactivate some")]
    TooManyActivePromotions {
        /// Number of active promotions.
        active: u32,
        /// Maximum number of active promotions.
        cap: u32,
    },
    /// Switched off.
    #[error("promotion {promotion_id} is not active")]
    Inactive {
        /// The promotion.
        promotion_id: ObjectId,
    },
    /// The event is before the promotion's start.
    #[error("promotion {promotion_id} had not started at eventTime {event_time}: it starts at {start}")]
    NotStarted {
        /// The promotion.
        promotion_id: ObjectId,
        /// Time of the event.
        event_time: Timestamp,
        /// First millisecond of the promotion.
        start: Timestamp,
    },
    /// The event is after the promotion's end.
    #[error("promotion {promotion_id} had expired at eventTime {event_time}: it ended at {end}")]
    Ended {
        /// The promotion.
        promotion_id: ObjectId,
        /// Time of the event.
        event_time: Timestamp,
        /// Last millisecond of the promotion.
        end: Timestamp,
    },
    /// The validity of the new instances has ended.
    #[error("promotion {promotion_id} earned at eventTime {event_time} would have expired at {valid_till}")]
    NoLongerValid {
        /// The promotion.
        promotion_id: ObjectId,
        /// Time of the event.
        event_time: Timestamp,
        /// Last millisecond at which the earned promotion would be valid.
        valid_till: Timestamp,
    },
    /// Limited to an audience that the customer is not in.
    #[error("promotion {promotion_id} is limited to an audience that customer {customer_id} is not in")]
    NotInAudience {
        /// The promotion.
        promotion_id: ObjectId,
        /// The customer.
        customer_id: i64,
    },
    /// The customer holds as many as one may.
    #[error("{}; {refused} not granted", cap_text(*promotion_id, [*cap, *used, *left]))]
    CapReached {
        /// The promotion.
        promotion_id: ObjectId,
        /// Cap of the promotion.
        cap: u32,
        /// Number of instances that the customer held before this entry.
        used: u32,
        /// Number of instances that the cap still allowed and that were granted.
        left: u32,
        /// Number of instances that were not granted.
        refused: u32,
    },
}

/// Instances of an entry that fail for another reason than the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherFailures {
    /// Number of these instances.
    pub count: u32,
    /// Reason why they were not granted.
    pub cause: EarnFailure,
}

fn revoked_text(promotion_id: ObjectId, revoked: usize, rest: Option<&OtherFailures>) -> String {
    let were = if revoked == 1 { "was revoked, and is" } else { "were revoked, and are" };
    let text = format!("{revoked} of this earning of promotion {promotion_id} {were} not granted again");
    match rest {
        None => text,
        // The number of these instances already stands in front.
        Some(OtherFailures { count, cause: EarnFailure::CapReached { promotion_id, cap, used, left, .. } }) => {
            format!("{text}; {count} not granted: {}", cap_text(*promotion_id, [*cap, *used, *left]))
        }
        Some(OtherFailures { count, cause }) => format!("{text}; {count} not granted: {cause}"),
    }
}

fn cap_text(promotion_id: ObjectId, [cap, used, left]: [u32; 3]) -> String {
    format!("{CAP} of promotion {promotion_id} reached: cap {cap}, used {used}, left {left}")
}

impl EarnFailure {
    /// Returns the documented number.
    pub fn code(&self) -> i32 {
        match self {
            Self::PromotionNotFound { .. } => codes::PROMOTION_NOT_FOUND,
            Self::TooManyActivePromotions { .. } => codes::TOO_MANY_ACTIVE_PROMOTIONS,
            Self::Ended { .. } | Self::NoLongerValid { .. } => codes::EXPIRED,
            Self::TypeNotSupported { .. } => codes::TYPE_NOT_SUPPORTED,
            Self::CapReached { .. } => codes::CAP_REACHED,
            Self::Inactive { .. } | Self::NotStarted { .. } => codes::NOT_RUNNING,
            Self::EarnedFromTypeChanged { .. } => codes::EARNED_FROM_TYPE_CHANGED,
            Self::TypeNotEarnable { .. } => codes::TYPE_NOT_EARNABLE,
            Self::NotInAudience { .. } => codes::NOT_IN_AUDIENCE,
            Self::Revoked { .. } => codes::REVOKED_OR_NOT_HELD,
        }
    }
}
