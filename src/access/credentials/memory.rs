//! What is remembered of a pair or a token that was checked.

use std::sync::Arc;
use std::time::Instant;

use crate::access::caller::Caller;
use crate::storage::clients::ApiClient;

/// Name of what was shown, which tells nothing of it.
pub(super) type Digested = [u8; 32];

/// What was found of a pair or a token.
#[derive(Clone)]
pub(super) struct Memory {
    pub basis: Basis,
    /// `None`: the pair is wrong.
    pub caller: Option<Arc<Caller>>,
    /// Until when a token is valid, milliseconds since 1970-01-01T00:00:00Z.
    pub until_ms: i64,
    pub at: Instant,
    /// Whether it was asked for since it was last compared.
    pub used: bool,
}

/// The facts for which a memory holds.
#[derive(Clone)]
pub(super) enum Basis {
    /// The record of a client, as it was when the credentials were checked.
    Record(Arc<str>, Option<Arc<ApiClient>>),
    /// The keys of a trusted issuer.
    Keys((usize, u64)),
}
