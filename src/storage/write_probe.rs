//! Health of writes after the database refused one (full disk, failing disk, read-only database): a trial write shows
//! their recovery if no other write does.

use super::batch::earnings::{Grants, rows};
use super::batch::write;
use super::entity::{OrgOwned, earned_promotion};
use super::org_owned::Present;
use super::transaction::Transaction;
use super::{StorageError, Store};
use crate::earning::{CustomerId, EarnedFromType, EarningKey, Grant, Instance, ObjectId, OrgId, Timestamp};

/// Identifier of no organization, as they are numbered from 1. No call sees its rows.
const NOBODY: OrgId = OrgId(0);
/// Number of rows of a trial write: enough to fill a few pages of the wallet and of each of its indexes.
const ROWS: u32 = 64;

impl Store {
    /// Notes the error of a failed write.
    pub fn note_failure(&self, error: &StorageError) {
        if matches!(error, StorageError::Unwritable(_)) {
            self.write_health.set_failing(true);
        }
    }

    /// Notes that a write became durable.
    pub fn note_write(&self) {
        if self.writes_fail() {
            self.write_health.set_failing(false);
        }
    }

    /// Returns true while writes are known to fail.
    pub fn writes_fail(&self) -> bool {
        self.write_health.is_failing()
    }

    /// Makes a trial write: inserts rows into the wallet, deletes them again and commits. No call sees the rows.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn try_write(&self) -> Result<(), StorageError> {
        let write_permit = self.write_permit().await?;
        let transaction = Transaction::begin(self.probe.acquire().await?, self.engine, write_permit).await?;
        let grants = Grants { grants: vec![trial()], ..Grants::default() };
        let insertion = write::insertion(false, Present::Refused, false);
        transaction.on().execute(&insertion.body(), write::list(&rows(&grants), Timestamp::EPOCH)).await?;
        earned_promotion::Entity::of(NOBODY).delete().exec(&transaction.connection).await?;
        transaction.commit().await?;
        self.note_write();
        Ok(())
    }
}

/// Returns a grant of [`ROWS`] instances to no organization.
fn trial() -> Grant {
    let instance = || Instance { earn_id: ObjectId(rand::random()), valid_till: Timestamp::EPOCH, revoked: false };
    let key = EarningKey {
        org_id: NOBODY,
        customer_id: CustomerId(1),
        event_id: "a trial of the disk".into(),
        promotion_id: ObjectId([0; 12]),
        earned_from_id: rand::random::<u64>().to_string().into(),
    };
    Grant {
        key,
        earned_from_type: EarnedFromType::BulkIssue,
        event_time: Timestamp::EPOCH,
        details: None,
        cap: None,
        first_ordinal: 1,
        instances: (0..ROWS).map(|_| instance()).collect(),
    }
}
