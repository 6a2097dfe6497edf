//! Upserts of the catalogue.

use std::collections::BTreeSet;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::clients::ApiClient;
use super::entity::{api_client, audience, org, promotion};
use super::facts::of_customers;
use super::statement::Rows;
use super::{StorageError, Transaction, statement};
use crate::earning::{CustomerId, EarnExpiry, ObjectId, Org, OrgId, Promotion};

const BUMP_CATALOGUE_VERSIONS: &str =
    "UPDATE orgs SET catalogue_version = catalogue_version + 1 WHERE id IN (SELECT org_id FROM wanted)";

const DEACTIVATE: &str = "
    UPDATE promotions SET active = false WHERE (org_id, id) IN (SELECT org_id, promotion_id FROM wanted)";

const CLEAR_AUDIENCES: &str = "
    DELETE FROM audiences WHERE (org_id, promotion_id) IN (SELECT org_id, promotion_id FROM wanted)";

const INSERT_AUDIENCES: &str = "
    INSERT INTO audiences (org_id, promotion_id, customer_id)
    SELECT org_id, promotion_id, customer_id FROM wanted WHERE true
    ON CONFLICT DO NOTHING RETURNING 1";

const INSERT_CUSTOMERS: &str = "
    INSERT INTO customers (org_id, customer_id)
    SELECT org_id, customer_id FROM wanted WHERE true
    ON CONFLICT DO NOTHING RETURNING 1";

/// Rows that one statement of an import takes, so that a large file does not become one large parameter.
const ROWS_PER_STATEMENT: usize = 10_000;

impl Transaction {
    /// Every recorded organization.
    ///
    /// # Errors
    /// Of the database.
    pub async fn org_ids(&self) -> Result<BTreeSet<OrgId>, StorageError> {
        let ids = org::Entity::find().select_only().column(org::Column::Id).into_tuple::<i64>().all(&self.0).await?;
        Ok(ids.into_iter().map(OrgId).collect())
    }

    /// Adds or replaces an organization.
    ///
    /// # Errors
    /// Of the database.
    pub async fn upsert_org(&self, record: &Org) -> Result<(), StorageError> {
        use org::Column;
        let row = org::ActiveModel {
            id: Set(record.id.0),
            name: Set(record.name.clone()),
            time_zone: Set(record.time_zone.name().to_owned()),
            max_active_promotions: Set(record.max_active_promotions.into()),
            accept_unknown_customers: Set(record.accept_unknown_customers),
            catalogue_version: Set(0),
        };
        let replace = OnConflict::column(Column::Id)
            .update_columns([
                Column::Name,
                Column::TimeZone,
                Column::MaxActivePromotions,
                Column::AcceptUnknownCustomers,
            ])
            .to_owned();
        Ok(org::Entity::insert(row).on_conflict(replace).exec_without_returning(&self.0).await.map(drop)?)
    }

    /// Notes that every promotion of the organization goes by other rules from `now_ms` on (milliseconds since
    /// 1970-01-01T00:00:00Z).
    ///
    /// # Errors
    /// Of the database.
    pub async fn note_changed_rules(&self, org_id: OrgId, now_ms: i64) -> Result<(), StorageError> {
        use promotion::Column;
        let change = promotion::Entity::update_many().col_expr(Column::RulesChangedAtMs, Expr::value(now_ms));
        Ok(change.filter(Column::OrgId.eq(org_id.0)).exec(&self.0).await.map(drop)?)
    }

    /// Switches promotions off, for as long as it takes to replace them: so that their names may change places.
    ///
    /// # Errors
    /// Of the database.
    pub async fn deactivate(&self, promotions: &[(OrgId, ObjectId)]) -> Result<(), StorageError> {
        statement::execute(&self.0, DEACTIVATE, promotion_rows(promotions.iter().copied())).await
    }

    /// Which active promotion of the organization has this name.
    ///
    /// # Errors
    /// Of the database.
    pub async fn active_promotion_named(&self, org_id: OrgId, name: &str) -> Result<Option<String>, StorageError> {
        use promotion::Column;
        let found = promotion::Entity::find()
            .filter(Column::OrgId.eq(org_id.0))
            .filter(Column::Name.eq(name))
            .filter(Column::Active.eq(true))
            .one(&self.0)
            .await?;
        Ok(found.map(|row| row.id))
    }

    /// Adds or replaces a promotion.
    ///
    /// # Errors
    /// Of the database.
    pub async fn upsert_promotion(&self, org_id: OrgId, record: &Promotion) -> Result<(), StorageError> {
        use promotion::Column;
        let days = match record.earn_expiry {
            EarnExpiry::WithPromotion => None,
            EarnExpiry::DaysFromEarning(days) => Some(days.into()),
        };
        let row = promotion::ActiveModel {
            org_id: Set(org_id.0),
            id: Set(record.id.to_string()),
            name: Set(record.name.clone()),
            kind: Set(record.kind.name().to_owned()),
            active: Set(record.active),
            start_ms: Set(record.start_ms),
            end_ms: Set(record.end_ms),
            max_earning_per_customer: Set(record.max_earning_per_customer.map(Into::into)),
            capped_since_ms: Set(record.capped_since_ms),
            earn_expiry_days: Set(days),
            earn_limited_to_specific_audience: Set(record.limited_to_audience),
            rules_changed_at_ms: Set(record.rules_changed_at_ms),
        };
        let replace = OnConflict::columns([Column::OrgId, Column::Id])
            .update_columns([
                Column::Name,
                Column::Kind,
                Column::Active,
                Column::StartMs,
                Column::EndMs,
                Column::MaxEarningPerCustomer,
                Column::CappedSinceMs,
                Column::EarnExpiryDays,
                Column::EarnLimitedToSpecificAudience,
                Column::RulesChangedAtMs,
            ])
            .to_owned();
        Ok(promotion::Entity::insert(row).on_conflict(replace).exec_without_returning(&self.0).await.map(drop)?)
    }

    /// Replaces the audiences of promotions by these.
    ///
    /// # Errors
    /// Of the database.
    pub async fn replace_audiences(&self, audiences: &[(OrgId, ObjectId, &[CustomerId])]) -> Result<(), StorageError> {
        let promotions = promotion_rows(audiences.iter().map(|(org_id, id, _)| (*org_id, *id)));
        statement::execute(&self.0, CLEAR_AUDIENCES, promotions).await?;
        for (org_id, id, customers) in audiences {
            for customers in customers.chunks(ROWS_PER_STATEMENT) {
                let rows = promotion_rows(customers.iter().map(|_| (*org_id, *id)))
                    .integers("customer_id", customers.iter().map(|customer| customer.0));
                statement::execute(&self.0, INSERT_AUDIENCES, rows).await?;
            }
        }
        Ok(())
    }

    /// Adds customers that are not recorded yet. Gives how many.
    ///
    /// # Errors
    /// Of the database.
    pub async fn upsert_customers(&self, customers: &[(OrgId, CustomerId)]) -> Result<usize, StorageError> {
        let mut added = 0;
        for customers in customers.chunks(ROWS_PER_STATEMENT) {
            added += statement::query(&self.0, INSERT_CUSTOMERS, of_customers(customers)).await?.len();
        }
        Ok(added)
    }

    /// Whether the organization has this promotion.
    ///
    /// # Errors
    /// Of the database.
    pub async fn has_promotion(&self, org_id: OrgId, id: ObjectId) -> Result<bool, StorageError> {
        Ok(promotion::Entity::find_by_id((org_id.0, id.to_string())).one(&self.0).await?.is_some())
    }

    /// Adds customers to the audience of a promotion. Gives how many were not in it.
    ///
    /// # Errors
    /// Of the database.
    pub async fn add_to_audience(
        &self,
        org_id: OrgId,
        id: ObjectId,
        customers: &BTreeSet<CustomerId>,
    ) -> Result<usize, StorageError> {
        if customers.is_empty() {
            return Ok(0);
        }
        let rows = promotion_rows(customers.iter().map(|_| (org_id, id)))
            .integers("customer_id", customers.iter().map(|customer| customer.0));
        Ok(statement::query(&self.0, INSERT_AUDIENCES, rows).await?.len())
    }

    /// Removes customers from the audience of a promotion. Gives how many were in it.
    ///
    /// # Errors
    /// Of the database.
    pub async fn remove_from_audience(
        &self,
        org_id: OrgId,
        id: ObjectId,
        customers: &BTreeSet<CustomerId>,
    ) -> Result<usize, StorageError> {
        use audience::Column;
        // With the values at hand it is searched by its whole key, whatever the engine believes of the table.
        let removed = audience::Entity::delete_many()
            .filter(Column::OrgId.eq(org_id.0))
            .filter(Column::PromotionId.eq(id.to_string()))
            .filter(Column::CustomerId.is_in(customers.iter().map(|customer| customer.0)));
        Ok(usize::try_from(removed.exec(&self.0).await?.rows_affected).unwrap_or(usize::MAX))
    }

    /// Adds or replaces an API client, but for whether it is disabled: importing does not let it in again.
    ///
    /// # Errors
    /// Of the database.
    pub async fn upsert_api_client(&self, client: ApiClient) -> Result<(), StorageError> {
        use api_client::Column;
        let row = api_client::ActiveModel {
            username: Set(client.username),
            secret_hash: Set(client.secret_hash),
            org_id: Set(client.org_id.0),
            access: Set(client.access),
            disabled: Set(client.disabled),
            requests_per_minute: Set(client.requests_per_minute.map(i64::from)),
        };
        let replace = OnConflict::column(Column::Username)
            .update_columns([Column::SecretHash, Column::OrgId, Column::Access, Column::RequestsPerMinute])
            .to_owned();
        Ok(api_client::Entity::insert(row).on_conflict(replace).exec_without_returning(&self.0).await.map(drop)?)
    }

    /// Tells whoever holds the catalogue of these organizations in memory that it changed.
    ///
    /// # Errors
    /// Of the database.
    pub async fn bump_catalogue_versions(&self, org_ids: &BTreeSet<OrgId>) -> Result<(), StorageError> {
        let ids = Rows::default().integers("org_id", org_ids.iter().map(|id| id.0));
        statement::execute(&self.0, BUMP_CATALOGUE_VERSIONS, ids).await
    }
}

/// The promotions as rows of a statement.
pub(super) fn promotion_rows(promotions: impl Iterator<Item = (OrgId, ObjectId)> + Clone) -> Rows<'static> {
    Rows::default()
        .integers("org_id", promotions.clone().map(|(org_id, _)| org_id.0))
        .ids("promotion_id", promotions.map(|(_, id)| id))
}
