//! Writes of organizations, promotions, audiences and customers, for imports and for calls that change them.
//!
//! All writes lock in one order: the catalogs of the organizations, ascending; their audiences and API clients,
//! ascending; then rows, in the order of their keys.

use std::collections::BTreeSet;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, QueryFilter};

use super::batch::read::{self, of_customers};
use super::change::Change;
use super::entity::stored::Id;
use super::entity::{OrgOwned, audience, customer, former_term, org, promotion};
use super::org_owned::{Insertion, Present, removal};
use super::rows::Rows;
use super::{StorageError, Transaction};
use crate::earning::{CustomerId, FormerTerms, ObjectId, Org, OrgId, Promotion};

/// Limits the rows of one statement of an import, so that a large file does not become one large parameter.
const ROWS_PER_STATEMENT: usize = 10_000;

impl Transaction {
    /// Returns the ids of all recorded organizations.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn org_ids(&self) -> Result<BTreeSet<OrgId>, StorageError> {
        Ok(org::ids(&self.connection).await?)
    }

    /// Adds or replaces an organization.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn upsert_org(&self, record: &Org) -> Result<(), StorageError> {
        use org::Column;
        let row = org::ActiveModel {
            id: NotSet,
            name: Set(record.name.clone()),
            time_zone: Set(record.time_zone.name().to_owned()),
            max_active_promotions: Set(record.max_active_promotions.into()),
            accept_unknown_customers: Set(record.accept_unknown_customers),
            catalog_version: Set(0),
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
            .exec_without_returning(&self.connection)
            .await
            .map(drop)?)
    }

    /// Records terms under which promotions of the organization were earned, before they change.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn record_former_terms(&self, org_id: OrgId, terms: &[FormerTerms]) -> Result<(), StorageError> {
        use former_term::Column;
        let rows = Rows::of_orgs(terms.iter().map(|_| org_id))
            .ids(Column::PromotionId, terms.iter().map(|terms| terms.promotion_id))
            .times(Column::EndMs, terms.iter().map(|terms| terms.end))
            .texts(Column::TimeZone, terms.iter().map(|terms| terms.time_zone.name()));
        let columns = [Column::PromotionId, Column::EndMs, Column::TimeZone];
        let insertion: Insertion<former_term::Entity> = Insertion::of(&columns, Present::Kept);
        if rows.is_empty() { Ok(()) } else { self.on().execute(&insertion.body(), rows).await.map(drop) }
    }

    /// Deactivates promotions while they are replaced, so that two of them may exchange names.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn deactivate(&self, org_id: OrgId, ids: &BTreeSet<ObjectId>) -> Result<(), StorageError> {
        use promotion::Column;
        for id in ids {
            let change = promotion::Entity::of(org_id).update().filter(Column::Id.eq(Id(*id)));
            change.col_expr(Column::Active, Expr::value(false)).exec(&self.connection).await?;
        }
        Ok(())
    }

    /// Returns the active promotion of the organization with this name; `None` if there is none.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn active_promotion_named(&self, org_id: OrgId, name: &str) -> Result<Option<ObjectId>, StorageError> {
        use promotion::Column;
        let found = promotion::Entity::of(org_id)
            .find()
            .filter(Column::Name.eq(name))
            .filter(Column::Active.eq(true))
            .one(&self.connection)
            .await?;
        Ok(found.map(|row| row.id.0))
    }

    /// Adds or replaces a promotion.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn upsert_promotion(&self, org_id: OrgId, record: &Promotion) -> Result<(), StorageError> {
        Ok(promotion::Entity::of(org_id)
            .insert(record.into())
            .on_conflict(promotion::replace_recorded())
            .exec_without_returning(&self.connection)
            .await
            .map(drop)?)
    }

    /// Replaces the audience of a promotion with these customers. Returns the changes. The audiences must be locked.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn replace_audience(
        &self,
        org_id: OrgId,
        id: ObjectId,
        customers: &BTreeSet<CustomerId>,
    ) -> Result<Vec<Change>, StorageError> {
        let recorded = self.audience(org_id, id).await?;
        let (removed, added) = (&recorded - customers, customers - &recorded);
        self.remove_from_audience(org_id, id, &removed).await?;
        self.add_to_audience(org_id, id, &added).await?;
        Ok(Change::of_audience(id, &added, &removed))
    }

    /// Adds customers that are not recorded yet. Returns the number added: the rows that the statements return, because Citus
    /// counts those of the list.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn upsert_customers(&self, customers: &BTreeSet<(OrgId, CustomerId)>) -> Result<usize, StorageError> {
        let columns = [customer::Column::CustomerId];
        let insertion: Insertion<customer::Entity> =
            Insertion { answers: true, ..Insertion::of(&columns, Present::Kept) };
        let (customers, mut added): (Vec<_>, _) = (customers.iter().copied().collect(), 0);
        for customers in customers.chunks(ROWS_PER_STATEMENT) {
            added += self.on().query(&insertion.body(), of_customers(customers)).await?.len();
        }
        Ok(added)
    }

    /// Returns those of the customers that are recorded.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn known_customers(
        &self,
        customers: &BTreeSet<(OrgId, CustomerId)>,
    ) -> Result<BTreeSet<(OrgId, CustomerId)>, StorageError> {
        let (customers, mut known): (Vec<_>, _) = (customers.iter().copied().collect(), BTreeSet::new());
        for customers in customers.chunks(ROWS_PER_STATEMENT) {
            known.extend(read::customers().which(&self.on(), customers, of_customers(customers)).await?);
        }
        Ok(known)
    }

    /// Returns true if the organization has this promotion.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn has_promotion(&self, org_id: OrgId, id: ObjectId) -> Result<bool, StorageError> {
        let found = promotion::Entity::of(org_id).find().filter(promotion::Column::Id.eq(Id(id)));
        Ok(found.one(&self.connection).await?.is_some())
    }

    /// Returns the customers in the audience of a promotion.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn audience(&self, org_id: OrgId, id: ObjectId) -> Result<BTreeSet<CustomerId>, StorageError> {
        let rows = audience::Entity::of(org_id).find().filter(audience::Column::PromotionId.eq(Id(id)));
        Ok(rows.all(&self.connection).await?.into_iter().map(|row| CustomerId(row.customer_id)).collect())
    }

    /// Returns those of the customers that are in the audience of a promotion.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn in_audience(
        &self,
        org_id: OrgId,
        id: ObjectId,
        customers: &BTreeSet<CustomerId>,
    ) -> Result<BTreeSet<CustomerId>, StorageError> {
        let (customers, mut found): (Vec<_>, _) = (customers.iter().copied().collect(), BTreeSet::new());
        for customers in customers.chunks(ROWS_PER_STATEMENT) {
            found.extend(read::audiences().which(&self.on(), customers, members(org_id, id, customers)).await?);
        }
        Ok(found)
    }

    /// Adds customers to the audience of a promotion. The audiences must be locked.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn add_to_audience(
        &self,
        org_id: OrgId,
        id: ObjectId,
        customers: &BTreeSet<CustomerId>,
    ) -> Result<(), StorageError> {
        let insertion: Insertion<audience::Entity> = Insertion::of(&MEMBER, Present::Kept);
        self.execute_members(&insertion.body(), AudienceMembers { org_id, id, customers }).await
    }

    /// Removes customers from the audience of a promotion. The audiences must be locked.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn remove_from_audience(
        &self,
        org_id: OrgId,
        id: ObjectId,
        customers: &BTreeSet<CustomerId>,
    ) -> Result<(), StorageError> {
        let removal = removal::<audience::Entity>(self.dialect, &MEMBER);
        self.execute_members(&removal, AudienceMembers { org_id, id, customers }).await
    }

    async fn execute_members(&self, body: &str, of: AudienceMembers<'_>) -> Result<(), StorageError> {
        let customers: Vec<_> = of.customers.iter().copied().collect();
        let lists = customers.chunks(ROWS_PER_STATEMENT).map(|customers| members(of.org_id, of.id, customers));
        self.execute(body, lists).await.map(drop)
    }

    /// Runs `body` with each of these lists. Returns the number of rows written.
    async fn execute<'a>(&self, body: &str, lists: impl Iterator<Item = Rows<'a>>) -> Result<usize, StorageError> {
        let mut written = 0;
        for rows in lists {
            written += self.on().execute(body, rows).await?;
        }
        Ok(usize::try_from(written).unwrap_or(usize::MAX))
    }
}

/// Key of a member of an audience, after the organization.
const MEMBER: [audience::Column; 2] = [audience::Column::CustomerId, audience::Column::PromotionId];

/// Members of the audience of a promotion.
struct AudienceMembers<'a> {
    org_id: OrgId,
    id: ObjectId,
    customers: &'a BTreeSet<CustomerId>,
}

/// Lists members of an audience.
fn members(org_id: OrgId, id: ObjectId, customers: &[CustomerId]) -> Rows<'static> {
    Rows::of_orgs(customers.iter().map(|_| org_id))
        .integers(audience::Column::CustomerId, customers.iter().map(|customer_id| customer_id.0))
        .ids(audience::Column::PromotionId, customers.iter().map(|_| id))
}
