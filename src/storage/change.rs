//! A change of an organization's catalog, audiences or API clients, and the JSON form in which it is recorded.
//!
//! Names are those of the API where it has one. A missing name has its default, and an unknown name is ignored, so that
//! rows of other releases can be read.

use std::collections::BTreeSet;
use std::fmt;

use sea_orm::{DbErr, FromQueryResult, IdenStatic, QueryResult};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::entity::promotion;
use super::entity::stored::StoredPromotionType;
use crate::earning::history::ChangeAction;
use crate::earning::{CustomerId, Expiry, ObjectId, Org, Promotion};

/// Limits the customers on one side of a record, so that a page of records stays small: about 20 kB of text.
pub const MAX_CUSTOMERS: usize = 1_000;

/// Number of bits of the random part of a catalog version, below its counter.
pub(super) const RANDOM_BITS: u32 = 31;

/// Returns the counter of a catalog version: the number of changes that raised it.
pub fn version_count(version: i64) -> i64 {
    version >> RANDOM_BITS
}

/// Recorded settings of an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OrgContent {
    /// Display name.
    pub name: String,
    /// Time zone by its IANA name.
    pub time_zone: String,
    /// Number of promotions that may be active.
    pub max_active_promotions: i64,
    /// True if any positive customer id is accepted.
    pub accept_unknown_customers: bool,
}

/// Recorded content of a promotion, read from a change or from the row of the promotion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, FromQueryResult)]
#[serde(default, rename_all = "camelCase")]
pub struct PromotionContent {
    /// Name of the promotion.
    pub name: String,
    /// Type of the promotion.
    pub r#type: String,
    /// True if the promotion is switched on.
    pub active: bool,
    /// First millisecond of the promotion, since 1970-01-01T00:00:00Z.
    #[sea_orm(from_alias = "start_ms")]
    pub start_date: i64,
    /// Last millisecond of the promotion, since 1970-01-01T00:00:00Z.
    #[sea_orm(from_alias = "end_ms")]
    pub end_date: i64,
    /// Cap; absent without a cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_earning_per_customer: Option<i64>,
    /// Cap period.
    pub cap_period: i64,
    /// Rule that sets the validity of an earned promotion.
    #[sea_orm(nested)]
    pub earn_expiry: ExpiryContent,
    /// True if only the customers of the audience can earn the promotion.
    pub earn_limited_to_specific_audience: bool,
    /// True once the promotion was earned.
    pub earned: bool,
}

/// Recorded rule for the end of validity of earned promotions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExpiryContent {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<i64>,
}

impl ExpiryContent {
    /// Returns the rule with N of "until the Nth day after the event's day"; without it earned promotions are valid
    /// until the promotion's end.
    pub fn of(days: Option<i64>) -> Self {
        let kind = if days.is_some() { "DAYS_FROM_EARNING" } else { "WITH_PROMOTION" };
        Self { r#type: kind.to_owned(), days }
    }
}

impl FromQueryResult for ExpiryContent {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        row.try_get(prefix, promotion::Column::ExpiryDays.as_str()).map(Self::of)
    }
}

/// Recorded settings of an API client, without its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientContent {
    /// Username.
    pub username: String,
    /// Access groups, separated by spaces.
    pub access: String,
    /// True if the client's credentials are refused.
    pub disabled: bool,
    /// Limit of requests per minute; absent for the default, 0 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i64>,
    /// True if the change replaced the secret.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub new_secret: bool,
}

/// One side of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// Settings of the organization.
    Org(OrgContent),
    /// A promotion.
    Promotion(PromotionContent),
    /// Customers: before the change, those that it removed from an audience; after it, those that it added.
    Audience(Vec<i64>),
    /// An API client.
    Client(ClientContent),
}

impl Content {
    /// Returns the fields by their names in the API, each with its value as JSON. An audience has none.
    pub fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }

    /// Returns true for a promotion or its audience.
    pub fn is_of_promotion(&self) -> bool {
        matches!(self, Self::Promotion(_) | Self::Audience(_))
    }

    /// Parses one side of a change of this kind.
    ///
    /// # Errors
    /// Returns why the text cannot be parsed.
    pub fn read(action: ChangeAction, text: &str) -> Result<Self, serde_json::Error> {
        use ChangeAction as Action;
        match action {
            Action::OrganizationCreated | Action::OrganizationChanged => serde_json::from_str(text).map(Self::Org),
            Action::PromotionCreated
            | Action::PromotionChanged
            | Action::PromotionActivated
            | Action::PromotionDeactivated
            | Action::PromotionEarned => serde_json::from_str(text).map(Self::Promotion),
            Action::AudienceChanged => serde_json::from_str(text).map(Self::Audience),
            Action::ClientCreated | Action::ClientChanged | Action::ClientRemoved => {
                serde_json::from_str(text).map(Self::Client)
            }
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Change of one organization, promotion, audience or API client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Kind of the change, which follows from the two sides.
    pub action: ChangeAction,
    /// The promotion, for a change of a promotion or its audience.
    pub promotion_id: Option<ObjectId>,
    /// Content before the change.
    pub before: Option<Content>,
    /// Content after the change.
    pub after: Option<Content>,
}

impl Change {
    /// Returns the change between two contents; `None` if they do not differ, or are not of one kind.
    pub fn of(promotion_id: Option<ObjectId>, before: Option<Content>, after: Option<Content>) -> Option<Self> {
        let action = Self::action(before.as_ref(), after.as_ref())?;
        Some(Self { action, promotion_id, before, after })
    }

    /// Returns the kind of the change between two contents; `None` if they do not differ, or are not of one kind.
    pub fn action(before: Option<&Content>, after: Option<&Content>) -> Option<ChangeAction> {
        match (before, after) {
            (before, after) if before == after => None,
            (None, Some(Content::Org(_))) => Some(ChangeAction::OrganizationCreated),
            (Some(Content::Org(_)), Some(Content::Org(_))) => Some(ChangeAction::OrganizationChanged),
            (None, Some(Content::Promotion(_))) => Some(ChangeAction::PromotionCreated),
            (Some(Content::Promotion(before)), Some(Content::Promotion(after))) => Some(action_on(before, after)),
            (None | Some(Content::Audience(_)), Some(Content::Audience(_))) | (Some(Content::Audience(_)), None) => {
                Some(ChangeAction::AudienceChanged)
            }
            (None, Some(Content::Client(_))) => Some(ChangeAction::ClientCreated),
            (Some(Content::Client(_)), None) => Some(ChangeAction::ClientRemoved),
            (Some(Content::Client(before)), Some(Content::Client(after))) if before.username == after.username => {
                Some(ChangeAction::ClientChanged)
            }
            _ => None,
        }
    }

    /// Returns the change of an organization's settings, if they differ.
    pub fn of_org(before: Option<&Org>, after: &Org) -> Option<Self> {
        Self::of(None, before.map(|org| Content::Org(org.into())), Some(Content::Org(after.into())))
    }

    /// Returns the change of a promotion, if it differs.
    pub fn of_promotion(before: Option<&Promotion>, after: &Promotion) -> Option<Self> {
        let before = before.map(|promotion| Content::Promotion(promotion.into()));
        Self::of(Some(after.id), before, Some(Content::Promotion(after.into())))
    }

    /// Returns the changes of an audience, each with at most [`MAX_CUSTOMERS`] on either side.
    pub fn of_audience(
        promotion_id: ObjectId,
        added: &BTreeSet<CustomerId>,
        removed: &BTreeSet<CustomerId>,
    ) -> Vec<Self> {
        let ids = |customers: &BTreeSet<CustomerId>| customers.iter().map(|id| id.0).collect::<Vec<_>>();
        let (added, removed) = (ids(added), ids(removed));
        let (mut added, mut removed) = (added.chunks(MAX_CUSTOMERS), removed.chunks(MAX_CUSTOMERS));
        let part = |ids: Option<&[i64]>| ids.map(|ids| Content::Audience(ids.to_vec()));
        std::iter::from_fn(|| Self::of(Some(promotion_id), part(removed.next()), part(added.next()))).collect()
    }

    /// Returns the change of an API client, if it differs; a new secret counts as a difference.
    pub fn of_client(before: Option<ClientContent>, after: Option<ClientContent>) -> Option<Self> {
        Self::of(None, before.map(Content::Client), after.map(Content::Client))
    }
}

/// Returns the kind of the change between two contents that differ.
fn action_on(before: &PromotionContent, after: &PromotionContent) -> ChangeAction {
    let switched = PromotionContent { active: after.active, ..before.clone() };
    let earned = PromotionContent { earned: true, ..before.clone() };
    match after {
        after if *after == earned => ChangeAction::PromotionEarned,
        after if *after != switched => ChangeAction::PromotionChanged,
        PromotionContent { active: true, .. } => ChangeAction::PromotionActivated,
        _ => ChangeAction::PromotionDeactivated,
    }
}

impl From<&Org> for OrgContent {
    fn from(org: &Org) -> Self {
        Self {
            name: org.name.clone(),
            time_zone: org.time_zone.name().to_owned(),
            max_active_promotions: org.max_active_promotions.into(),
            accept_unknown_customers: org.accept_unknown_customers,
        }
    }
}

impl From<&Promotion> for PromotionContent {
    fn from(promotion: &Promotion) -> Self {
        Self {
            name: promotion.name.clone(),
            r#type: StoredPromotionType::text(promotion.kind).to_owned(),
            active: promotion.active,
            start_date: promotion.start.millis(),
            end_date: promotion.end.millis(),
            max_earning_per_customer: promotion.cap.map(Into::into),
            cap_period: promotion.cap_period,
            earn_expiry: ExpiryContent::of(match promotion.expiry {
                Expiry::WithPromotion => None,
                Expiry::DaysFromEarning(days) => Some(days.into()),
            }),
            earn_limited_to_specific_audience: promotion.limited_to_audience,
            earned: promotion.earned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promotion(active: bool, earned: bool, name: &str) -> Content {
        Content::Promotion(PromotionContent { active, earned, name: name.to_owned(), ..PromotionContent::default() })
    }

    fn client(username: &str, new_secret: bool) -> Content {
        Content::Client(ClientContent { username: username.to_owned(), new_secret, ..ClientContent::default() })
    }

    #[test]
    fn the_kind_of_a_change_follows_from_its_two_sides() {
        use ChangeAction as Action;
        let org = |name: &str| Content::Org(OrgContent { name: name.to_owned(), ..OrgContent::default() });
        let members = || Some(Content::Audience(vec![7]));
        for (before, after, action) in [
            (None, Some(org("a")), Some(Action::OrganizationCreated)),
            (Some(org("a")), Some(org("b")), Some(Action::OrganizationChanged)),
            (Some(org("a")), Some(org("a")), None),
            (Some(org("a")), None, None),
            (None, Some(promotion(true, false, "a")), Some(Action::PromotionCreated)),
            (Some(promotion(true, false, "a")), Some(promotion(false, false, "a")), Some(Action::PromotionDeactivated)),
            (Some(promotion(false, false, "a")), Some(promotion(true, false, "a")), Some(Action::PromotionActivated)),
            (Some(promotion(false, false, "a")), Some(promotion(true, false, "b")), Some(Action::PromotionChanged)),
            (Some(promotion(true, false, "a")), Some(promotion(true, true, "a")), Some(Action::PromotionEarned)),
            (Some(promotion(true, true, "a")), Some(promotion(true, false, "a")), Some(Action::PromotionChanged)),
            (None, members(), Some(Action::AudienceChanged)),
            (members(), None, Some(Action::AudienceChanged)),
            (None, Some(client("a", false)), Some(Action::ClientCreated)),
            (Some(client("a", false)), Some(client("a", true)), Some(Action::ClientChanged)),
            (Some(client("a", false)), Some(client("b", false)), None),
            (Some(client("a", false)), None, Some(Action::ClientRemoved)),
            (Some(org("a")), Some(promotion(true, true, "a")), None),
            (None, None, None),
        ] {
            assert_eq!(Change::action(before.as_ref(), after.as_ref()), action, "{before:?} {after:?}");
        }
    }

    #[test]
    fn each_side_is_read_as_it_was_written() {
        let change = Change::of(None, Some(client("a", false)), Some(client("a", true))).unwrap();
        for side in [change.before, change.after].into_iter().flatten() {
            assert_eq!(Content::read(change.action, &side.to_string()).unwrap(), side);
        }
        let text = r#"{"name":"a","of a later release":1}"#;
        let later = Content::read(ChangeAction::OrganizationCreated, text).unwrap();
        assert_eq!(later, Content::Org(OrgContent { name: "a".to_owned(), ..OrgContent::default() }));
    }

    #[test]
    fn an_audience_is_recorded_in_parts_of_bounded_size() {
        let ids = |count: usize| (1..=i64::try_from(count).unwrap()).map(CustomerId).collect::<BTreeSet<_>>();
        for (added, removed, parts) in [(0, 0, 0), (MAX_CUSTOMERS, 1, 1), (MAX_CUSTOMERS + 1, 1, 2), (0, 2_001, 3)] {
            let changes = Change::of_audience(ObjectId([1; 12]), &ids(added), &ids(removed));
            assert_eq!(changes.len(), parts, "{added} {removed}");
        }
    }
}
