//! A batch of revocations and redemptions: the facts that it needs, and its writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sea_orm::DerivePartialModel;

use super::catalogs::CatalogVersions;
pub use super::counts::Revoked;
use crate::earning::change::{ChangeFacts, InstanceKey, RecordedTransaction};
use crate::earning::{CustomerId, Holder, OrgId, Timestamp};
use crate::storage::entity::earned_promotion;
use crate::storage::entity::stored::{Id, StoredEarnedFromType, StoredStatus};

/// Keys of the facts that a batch of changes needs, without repeats.
#[derive(Debug, Default)]
pub struct ChangesWanted {
    /// Catalogs that the batch is decided from.
    pub catalogs: CatalogVersions,
    /// Earned promotions to read.
    pub instances: BTreeSet<InstanceKey>,
    /// Transactions to read, by organization and identifier.
    pub transactions: BTreeSet<(OrgId, Arc<str>)>,
    /// Customers who may not be recorded.
    pub customers: BTreeSet<(OrgId, CustomerId)>,
}

/// Writes of a batch of changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Earned promotions to change: redeemed by the transaction of this identifier, or revoked if `None`.
    pub instances: BTreeMap<InstanceKey, Option<Arc<str>>>,
    /// Transactions to record.
    pub transactions: BTreeMap<(OrgId, Arc<str>), NewTransaction>,
    /// Number of revoked instances of each customer and promotion.
    pub revoked: BTreeMap<Holder, Revoked>,
}

/// Transaction to record.
#[derive(Debug)]
pub struct NewTransaction {
    /// Digest and content of the transaction.
    pub transaction: RecordedTransaction,
    /// Number of earned promotions that the transaction redeems.
    pub instances: i64,
}

/// Facts of a batch of changes.
#[derive(Debug, Default)]
pub struct ReadChanges {
    /// Facts for the rules.
    pub facts: ChangeFacts,
    /// Rows of the wallet as they were read, from which their changes are written.
    pub(super) rows: BTreeMap<InstanceKey, HeldRow>,
}

/// Earned promotion as it is recorded. The write of its change contains the whole row.
#[derive(Debug, Clone, DerivePartialModel)]
#[sea_orm(entity = "earned_promotion::Entity")]
pub(super) struct HeldRow {
    pub promotion_id: Id,
    pub event_id: String,
    pub earned_from_id: String,
    pub ordinal: i64,
    pub earned_from_type: StoredEarnedFromType,
    pub event_time_ms: Timestamp,
    pub valid_till_ms: Timestamp,
    pub granted_at_ms: Timestamp,
    pub earned_status: StoredStatus,
    pub transaction_identifier: Option<String>,
}
