//! The work of a batch of revocations and redemptions: it is read and written within one transaction, on every engine.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::catalogs::CatalogVersions;
use super::changes::{Changes, ChangesWanted, ReadChanges};
use super::work::{Decided, Work};
use super::{change_read, change_write};
use crate::earning::{ObjectId, OrgId};
use crate::storage::StorageError;
use crate::storage::connection::Connection;
use crate::storage::engine::Engine;
use crate::storage::statement::On;

#[async_trait]
impl Work for ChangesWanted {
    type Facts = ReadChanges;
    type Writes = Changes;

    fn catalogs(&self) -> &CatalogVersions {
        &self.catalogs
    }

    fn presumed(&self, _: &dyn Engine) -> Option<ReadChanges> {
        None
    }

    fn repeats_something(_: &ReadChanges) -> bool {
        false
    }

    fn writes_nothing(changes: &Changes) -> bool {
        changes.instances.is_empty()
    }

    fn earned_first(_: &Changes) -> Option<&BTreeSet<(OrgId, ObjectId)>> {
        None
    }

    fn needs_transaction(_: &dyn Engine) -> bool {
        true
    }

    async fn read(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
    ) -> Result<Option<ReadChanges>, StorageError> {
        change_read::read(&On { dialect: engine, database: &*connection }, self).await.map(Some)
    }

    async fn write(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
        decided: &Decided<'_, Self>,
    ) -> Result<bool, StorageError> {
        let on = On { dialect: engine, database: &*connection };
        change_write::write(&on, decided.writes, decided.facts, decided.fence.now).await?;
        Ok(true)
    }
}
