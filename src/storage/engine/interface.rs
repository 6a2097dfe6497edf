//! The trait that the engines implement for batches of earnings, on top of their dialect.

use async_trait::async_trait;

use crate::earning::Facts;
use crate::storage::StorageError;
use crate::storage::batch::earnings::{EarningsWanted, Grants};
use crate::storage::batch::fence::Fence;
use crate::storage::connection::Connection;
use crate::storage::dialect::Dialect;

/// Database engine.
#[async_trait]
pub trait Engine: Dialect {
    /// Reads the facts of a batch of earnings. Returns `None` if its catalogs are no longer those of the decision.
    async fn read(&self, connection: &mut Connection, wanted: &EarningsWanted) -> Result<Option<Facts>, StorageError>;

    /// Writes the grants of a batch of earnings. Returns false, with nothing written, if it was decided from another
    /// catalog version or from facts that do not hold.
    async fn write(&self, connection: &mut Connection, batch: &Write<'_>) -> Result<bool, StorageError>;
}

/// Batch of earnings to write.
#[derive(Debug)]
pub struct Write<'a> {
    pub wanted: &'a EarningsWanted,
    pub grants: &'a Grants,
    pub fence: &'a Fence<'a>,
}
