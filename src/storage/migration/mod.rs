//! The schema's history. A migration that has been released is never edited: the next one changes what it made.

use sea_orm_migration::prelude::*;

mod m0001_first_tables;

/// Every migration, in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_first_tables::Migration)]
    }
}
