//! The tables as SeaORM entities. The migrations create the tables; entities are not used outside `storage`.

#![allow(clippy::struct_field_names, reason = "columns are named in full")]

pub mod api_client;
pub mod applied_migration;
pub mod audience;
pub mod cap_usage;
pub mod catalog_change;
pub mod customer;
pub mod earned_promotion;
pub mod former_term;
pub mod org;
pub mod promotion;
pub mod redemption;
pub mod stored;
mod time;
pub mod token_key;

use std::marker::PhantomData;

use sea_orm::{ActiveModelTrait, ColumnTrait, DeleteMany, EntityTrait, Insert, QueryFilter, Select, UpdateMany};

use crate::earning::OrgId;

/// Entity whose rows belong to an organization. `Entity::of(org_id)` is the only access to them: SeaORM's own methods,
/// which find the rows of all organizations, are in a trait that storage does not import elsewhere.
pub trait OrgOwned: EntityTrait {
    /// Column that holds the organization of a row.
    const ORG: Self::Column;

    /// Returns access to the rows of this organization.
    fn of(org_id: OrgId) -> RowsOf<Self> {
        RowsOf(org_id, PhantomData)
    }
}

/// Rows of one organization.
#[derive(Debug)]
pub struct RowsOf<E>(OrgId, PhantomData<E>);

impl<E: OrgOwned> RowsOf<E> {
    /// Returns a query for the rows.
    pub fn find(self) -> Select<E> {
        E::find().filter(E::ORG.eq(self.0.0))
    }

    /// Returns an update of the rows.
    pub fn update(self) -> UpdateMany<E> {
        E::update_many().filter(E::ORG.eq(self.0.0))
    }

    /// Returns a deletion of the rows.
    pub fn delete(self) -> DeleteMany<E> {
        E::delete_many().filter(E::ORG.eq(self.0.0))
    }

    /// Returns an insertion of one row.
    pub fn insert(self, mut row: E::ActiveModel) -> Insert<E::ActiveModel>
    where
        E::ActiveModel: ActiveModelTrait<Entity = E>,
    {
        row.set(E::ORG, self.0.0.into());
        Insert::one(row)
    }
}

/// Declares the column of each table that holds the organization of a row.
macro_rules! org_owned {
    ($($entity:ident by $column:ident,)*) => {
        $(impl OrgOwned for $entity::Entity {
            const ORG: Self::Column = $entity::Column::$column;
        })*
    };
}

org_owned! {
    api_client by OrgId,
    audience by OrgId,
    cap_usage by OrgId,
    catalog_change by OrgId,
    customer by OrgId,
    earned_promotion by OrgId,
    former_term by OrgId,
    org by Id,
    promotion by OrgId,
    redemption by OrgId,
}
