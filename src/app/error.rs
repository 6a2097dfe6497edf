//! Why an earning as a whole is refused, once its form is right.

use std::sync::Arc;

use crate::earning::CustomerId;
use crate::storage::StorageError;

/// Why nothing of a bulk earning was decided or saved.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EarnError {
    /// The organization has no such customer.
    #[error("customer {} not found", .0.0)]
    CustomerNotFound(CustomerId),
    /// The database could not be asked for the customer.
    #[error("customer {} could not be looked up", .0.0)]
    CustomerLookupFailed(CustomerId, #[source] Arc<StorageError>),
    /// As many requests wait as may.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The service stops.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// The database could be asked, but not be written to. Whether it was is not known; the repeat is safe.
    #[error("the grants could not be saved")]
    Unavailable(#[source] Arc<StorageError>),
    /// The database failed.
    #[error("the earning failed")]
    Internal(#[source] Arc<StorageError>),
}
