//! What the catalog says of an organization and its promotions, as far as earning reads it.

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
    /// Number of times that a cap was set after something had been earned without one. What was granted before the last of
    /// them was not counted.
    pub cap_period: i64,
    /// Until when an earned one is valid.
    pub earn_expiry: EarnExpiry,
    /// Whether only the customers of its audience can earn it.
    pub limited_to_audience: bool,
    /// True once something of it was earned.
    pub earned: bool,
}

impl Promotion {
    /// Puts the promotion in the place of `before`: it was earned if that was, and a cap that comes after something was
    /// earned without one begins another period of counts.
    #[must_use]
    pub fn replacing(mut self, before: &Self) -> Self {
        let (cap, cap_before) = (self.max_earning_per_customer, before.max_earning_per_customer);
        let comes_late = cap.is_some() && cap_before.is_none() && before.earned;
        self.cap_period = before.cap_period + i64::from(comes_late);
        self.earned = before.earned;
        self
    }
}

/// Identifies the state of an organization and its promotions. Compared for equality only: every change gives the catalog a
/// version that it never had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogVersion(pub i64);

/// Terms by which a promotion was earned, and which changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerTerms {
    /// The promotion.
    pub promotion_id: ObjectId,
    /// Its last millisecond, since 1970-01-01T00:00:00Z.
    pub end_ms: i64,
    /// Zone of its organization.
    pub time_zone: Tz,
}

/// One organization and all its promotions at one version.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Its version.
    pub version: CatalogVersion,
    /// The organization.
    pub org: Org,
    /// Its promotions.
    pub promotions: HashMap<ObjectId, Promotion>,
    /// How many of them are active.
    pub active_promotions: u32,
}

impl Catalog {
    /// The catalog of `org` with these promotions.
    pub fn new(version: CatalogVersion, org: Org, promotions: Vec<Promotion>) -> Self {
        let active_promotions = promotions.iter().map(|promotion| u32::from(promotion.active)).sum();
        let promotions = promotions.into_iter().map(|promotion| (promotion.id, promotion)).collect();
        Self { version, org, promotions, active_promotions }
    }

    /// Returns the terms by which promotions of this catalog were earned, and that `after` changes.
    pub fn former_terms(&self, after: &Self) -> Vec<FormerTerms> {
        let terms = |catalog: &Self, promotion: &Promotion| FormerTerms {
            promotion_id: promotion.id,
            end_ms: promotion.end_ms,
            time_zone: catalog.org.time_zone,
        };
        let earned = self.promotions.values().filter(|promotion| promotion.earned);
        let changed = earned.filter_map(|promotion| {
            let (before, after) =
                (terms(self, promotion), after.promotions.get(&promotion.id).map(|now| terms(after, now)));
            (after != Some(before)).then_some(before)
        });
        changed.collect()
    }
}
