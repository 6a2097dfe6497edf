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
    /// Display name; a new one needs it.
    pub name: Option<String>,
    /// Zone in which its days begin and end.
    pub time_zone: Option<Tz>,
    /// How many promotions may be active before earning answers 705.
    pub max_active_promotions: Option<u32>,
    /// True: any positive customer id is taken.
    pub accept_unknown_customers: Option<bool>,
}

/// A promotion of a file.
#[derive(Debug)]
pub struct ImportedPromotion {
    /// Organization it belongs to.
    pub org_id: OrgId,
    /// The promotion.
    pub draft: PromotionDraft,
    /// Its audience, which replaces the recorded one; `None` keeps that.
    pub audience: Option<Vec<CustomerId>>,
}

/// An API client of a file. Absent fields stay as recorded, or take their defaults.
#[derive(Debug)]
pub struct ImportedClient {
    /// Name.
    pub username: String,
    /// Secret; a new one needs it.
    pub secret: Option<Secret>,
    /// Organization it calls for; a new one needs it.
    pub org_id: Option<OrgId>,
    /// What it may do.
    pub access: Option<Access>,
    /// Requests a minute, where it has a limit of its own; 0: as many as it likes.
    pub requests_per_minute: Option<u32>,
}

/// A record that does not fit the others, or what is recorded.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct RefusedRecord {
    /// Path in the file.
    pub at: String,
    /// What is wrong, in words that follow the path.
    pub problem: String,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Records do not fit.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<RefusedRecord>),
    /// A client was added or taken away since it was compared with the file.
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
    /// One record does not fit.
    pub(super) fn refused(at: String, problem: String) -> Self {
        Self::Refused(vec![RefusedRecord { at, problem }])
    }
}
