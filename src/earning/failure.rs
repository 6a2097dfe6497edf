//! Why an entry fails: the closed list of outcomes, with their documented numbers and texts.

use super::time::iso;
use super::{EarnedFromType, ObjectId, PromotionType};

/// Why an entry was not granted, or not in full.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EarnFailure {
    /// 404: the organization has no such promotion.
    #[error("promotion {given:?} not found")]
    PromotionNotFound {
        /// What the caller wrote.
        given: String,
    },
    /// 707: nobody holds promotions of this type.
    #[error("promotion {promotion_id} is of type {}, which nobody holds; use one of type EARNING or REWARD", kind.name())]
    TypeNotSupported {
        /// The promotion.
        promotion_id: ObjectId,
        /// POS or CODE.
        kind: PromotionType,
    },
    /// 714: promotions of this type are held by issuing.
    #[error("promotion {promotion_id} is of type {}, which is issued, not earned; use one of type EARNING or REWARD", kind.name())]
    TypeNotEarnable {
        /// The promotion.
        promotion_id: ObjectId,
        /// CUSTOMER.
        kind: PromotionType,
    },
    /// 713: the earning is recorded with another `earnedFromType`.
    #[error("earnedFromType of this earning is {} and cannot change to {}", recorded.name(), given.name())]
    EarnedFromTypeChanged {
        /// The recorded one.
        recorded: EarnedFromType,
        /// The one of this call.
        given: EarnedFromType,
    },
    /// 731: some of what is recorded was taken back, and is not granted again.
    #[error("{}", revoked_text(*promotion_id, *revoked, rest.as_deref()))]
    Revoked {
        /// The promotion.
        promotion_id: ObjectId,
        /// How many of those asked for.
        revoked: usize,
        /// Those that fail for another cause, when there are such.
        rest: Option<Box<Rest>>,
    },
    /// 705: the organization has more active promotions than it may have.
    #[error("the organization has {active} active promotions, more than its maximum of {cap}; deactivate some")]
    TooManyActivePromotions {
        /// How many are active.
        active: u32,
        /// How many may be.
        cap: u32,
    },
    /// 709: switched off.
    #[error("promotion {promotion_id} is not active")]
    Inactive {
        /// The promotion.
        promotion_id: ObjectId,
    },
    /// 709: the event is before the promotion's start.
    #[error(
        "promotion {promotion_id} had not started at eventTime {}: it starts at {}", iso(*event_time_ms), iso(*start_ms)
    )]
    NotStarted {
        /// The promotion.
        promotion_id: ObjectId,
        /// Of the earning, epoch milliseconds.
        event_time_ms: i64,
        /// Of the promotion, epoch milliseconds.
        start_ms: i64,
    },
    /// 706: the event is after the promotion's end.
    #[error("promotion {promotion_id} had expired at eventTime {}: it ended at {}", iso(*event_time_ms), iso(*end_ms))]
    Ended {
        /// The promotion.
        promotion_id: ObjectId,
        /// Of the earning, epoch milliseconds.
        event_time_ms: i64,
        /// Of the promotion, epoch milliseconds.
        end_ms: i64,
    },
    /// 706: what would be earned is no longer valid.
    #[error(
        "promotion {promotion_id} earned at eventTime {} would have expired at {}",
        iso(*event_time_ms),
        iso(*valid_till_ms)
    )]
    NoLongerValid {
        /// The promotion.
        promotion_id: ObjectId,
        /// Of the earning, epoch milliseconds.
        event_time_ms: i64,
        /// Of what would be earned, epoch milliseconds.
        valid_till_ms: i64,
    },
    /// 715: limited to an audience that the customer is not in.
    #[error("promotion {promotion_id} is limited to an audience that customer {customer_id} is not in")]
    NotInAudience {
        /// The promotion.
        promotion_id: ObjectId,
        /// The customer.
        customer_id: i64,
    },
    /// 708: the customer holds as many as one may.
    #[error("{}; {refused} not granted", cap_text(*promotion_id, [*cap, *used, *left]))]
    CapReached {
        /// The promotion.
        promotion_id: ObjectId,
        /// `maxEarningPerCustomer`.
        cap: u32,
        /// How many the customer held before this entry.
        used: u32,
        /// How many still fitted, and were granted.
        left: u32,
        /// How many were not.
        refused: u32,
    },
}

/// The instances of an entry that fail for another cause than the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// Number of these instances.
    pub count: u32,
    /// The cause that keeps them back.
    pub cause: EarnFailure,
}

fn revoked_text(promotion_id: ObjectId, revoked: usize, rest: Option<&Rest>) -> String {
    let were = if revoked == 1 { "was revoked, and is" } else { "were revoked, and are" };
    let text = format!("{revoked} of this earning of promotion {promotion_id} {were} not granted again");
    match rest {
        None => text,
        // The number of those stands in front already.
        Some(Rest { count, cause: EarnFailure::CapReached { promotion_id, cap, used, left, .. } }) => {
            format!("{text}; {count} not granted: {}", cap_text(*promotion_id, [*cap, *used, *left]))
        }
        Some(Rest { count, cause }) => format!("{text}; {count} not granted: {cause}"),
    }
}

fn cap_text(promotion_id: ObjectId, [cap, used, left]: [u32; 3]) -> String {
    format!("maxEarningPerCustomer of promotion {promotion_id} reached: cap {cap}, used {used}, left {left}")
}

impl EarnFailure {
    /// The documented number.
    pub fn code(&self) -> i32 {
        match self {
            Self::PromotionNotFound { .. } => 404,
            Self::TooManyActivePromotions { .. } => 705,
            Self::Ended { .. } | Self::NoLongerValid { .. } => 706,
            Self::TypeNotSupported { .. } => 707,
            Self::CapReached { .. } => 708,
            Self::Inactive { .. } | Self::NotStarted { .. } => 709,
            Self::EarnedFromTypeChanged { .. } => 713,
            Self::TypeNotEarnable { .. } => 714,
            Self::NotInAudience { .. } => 715,
            Self::Revoked { .. } => 731,
        }
    }
}
