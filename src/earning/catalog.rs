//! The organization and the promotions of a catalog, as far as the rules read them.

use chrono_tz::Tz;
use foldhash::HashMap;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{ObjectId, OrgId, Timestamp};

/// Organization with its settings.
#[derive(Debug, Clone)]
pub struct Org {
    /// Identifier of the organization.
    pub id: OrgId,
    /// Display name.
    pub name: String,
    /// Time zone in which the organization's days begin and end.
    pub time_zone: Tz,
    /// Number of promotions that may be active. Earning fails when more are.
    pub max_active_promotions: u32,
    /// True if any positive customer id is accepted, false if only recorded customers are.
    pub accept_unknown_customers: bool,
}

/// Type of a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum PromotionType {
    /// Applied at the point of sale; customers do not hold it.
    Pos,
    /// Applied with a code; customers do not hold it.
    Code,
    /// Held after being issued; it cannot be earned.
    Customer,
    /// Held after being earned.
    Earning,
    /// Held after being earned, as a reward.
    Reward,
}

impl PromotionType {
    /// Returns the documented name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Rule that sets the validity of an earned promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Valid to the promotion's end date.
    WithPromotion,
    /// Valid to the last millisecond of the Nth day after the day of the event, in the organization's time zone.
    DaysFromEarning(u32),
}

impl Expiry {
    /// Returns the rule as text for messages, by its documented name.
    pub fn text(self) -> String {
        match self {
            Self::WithPromotion => "WITH_PROMOTION".to_owned(),
            Self::DaysFromEarning(days) => format!("DAYS_FROM_EARNING with {days} days"),
        }
    }
}

/// Definition of a cart promotion.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// Identifier of the promotion within the organization.
    pub id: ObjectId,
    /// Name, unique among the organization's active promotions.
    pub name: String,
    /// Type of the promotion.
    pub kind: PromotionType,
    /// True if the promotion is switched on.
    pub active: bool,
    /// First millisecond of the promotion.
    pub start: Timestamp,
    /// Last millisecond of the promotion.
    pub end: Timestamp,
    /// Cap: number of instances that one customer can earn; `None` without a cap.
    pub cap: Option<u32>,
    /// Number of times that a cap was set after the promotion had been earned without one. The instances granted before
    /// the latest of these times were not counted when they were granted.
    pub cap_period: i64,
    /// Rule that sets the validity of an earned promotion.
    pub expiry: Expiry,
    /// True if only the customers of its audience can earn the promotion.
    pub limited_to_audience: bool,
    /// True once the promotion was earned.
    pub earned: bool,
}

impl Promotion {
    /// Returns the promotion with the history of `before`, which it replaces. The new one counts as earned if `before`
    /// does. A cap that is set after the promotion was earned without one begins another cap period.
    #[must_use]
    pub fn replacing(mut self, before: &Self) -> Self {
        let (cap, cap_before) = (self.cap, before.cap);
        let comes_late = cap.is_some() && cap_before.is_none() && before.earned;
        self.cap_period = before.cap_period + i64::from(comes_late);
        self.earned = before.earned;
        self
    }
}

/// Version of the catalog of one organization. Versions are compared for equality only: every change gives the catalog
/// a version that it never had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogVersion(pub i64);

/// Terms under which a promotion was earned and that changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerTerms {
    /// The promotion.
    pub promotion_id: ObjectId,
    /// Last millisecond at which the promotion ran.
    pub end: Timestamp,
    /// Time zone of the organization.
    pub time_zone: Tz,
}

/// Catalog: one organization and all its promotions at one version.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Version of the catalog.
    pub version: CatalogVersion,
    /// The organization.
    pub org: Org,
    /// Promotions of the organization.
    pub promotions: HashMap<ObjectId, Promotion>,
    /// Number of active promotions.
    pub active_promotions: u32,
}

impl Catalog {
    /// Returns the catalog of `org` with these promotions.
    pub fn new(version: CatalogVersion, org: Org, promotions: Vec<Promotion>) -> Self {
        let active_promotions = promotions.iter().map(|promotion| u32::from(promotion.active)).sum();
        let promotions = promotions.into_iter().map(|promotion| (promotion.id, promotion)).collect();
        Self { version, org, promotions, active_promotions }
    }

    /// Returns the terms under which promotions of this catalog were earned and that `after` changes.
    pub fn former_terms(&self, after: &Self) -> Vec<FormerTerms> {
        let terms = |catalog: &Self, promotion: &Promotion| FormerTerms {
            promotion_id: promotion.id,
            end: promotion.end,
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
