//! The work of a batch of earnings: it is presumed, read and written by each engine in its own way.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::catalogs::CatalogVersions;
use super::earnings::{EarningsWanted, Grants};
use super::work::{Decided, Work};
use crate::earning::{Facts, ObjectId, OrgId};
use crate::storage::StorageError;
use crate::storage::connection::Connection;
use crate::storage::engine::{Engine, Write};

#[async_trait]
impl Work for EarningsWanted {
    type Facts = Facts;
    type Writes = Grants;

    fn catalogs(&self) -> &CatalogVersions {
        &self.catalogs
    }

    /// Presumes that all customers are recorded and in the audiences, and that no earning is recorded yet.
    fn presumed(&self, engine: &dyn Engine) -> Option<Facts> {
        engine.writes_as_presumed().then(|| Facts {
            customers: self.customers.iter().copied().collect(),
            audiences: self.limited.iter().copied().collect(),
            each_named_once: self.each_named_once,
            ..Facts::default()
        })
    }

    fn repeats_something(facts: &Facts) -> bool {
        !facts.earnings.is_empty()
    }

    fn writes_nothing(grants: &Grants) -> bool {
        grants.grants.is_empty()
    }

    fn earned_first(grants: &Grants) -> Option<&BTreeSet<(OrgId, ObjectId)>> {
        Some(&grants.first_of).filter(|first_of| !first_of.is_empty())
    }

    fn needs_transaction(engine: &dyn Engine) -> bool {
        engine.needs_transaction()
    }

    async fn read(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
    ) -> Result<Option<Facts>, StorageError> {
        engine.read(connection, self).await
    }

    async fn write(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
        decided: &Decided<'_, Self>,
    ) -> Result<bool, StorageError> {
        let Decided { writes: grants, fence, .. } = *decided;
        engine.write(connection, &Write { wanted: self, grants, fence }).await
    }
}
