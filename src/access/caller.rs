//! Callers whose credentials were right.

use std::sync::Arc;

use crate::access::groups::Access;
use crate::earning::OrgId;
use crate::storage::clients::ApiClient;

/// A program whose credentials were right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name of the API client, or of who calls with a token of a trusted issuer.
    pub username: Arc<str>,
    /// Organization it calls for.
    pub org_id: OrgId,
    /// Whether that organization is recorded: a trusted issuer may name any.
    pub org_recorded: bool,
    /// What it may do.
    pub access: Access,
    /// Requests a minute, where the client has a limit of its own; 0: as many as it likes.
    pub requests_per_minute: Option<u32>,
}

impl Caller {
    /// Returns who calls by this record; nobody while the client is disabled.
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
