//! Upserts of the catalogue.

use std::collections::BTreeSet;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, QueryFilter};

use super::entity::{OrgOwned, audience, org, promotion};
use super::facts::of_customers;
use super::org_owned::{Change, Insertion, Present, Table};
use super::statement::Rows;
use super::{StorageError, Transaction, statement};
use crate::earning::{CustomerId, EarnExpiry, ObjectId, Org, OrgId, Promotion};

const BUMP_CATALOGUE_VERSIONS: Change =
    Change { table: Table::Orgs, set: "catalogue_version = catalogue_version + 1", key: &[], wanted: &[] };

const DEACTIVATE: Change =
    Change { table: Table::Promotions, set: "active = false", key: &["id"], wanted: &["promotion_id"] };

const CLEAR_AUDIENCES: Change =
    Change { table: Table::Audiences, set: "", key: &["promotion_id"], wanted: &["promotion_id"] };

const INSERT_AUDIENCES: Insertion<'_> = Insertion {
    table: Table::Audiences,
    columns: "promotion_id, customer_id",
    values: "promotion_id, customer_id",
    present: Present::Kept,
    rest: "RETURNING 1",
};

const INSERT_CUSTOMERS: Insertion<'_> = Insertion {
    table: Table::Customers,
    columns: "customer_id",
    values: "customer_id",
    present: Present::Kept,
    rest: "RETURNING 1",
};

/// Rows that one statement of an import takes, so that a large file does not become one large parameter.
const ROWS_PER_STATEMENT: usize = 10_000;

impl Transaction {
    /// Every recorded organization.
    ///
    /// # Errors
    /// Of the database.
    pub async fn org_ids(&self) -> Result<BTreeSet<OrgId>, StorageError> {
        Ok(org::ids(&self.0).await?)
    }

    /// Adds or replaces an organization.
    ///
    /// # Errors
    /// Of the database.
    pub async fn upsert_org(&self, record: &Org) -> Result<(), StorageError> {
        use org::Column;
        let row = org::ActiveModel {
            id: NotSet,
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
        Ok(org::Entity::of(record.id)
            .insert(row)
            .on_conflict(replace)
            .exec_without_returning(&self.0)
            .await
            .map(drop)?)
    }

    /// Notes that every promotion of the organization goes by other rules from `now_ms` on (milliseconds since
    /// 1970-01-01T00:00:00Z).
    ///
    /// # Errors
    /// Of the database.
    pub async fn note_changed_rules(&self, org_id: OrgId, now_ms: i64) -> Result<(), StorageError> {
        use promotion::Column;
        let change = promotion::Entity::of(org_id).update();
        Ok(change.col_expr(Column::RulesChangedAtMs, Expr::value(now_ms)).exec(&self.0).await.map(drop)?)
    }

    /// Switches promotions off, for as long as it takes to replace them: so that their names may change places.
    ///
    /// # Errors
    /// Of the database.
    pub async fn deactivate(&self, promotions: &[(OrgId, ObjectId)]) -> Result<(), StorageError> {
        statement::execute(&self.0, &DEACTIVATE.body(), promotion_rows(promotions.iter().copied())).await
    }

    /// Which active promotion of the organization has this name.
    ///
    /// # Errors
    /// Of the database.
    pub async fn active_promotion_named(&self, org_id: OrgId, name: &str) -> Result<Option<String>, StorageError> {
        use promotion::Column;
        let found = promotion::Entity::of(org_id)
            .find()
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
            org_id: NotSet,
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
        Ok(promotion::Entity::of(org_id)
            .insert(row)
            .on_conflict(replace)
            .exec_without_returning(&self.0)
            .await
            .map(drop)?)
    }

    /// Replaces the audiences of promotions by these.
    ///
    /// # Errors
    /// Of the database.
    pub async fn replace_audiences(&self, audiences: &[(OrgId, ObjectId, &[CustomerId])]) -> Result<(), StorageError> {
        let promotions = promotion_rows(audiences.iter().map(|(org_id, id, _)| (*org_id, *id)));
        statement::execute(&self.0, &CLEAR_AUDIENCES.body(), promotions).await?;
        for (org_id, id, customers) in audiences {
            for customers in customers.chunks(ROWS_PER_STATEMENT) {
                let rows = promotion_rows(customers.iter().map(|_| (*org_id, *id)))
                    .integers("customer_id", customers.iter().map(|customer| customer.0));
                statement::execute(&self.0, &INSERT_AUDIENCES.body(), rows).await?;
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
            added += statement::query(&self.0, &INSERT_CUSTOMERS.body(), of_customers(customers)).await?.len();
        }
        Ok(added)
    }

    /// Whether the organization has this promotion.
    ///
    /// # Errors
    /// Of the database.
    pub async fn has_promotion(&self, org_id: OrgId, id: ObjectId) -> Result<bool, StorageError> {
        let found = promotion::Entity::of(org_id).find().filter(promotion::Column::Id.eq(id.to_string()));
        Ok(found.one(&self.0).await?.is_some())
    }

    /// Returns the customers in the audience of a promotion.
    ///
    /// # Errors
    /// Of the database.
    pub async fn audience(&self, org_id: OrgId, id: ObjectId) -> Result<BTreeSet<CustomerId>, StorageError> {
        let rows = audience::Entity::of(org_id).find().filter(audience::Column::PromotionId.eq(id.to_string()));
        Ok(rows.all(&self.0).await?.into_iter().map(|row| CustomerId(row.customer_id)).collect())
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
        Ok(statement::query(&self.0, &INSERT_AUDIENCES.body(), rows).await?.len())
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
        let removed = audience::Entity::of(org_id)
            .delete()
            .filter(Column::PromotionId.eq(id.to_string()))
            .filter(Column::CustomerId.is_in(customers.iter().map(|customer| customer.0)));
        Ok(usize::try_from(removed.exec(&self.0).await?.rows_affected).unwrap_or(usize::MAX))
    }

    /// Tells whoever holds the catalogue of these organizations in memory that it changed.
    ///
    /// # Errors
    /// Of the database.
    pub async fn bump_catalogue_versions(&self, org_ids: &BTreeSet<OrgId>) -> Result<(), StorageError> {
        statement::execute(&self.0, &BUMP_CATALOGUE_VERSIONS.body(), Rows::of_orgs(org_ids.iter().copied())).await
    }
}

/// The promotions as rows of a statement.
pub(super) fn promotion_rows(promotions: impl Iterator<Item = (OrgId, ObjectId)> + Clone) -> Rows<'static> {
    Rows::of_orgs(promotions.clone().map(|(org_id, _)| org_id)).ids("promotion_id", promotions.map(|(_, id)| id))
}
