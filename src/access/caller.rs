//! Authenticated callers.

use std::sync::Arc;

use crate::access::groups::Access;
use crate::earning::OrgId;
use crate::storage::clients::ApiClient;

/// A caller whose credentials are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Username of the API client, or the name of the caller in a token of a trusted issuer.
    pub username: Arc<str>,
    /// Organization that the caller acts for.
    pub org_id: OrgId,
    /// True when that organization is recorded: a trusted issuer may name any.
    pub org_recorded: bool,
    /// Access groups of the caller.
    pub access: Access,
    /// Requests a minute, when the client has a limit of its own; 0 means no limit.
    pub requests_per_minute: Option<u32>,
}

impl Caller {
    /// Returns the caller of this record, or `None` while the client is disabled.
    pub(super) fn of(client: &ApiClient) -> Option<Arc<Self>> {
        (!client.disabled).then(|| {
            Arc::new(Self {
                username: client.username.as_str().into(),
                org_id: client.org_id,
                org_recorded: true,
                access: Access::parse(&client.access),
                requests_per_minute: client.requests_per_minute,
            })
        })
    }
}
