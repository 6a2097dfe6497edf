//! Remembers checked credentials. Username-secret credentials and tokens are kept apart, each in a bounded memory that
//! evicts one entry at a time.

use std::sync::Arc;
use std::time::Instant;

use crate::access::caller::Caller;
use crate::access::tokens::KeysUsed;
use crate::earning::Timestamp;
use crate::storage::clients::ApiClient;

/// A keyed hash of the presented credentials, which does not reveal them.
pub(super) type Digested = [u8; 32];

/// The result of a check.
#[derive(Clone)]
pub(super) struct Memory {
    pub basis: MemoryBasis,
    /// The caller; `None` when the credentials are wrong.
    pub caller: Option<Arc<Caller>>,
    /// End of a token's validity.
    pub until: Timestamp,
    pub at: Instant,
    /// True when it was used since it was last compared with the database.
    pub used: bool,
}

/// The facts on which a remembered result depends.
#[derive(Clone)]
pub(super) enum MemoryBasis {
    /// The record of a client at the time of the check.
    Record(Arc<str>, Option<Arc<ApiClient>>),
    /// The keys of a trusted issuer.
    Keys(KeysUsed),
}
