//! A batch of any kind, as the session runs it.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::catalogs::CatalogVersions;
use super::fence::Fence;
use crate::earning::{ObjectId, OrgId};
use crate::storage::StorageError;
use crate::storage::connection::Connection;
use crate::storage::engine::Engine;

/// Batch of one kind: the facts that it needs, and how they are read and its writes made.
#[async_trait]
pub(in crate::storage) trait Work: Sync {
    /// Facts that the rules need besides the catalog.
    type Facts: Send + Sync;
    /// Writes that the rules decide on.
    type Writes: Send + Sync;

    /// Returns the catalogs that the batch is decided from.
    fn catalogs(&self) -> &CatalogVersions;

    /// Returns the presumed facts; `None` if this kind of batch is not decided from presumed facts.
    fn presumed(&self, engine: &dyn Engine) -> Option<Self::Facts>;

    /// Returns true if the batch repeats something that is recorded.
    fn repeats_something(facts: &Self::Facts) -> bool;

    /// Returns true if there is nothing to write.
    fn writes_nothing(writes: &Self::Writes) -> bool;

    /// Returns the promotions that are earned for the first time; `None` if there are none.
    fn earned_first(writes: &Self::Writes) -> Option<&BTreeSet<(OrgId, ObjectId)>>;

    /// Returns true if the batch is read and written within one transaction.
    fn needs_transaction(engine: &dyn Engine) -> bool;

    /// Reads the facts. Returns `None` if the catalogs are no longer those of the decision.
    async fn read(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
    ) -> Result<Option<Self::Facts>, StorageError>;

    /// Writes the batch. Returns false, with nothing written, if the fence does not hold.
    async fn write(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
        decided: &Decided<'_, Self>,
    ) -> Result<bool, StorageError>;
}

/// Batch with its decision.
pub(in crate::storage) struct Decided<'a, W: Work + ?Sized> {
    pub facts: &'a W::Facts,
    pub writes: &'a W::Writes,
    pub fence: &'a Fence<'a>,
}
