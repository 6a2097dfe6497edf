//! The tables as SeaORM entities. The migrations make them; nothing outside `storage` sees them.

#![allow(clippy::struct_field_names, reason = "columns are named in full")]

pub mod api_client;
pub mod audience;
pub mod cap_usage;
pub mod customer;
pub mod earned_promotion;
pub mod former_term;
pub mod org;
pub mod promotion;
pub mod redemption;
pub mod stored;

use std::marker::PhantomData;

use sea_orm::{ActiveModelTrait, ColumnTrait, DeleteMany, EntityTrait, Insert, QueryFilter, Select, UpdateMany};

use crate::earning::OrgId;

/// Entities whose rows belong to an organization. `Entity::of(org_id)` is the way to them: SeaORM's own, which would find
/// the rows of all, are in a trait that storage does not import elsewhere.
pub trait OrgOwned: EntityTrait {
    /// The column that says whose a row is.
    const ORG: Self::Column;

    /// The rows of this organization.
    fn of(org_id: OrgId) -> RowsOf<Self> {
        RowsOf(org_id, PhantomData)
    }
}

/// The rows of one organization.
#[derive(Debug)]
pub struct RowsOf<E>(OrgId, PhantomData<E>);

impl<E: OrgOwned> RowsOf<E> {
    /// Finds them.
    pub fn find(self) -> Select<E> {
        E::find().filter(E::ORG.eq(self.0.0))
    }

    /// Changes them.
    pub fn update(self) -> UpdateMany<E> {
        E::update_many().filter(E::ORG.eq(self.0.0))
    }

    /// Removes them.
    pub fn delete(self) -> DeleteMany<E> {
        E::delete_many().filter(E::ORG.eq(self.0.0))
    }

    /// Adds one to them.
    pub fn insert(self, mut row: E::ActiveModel) -> Insert<E::ActiveModel>
    where
        E::ActiveModel: ActiveModelTrait<Entity = E>,
    {
        row.set(E::ORG, self.0.0.into());
        Insert::one(row)
    }
}

/// Declares the column that says whose a row of each table is.
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
    customer by OrgId,
    earned_promotion by OrgId,
    former_term by OrgId,
    org by Id,
    promotion by OrgId,
    redemption by OrgId,
}
