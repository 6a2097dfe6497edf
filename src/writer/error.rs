//! Why a call about a wallet is refused as a whole, once its form is right, and what a failed batch means for its calls.

use std::sync::Arc;

use crate::earning::{CustomerId, OrgId};
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;
pub use crate::storage::error::Outage;

/// Why nothing of a command was decided or saved.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalletError {
    /// The organization has no such customer.
    #[error("customer {} not found", .0.0)]
    CustomerNotFound(CustomerId),
    /// The database could not be asked for the customer.
    #[error("customer {} could not be looked up", .0.0)]
    CustomerLookupFailed(CustomerId, #[source] Arc<StorageError>),
    /// What is recorded would be given back so often that the answer is longer than answers may be.
    #[error("the answer would be too long")]
    AnswerTooLong,
    /// As many requests wait as may.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The service stops.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// Other changes of the same rows were in the way, time and again or for too long. Nothing is recorded.
    #[error("another change of the same rows is under way")]
    Busy(#[source] Arc<StorageError>),
    /// The database could be asked, but not be written to. Whether it was is not known; the repeat is safe.
    #[error("the wallet could not be saved")]
    Unavailable(#[source] Arc<StorageError>),
    /// The database failed.
    #[error("the database failed")]
    Internal(#[source] Arc<StorageError>),
}

impl WalletError {
    /// Credentials name an organization that is not recorded.
    pub fn no_organization(org_id: OrgId) -> Self {
        let missing = format!("no organization {}, but credentials for it", org_id.0);
        Self::Internal(Arc::new(StorageError::Corrupt(missing)))
    }
}

/// For calls that only ask.
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
    /// Returns true when a lock that another transaction holds was waited for in vain.
    pub fn is_busy(&self) -> bool {
        matches!(self.source(), StorageError::Busy(_))
    }

    /// Returns true where one of several requests may be the reason, so that the others may succeed without it.
    pub fn is_of_one_request(&self) -> bool {
        matches!(self.source(), StorageError::TooSlow(_)) || self.source().outage().is_none()
    }

    /// Returns true when an organization holds its batch up: by a lock, by a change of its catalog, or by too many rows.
    /// Nothing is written.
    pub fn is_held_up(&self) -> bool {
        matches!(self.source(), StorageError::Busy(_) | StorageError::TooSlow(_) | StorageError::CatalogMoved)
    }

    /// Returns the error of a batch that may be written already, as the connection broke while it committed: no error that
    /// says that nothing is recorded.
    pub fn of_doubtful_write(self) -> Self {
        let (Self::Load(source) | Self::Save(source)) = self;
        match source.outage() {
            Some(Outage::Unreachable | Outage::Exhausted | Outage::Unwritable) => Self::Save(source),
            _ => Self::Save(StorageError::TimedOut),
        }
    }

    /// Returns what the database said, for everybody who waits for the same.
    pub fn into_shared_source(self) -> Arc<StorageError> {
        let (Self::Load(source) | Self::Save(source)) = self;
        Arc::new(source)
    }

    /// Returns the error of every command of a batch that failed so, by its customer.
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
