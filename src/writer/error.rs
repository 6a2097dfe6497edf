//! Refusals of a well-formed call about a wallet, and the mapping from the error of a failed batch to its calls.

use std::sync::Arc;

use crate::earning::{CustomerId, OrgId};
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;
pub use crate::storage::error::Outage;

/// The reason for which nothing of a command was decided or saved.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalletError {
    /// The organization has no such customer.
    #[error("customer {} not found", .0.0)]
    CustomerNotFound(CustomerId),
    /// The customer could not be looked up in the database.
    #[error("customer {} could not be looked up", .0.0)]
    CustomerLookupFailed(CustomerId, #[source] Arc<StorageError>),
    /// The recorded payload would be returned so often that the answer would exceed the maximum size of an answer.
    #[error("the answer would be too long")]
    AnswerTooLong,
    /// The maximum number of waiting requests is reached.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The service stops.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// Other changes of the same rows conflicted, repeatedly or for too long. Nothing is recorded.
    #[error("another change of the same rows is under way")]
    Busy(#[source] Arc<StorageError>),
    /// The database could not be written to, or it is unknown whether it was. A repeat is safe.
    #[error("the wallet could not be saved")]
    Unavailable(#[source] Arc<StorageError>),
    /// The database failed.
    #[error("the database failed")]
    Internal(#[source] Arc<StorageError>),
}

impl WalletError {
    /// Returns the error for credentials that name an organization that is not recorded.
    pub fn no_organization(org_id: OrgId) -> Self {
        let missing = format!("the credentials name organization {}, which is not recorded", org_id.0);
        Self::Internal(Arc::new(StorageError::Corrupt(missing)))
    }
}

/// Maps the error of a call that only reads.
impl From<StorageError> for WalletError {
    fn from(error: StorageError) -> Self {
        match error.outage() {
            None => Self::Internal(Arc::new(error)),
            Some(Outage::Busy | Outage::NoConnection) => Self::Busy(Arc::new(error)),
            Some(_) => Self::Unavailable(Arc::new(error)),
        }
    }
}

impl BatchError {
    /// Returns true when the batch waited too long for a lock of another transaction.
    pub fn is_busy(&self) -> bool {
        matches!(self.source(), StorageError::Busy(_))
    }

    /// Returns true when one of several requests may be the cause, so that the others may succeed without it.
    pub fn is_of_one_request(&self) -> bool {
        matches!(self.source(), StorageError::TooSlow(_)) || self.source().outage().is_none()
    }

    /// Returns true when an organization delays its batch: by a lock, by a change of its catalog, or by too many rows.
    /// Nothing is written.
    pub fn is_held_up(&self) -> bool {
        matches!(self.source(), StorageError::Busy(_) | StorageError::TooSlow(_) | StorageError::CatalogMoved)
    }

    /// Returns the error of a batch that may already be written, as the connection broke while it committed: never an
    /// error that says that nothing is recorded.
    #[must_use]
    pub fn of_doubtful_write(self) -> Self {
        let (Self::Load(source) | Self::Save(source)) = self;
        match source.outage() {
            Some(Outage::Unreachable | Outage::Exhausted | Outage::Unwritable) => Self::Save(source),
            _ => Self::Save(StorageError::TimedOut),
        }
    }

    /// Returns the error of the database, for all callers that wait for the same result.
    pub fn into_shared_source(self) -> Arc<StorageError> {
        let (Self::Load(source) | Self::Save(source)) = self;
        Arc::new(source)
    }

    /// Returns a function that maps a customer to the error of its command in a failed batch.
    pub fn spread(self) -> impl Fn(CustomerId) -> WalletError {
        let (saving, source) = match self {
            Self::Load(source) => (false, Arc::new(source)),
            Self::Save(source) => (true, Arc::new(source)),
        };
        move |customer_id| match (source.outage(), saving) {
            (None, _) => WalletError::Internal(Arc::clone(&source)),
            (Some(Outage::Busy | Outage::NoConnection), _) => WalletError::Busy(Arc::clone(&source)),
            (_, true) => WalletError::Unavailable(Arc::clone(&source)),
            (_, false) => WalletError::CustomerLookupFailed(customer_id, Arc::clone(&source)),
        }
    }
}
