//! The rows of catalogs, audiences, API clients and recorded changes that verification reads in pages.

use sea_orm::FromQueryResult;

use super::pages::{Walk, Walked};
use super::rows::PAGE_ROWS;
use crate::storage::SecretHash;
use crate::storage::change::{ClientContent, OrgContent, PromotionContent};
use crate::storage::entity::{api_client, audience, catalog_change, org, promotion};

/// Changes that are read at once. The longest, those of large audiences, have about 40 kB.
const CHANGE_ROWS: u64 = 100;

/// Stored organization.
#[derive(Debug, FromQueryResult)]
pub struct OrgRow {
    /// Identifier of the organization.
    pub id: i64,
    /// Display name.
    pub name: String,
    /// Name of the time zone.
    pub time_zone: String,
    max_active_promotions: i64,
    accept_unknown_customers: bool,
    /// Version of the catalog.
    pub catalog_version: i64,
}

impl OrgRow {
    /// Returns the content that changes of the organization record.
    pub fn content(&self) -> OrgContent {
        OrgContent {
            name: self.name.clone(),
            time_zone: self.time_zone.clone(),
            max_active_promotions: self.max_active_promotions,
            accept_unknown_customers: self.accept_unknown_customers,
        }
    }
}

impl Walked for OrgRow {
    type Entity = org::Entity;

    fn walk() -> Walk<org::Entity> {
        use org::Column;
        let beside = &[
            Column::Name,
            Column::TimeZone,
            Column::MaxActivePromotions,
            Column::AcceptUnknownCustomers,
            Column::CatalogVersion,
        ];
        Walk { by: &[Column::Id], beside, condition: None, rows: PAGE_ROWS }
    }
}

/// Stored promotion.
#[derive(Debug, FromQueryResult)]
pub struct PromotionRow {
    /// Organization.
    pub org_id: i64,
    /// Identifier of the promotion within the organization.
    pub id: String,
    /// Content, as changes of the promotion record it.
    #[sea_orm(nested)]
    pub content: PromotionContent,
}

impl Walked for PromotionRow {
    type Entity = promotion::Entity;

    fn walk() -> Walk<promotion::Entity> {
        use promotion::Column;
        let beside = &[
            Column::Name,
            Column::Kind,
            Column::Active,
            Column::StartMs,
            Column::EndMs,
            Column::Cap,
            Column::CapPeriod,
            Column::ExpiryDays,
            Column::LimitedToAudience,
            Column::Earned,
        ];
        Walk { by: &[Column::OrgId, Column::Id], beside, condition: None, rows: PAGE_ROWS }
    }
}

/// Stored member of an audience.
#[derive(Debug, FromQueryResult)]
pub struct AudienceRow {
    /// Organization.
    pub org_id: i64,
    /// Customer.
    pub customer_id: i64,
    /// The promotion.
    pub promotion_id: String,
}

impl Walked for AudienceRow {
    type Entity = audience::Entity;

    fn walk() -> Walk<audience::Entity> {
        use audience::Column;
        let by = &[Column::OrgId, Column::CustomerId, Column::PromotionId];
        Walk { by, beside: &[], condition: None, rows: PAGE_ROWS }
    }
}

/// Recorded change of a catalog, an audience or an API client.
#[derive(Debug, FromQueryResult)]
pub struct ChangeRow {
    /// Organization.
    pub org_id: i64,
    /// Version of the catalog after the change.
    pub version: i64,
    /// Number of the change among those of this version.
    pub part: i64,
    /// Kind of the change.
    pub action: String,
    /// The promotion, for a change of a promotion or its audience.
    pub promotion_id: Option<String>,
    /// Content before the change, as JSON.
    pub before: Option<String>,
    /// Content after the change, as JSON.
    pub after: Option<String>,
}

impl Walked for ChangeRow {
    type Entity = catalog_change::Entity;

    fn walk() -> Walk<catalog_change::Entity> {
        use catalog_change::Column;
        let by = &[Column::OrgId, Column::Version, Column::Part];
        let beside = &[Column::Action, Column::PromotionId, Column::Before, Column::After];
        Walk { by, beside, condition: None, rows: CHANGE_ROWS }
    }
}

/// Stored API client.
#[derive(Debug, FromQueryResult)]
pub struct ApiClientRow {
    /// Username of the client.
    pub username: String,
    /// Stored hash of the secret.
    pub secret_hash: SecretHash,
    /// Access groups, separated by spaces.
    pub access: String,
    /// Organization.
    pub org_id: i64,
    disabled: bool,
    requests_per_minute: Option<i64>,
}

impl ApiClientRow {
    /// Returns the content that changes of the client record.
    pub fn content(&self) -> ClientContent {
        ClientContent {
            username: self.username.clone(),
            access: self.access.clone(),
            disabled: self.disabled,
            requests_per_minute: self.requests_per_minute,
            new_secret: false,
        }
    }
}

impl Walked for ApiClientRow {
    type Entity = api_client::Entity;

    fn walk() -> Walk<api_client::Entity> {
        use api_client::Column;
        let beside = &[Column::SecretHash, Column::Access, Column::OrgId, Column::Disabled, Column::RequestsPerMinute];
        Walk { by: &[Column::Username], beside, condition: None, rows: PAGE_ROWS }
    }
}
