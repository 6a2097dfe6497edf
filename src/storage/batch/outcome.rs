//! The outcome of a batch, and the errors with which it fails.

use std::collections::BTreeSet;

use crate::earning::OrgId;
use crate::storage::StorageError;

/// Outcome of a batch.
#[derive(Debug)]
pub enum Ran<T> {
    /// The batch is decided, and its writes are durable.
    Done(T),
    /// Nothing is written: a catalog or an audience is no longer the one that the batch was decided from.
    CatalogChanged,
    /// Nothing is written: promotions of these organizations are earned for the first time, which changes their
    /// catalogs.
    FirstEarning(BTreeSet<OrgId>),
}

/// Step in which a batch failed. Only after a failed read does the answer say that a customer could not be looked up.
#[derive(Debug)]
pub enum BatchError {
    /// Failure of the read.
    Load(StorageError),
    /// Failure of the write.
    Save(StorageError),
}

impl BatchError {
    /// Returns the error of the database.
    pub fn source(&self) -> &StorageError {
        let (Self::Load(source) | Self::Save(source)) = self;
        source
    }
}
