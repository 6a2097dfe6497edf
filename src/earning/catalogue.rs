//! What the catalogue says of an organization and its promotions, as far as earning reads it.

use chrono_tz::Tz;
use foldhash::HashMap;

use super::{ObjectId, OrgId};

/// An organization.
#[derive(Debug, Clone)]
pub struct Org {
    /// Identifier.
    pub id: OrgId,
    /// Display name.
    pub name: String,
    /// Zone in which its days begin and end.
    pub time_zone: Tz,
    /// How many promotions may be active before earning answers 705.
    pub max_active_promotions: u32,
    /// True: any positive customer id is taken. False: only recorded customers are.
    pub accept_unknown_customers: bool,
}

/// Kind of a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromotionType {
    /// Applied at the point of sale; nobody holds it.
    Pos,
    /// Applied with a code; nobody holds it.
    Code,
    /// Held by issuing, not by earning.
    Customer,
    /// Held by earning.
    Earning,
    /// Held by earning, as a reward.
    Reward,
}

impl PromotionType {
    /// Every kind there is.
    pub const ALL: [Self; 5] = [Self::Pos, Self::Code, Self::Customer, Self::Earning, Self::Reward];

    /// The documented name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pos => "POS",
            Self::Code => "CODE",
            Self::Customer => "CUSTOMER",
            Self::Earning => "EARNING",
            Self::Reward => "REWARD",
        }
    }

    /// The kind of that documented name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Until when an earned promotion is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarnExpiry {
    /// To the promotion's end date.
    WithPromotion,
    /// To the last millisecond of the Nth day after the event's day, in the organization's zone.
    DaysFromEarning(u32),
}

impl EarnExpiry {
    /// Returns the rule in words, by its documented name.
    pub fn text(self) -> String {
        match self {
            Self::WithPromotion => "WITH_PROMOTION".to_owned(),
            Self::DaysFromEarning(days) => format!("DAYS_FROM_EARNING with {days} days"),
        }
    }
}

/// A cart promotion definition.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// Identifier within the organization.
    pub id: ObjectId,
    /// Name, unique among the organization's active ones.
    pub name: String,
    /// Kind.
    pub kind: PromotionType,
    /// Whether it runs.
    pub active: bool,
    /// First millisecond at which it runs, since 1970-01-01T00:00:00Z.
    pub start_ms: i64,
    /// Last millisecond at which it runs, since 1970-01-01T00:00:00Z.
    pub end_ms: i64,
    /// How many of it one customer can earn; `None`: no cap.
    pub max_earning_per_customer: Option<u32>,
    /// When it was given a cap that it had not from its beginning, milliseconds since 1970-01-01T00:00:00Z. What was
    /// granted before was not counted.
    pub capped_since_ms: Option<i64>,
    /// Until when an earned one is valid.
    pub earn_expiry: EarnExpiry,
    /// Whether only the customers of its audience can earn it.
    pub limited_to_audience: bool,
    /// When its type, end, cap or expiry last changed, or its organization's zone, milliseconds since
    /// 1970-01-01T00:00:00Z.
    /// What was granted before went by other rules.
    pub rules_changed_at_ms: Option<i64>,
    /// Whether something of it was earned, or may have been.
    pub earned: bool,
}

impl Promotion {
    /// It in the place of `before`, at `now_ms` (milliseconds since 1970-01-01T00:00:00Z): remembers since when its
    /// cap and its rules are what they are.
    #[must_use]
    pub fn replacing(mut self, before: &Self, now_ms: i64) -> Self {
        let (cap, cap_before) = (self.max_earning_per_customer, before.max_earning_per_customer);
        self.capped_since_ms =
            if cap.is_some() && cap_before.is_none() { Some(now_ms) } else { before.capped_since_ms };
        let rules = |of: &Self| (of.kind, of.end_ms, of.max_earning_per_customer, of.earn_expiry);
        let same = rules(&self) == rules(before);
        self.rules_changed_at_ms = if same { before.rules_changed_at_ms } else { Some(now_ms) };
        self.earned = before.earned;
        self
    }
}

/// One organization and all its promotions at one version.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// Grows with every change.
    pub version: i64,
    /// The organization.
    pub org: Org,
    /// Its promotions.
    pub promotions: HashMap<ObjectId, Promotion>,
    /// How many of them are active.
    pub active_promotions: u32,
}

impl Catalogue {
    /// The catalogue of `org` with these promotions.
    pub fn new(version: i64, org: Org, promotions: Vec<Promotion>) -> Self {
        let active_promotions = promotions.iter().map(|promotion| u32::from(promotion.active)).sum();
        let promotions = promotions.into_iter().map(|promotion| (promotion.id, promotion)).collect();
        Self { version, org, promotions, active_promotions }
    }

    /// Notes another zone, in which its days begin and end from `now_ms` on (milliseconds since 1970-01-01T00:00:00Z).
    /// True when it is another.
    pub fn move_to_zone(&mut self, time_zone: Tz, now_ms: i64) -> bool {
        let moves = self.org.time_zone != time_zone;
        if moves {
            self.org.time_zone = time_zone;
            self.promotions.values_mut().for_each(|promotion| promotion.rules_changed_at_ms = Some(now_ms));
        }
        moves
    }
}
