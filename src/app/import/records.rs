//! The records of a catalog file, and why they are not imported.

use chrono_tz::Tz;

use crate::access::groups::Access;
use crate::access::secret::{HashError, Secret};
use crate::earning::{CustomerId, OrgId, PromotionDraft};
use crate::storage::StorageError;

/// An organization of a file. Absent fields stay as recorded, or take their defaults.
#[derive(Debug)]
pub struct ImportedOrg {
    /// Identifier.
    pub id: OrgId,
    /// Display name; required for a new organization.
    pub name: Option<String>,
    /// Time zone in which its days begin and end.
    pub time_zone: Option<Tz>,
    /// Number of promotions that may be active before earning fails.
    pub max_active_promotions: Option<u32>,
    /// True when any positive customer id is accepted.
    pub accept_unknown_customers: Option<bool>,
}

/// A promotion of a file.
#[derive(Debug)]
pub struct ImportedPromotion {
    /// Organization it belongs to.
    pub org_id: OrgId,
    /// The promotion.
    pub draft: PromotionDraft,
    /// Audience, which replaces the recorded one; `None` keeps the recorded one.
    pub audience: Option<Vec<CustomerId>>,
}

/// An API client of a file. Absent fields stay as recorded, or take their defaults.
#[derive(Debug)]
pub struct ImportedClient {
    /// Username.
    pub username: String,
    /// Secret; required for a new client.
    pub secret: Option<Secret>,
    /// Organization it calls for; required for a new client.
    pub org_id: Option<OrgId>,
    /// Access groups.
    pub access: Option<Access>,
    /// Requests a minute, when the client has a limit of its own; 0 means no limit.
    pub requests_per_minute: Option<u32>,
}

/// A record that conflicts with other records of the file or of the database.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct RefusedRecord {
    /// Path in the file.
    pub at: String,
    /// The problem, in words that follow the path.
    pub problem: String,
}

/// The reason for which nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Records conflict with others.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<RefusedRecord>),
    /// A client was added or removed since it was compared with the file.
    #[error(transparent)]
    Overtaken(RefusedRecord),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A secret could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl ImportError {
    /// Returns the refusal of one record.
    pub(super) fn refused(at: String, problem: String) -> Self {
        Self::Refused(vec![RefusedRecord { at, problem }])
    }
}
