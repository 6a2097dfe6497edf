//! The rows of earned promotions and terms that verification reads in pages, and the terms of an organization.

use std::collections::HashMap;
use std::str::FromStr;

use sea_orm::{ConnectionTrait, FromQueryResult, IdenStatic, QuerySelect, QueryTrait};

use super::pages::{Walk, Walked};
use super::snapshot::Snapshot;
use crate::earning::{Expiry, OrgId, SupplementaryCriteria, Timestamp};
use crate::storage::StorageError;
use crate::storage::entity::stored::StoredCriteria;
use crate::storage::entity::{OrgOwned, earned_promotion, former_term, org, promotion};
use crate::storage::org_owned::column;

/// Rows that are read at once. The longest, those with a payload, have about 10 KiB.
pub(super) const PAGE_ROWS: u64 = 1_000;

/// Terms under which a promotion was earned and that changed since.
#[derive(Debug, FromQueryResult)]
pub struct FormerTermRow {
    /// Organization.
    pub org_id: i64,
    /// The promotion.
    pub promotion_id: String,
    /// Last millisecond of the promotion at that time.
    pub end_ms: Timestamp,
    /// Name of the organization's time zone at that time.
    pub time_zone: String,
}

impl Walked for FormerTermRow {
    type Entity = former_term::Entity;

    fn walk() -> Walk<former_term::Entity> {
        use former_term::Column;
        let by = &[Column::OrgId, Column::PromotionId, Column::EndMs, Column::TimeZone];
        Walk { by, beside: &[], condition: None, rows: PAGE_ROWS }
    }
}

/// Columns that order the read by earn id. [`has_earn_id`] is the condition of their index on PostgreSQL.
const BY_EARN_ID: &[earned_promotion::Column] =
    &[earned_promotion::Column::OrgId, earned_promotion::Column::EarnId, earned_promotion::Column::CustomerId];

fn has_earn_id() -> String {
    format!("{} >= ''", column::<earned_promotion::Entity>(earned_promotion::Column::EarnId))
}

/// Stored earned promotion with its times.
#[derive(Debug, FromQueryResult)]
pub struct EarnedRow {
    /// Organization.
    pub org_id: i64,
    /// Earn id of the earned promotion.
    pub earn_id: String,
    /// Promotion that was earned.
    pub promotion_id: String,
    /// Time of the event.
    pub event_time_ms: Timestamp,
    /// Last millisecond at which the earned promotion is valid.
    pub valid_till_ms: Timestamp,
    /// Time of the grant.
    pub granted_at_ms: Timestamp,
}

impl Walked for EarnedRow {
    type Entity = earned_promotion::Entity;

    fn walk() -> Walk<earned_promotion::Entity> {
        use earned_promotion::Column;
        let beside = &[Column::PromotionId, Column::EventTimeMs, Column::ValidTillMs, Column::GrantedAtMs];
        Walk { by: BY_EARN_ID, beside, condition: Some(has_earn_id()), rows: PAGE_ROWS }
    }
}

/// Stored details of an earning that has some.
#[derive(Debug, FromQueryResult)]
pub struct VerifiedDetailsRow {
    /// Organization.
    pub org_id: i64,
    /// Earn id of the instance that has the details.
    pub earn_id: String,
    /// JSON object about the event, as text.
    pub event_payload: Option<String>,
    /// Stored text of the supplementary criteria.
    pub supplementary_criteria: Option<String>,
}

impl VerifiedDetailsRow {
    /// Parses the supplementary criteria. Returns `None` if they cannot be parsed.
    pub fn criteria(&self) -> Option<Option<SupplementaryCriteria>> {
        let read = self.supplementary_criteria.as_deref().map(StoredCriteria::from_str).transpose();
        read.ok().map(|criteria| criteria.map(|criteria| criteria.0))
    }
}

impl Walked for VerifiedDetailsRow {
    type Entity = earned_promotion::Entity;

    fn walk() -> Walk<earned_promotion::Entity> {
        use earned_promotion::Column;
        let beside = &[Column::EventPayload, Column::SupplementaryCriteria];
        let [payload, criteria] = beside.map(column::<earned_promotion::Entity>);
        let condition = format!("{} AND ({payload} IS NOT NULL OR {criteria} IS NOT NULL)", has_earn_id());
        Walk { by: BY_EARN_ID, beside, condition: Some(condition), rows: PAGE_ROWS }
    }
}

/// Present and former terms under which promotions of an organization were earned.
#[derive(Debug, Default)]
pub struct Terms {
    /// Name of the organization's time zone.
    pub time_zone: String,
    /// Promotions of the organization, by their ids.
    pub promotions: HashMap<String, PromotionTerms>,
}

/// Terms of a promotion.
#[derive(Debug)]
pub struct PromotionTerms {
    /// Last millisecond of the promotion.
    pub end: Timestamp,
    /// Rule that sets the validity of an earned promotion; `None` when it cannot be read.
    pub expiry: Option<Expiry>,
    /// Former ends, and names of time zones.
    pub former: Vec<FormerTermRow>,
}

#[derive(FromQueryResult)]
struct TermsRow {
    id: String,
    end_ms: Timestamp,
    expiry_days: Option<i64>,
}

impl Snapshot {
    /// Reads the terms of an organization. Returns `None` if there is no such organization. A row that cannot be read
    /// is skipped, as another check names it.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn terms(&self, org_id: OrgId) -> Result<Option<Terms>, StorageError> {
        let (backend, database) = (self.dialect.backend(), &self.transaction);
        let zone = org::Entity::of(org_id).find().select_only().column(org::Column::TimeZone);
        let Some(row) = database.query_one_raw(zone.build(backend)).await? else { return Ok(None) };
        let time_zone = row.try_get("", org::Column::TimeZone.as_str()).unwrap_or_default();
        let mut terms = Terms { time_zone, ..Terms::default() };
        let promotions = promotion::Entity::of(org_id).find().select_only();
        let promotions = promotions
            .columns([promotion::Column::Id, promotion::Column::EndMs])
            .column_as(promotion::Column::ExpiryDays, "expiry_days");
        for row in database.query_all_raw(promotions.build(backend)).await? {
            if let Ok(TermsRow { id, end_ms: end, expiry_days }) = FromQueryResult::from_query_result(&row, "") {
                let expiry = expiry_days.map(u32::try_from).transpose().ok().map(promotion::expiry);
                terms.promotions.insert(id, PromotionTerms { end, expiry, former: Vec::new() });
            }
        }
        for row in database.query_all_raw(former_term::Entity::of(org_id).find().build(backend)).await? {
            if let Ok(former) = FormerTermRow::from_query_result(&row, "")
                && let Some(promotion) = terms.promotions.get_mut(&former.promotion_id)
            {
                promotion.former.push(former);
            }
        }
        Ok(Some(terms))
    }
}
