//! The checks that the database performs.

use sea_orm::{ConnectionTrait, Statement};

use super::breaches::{Breaches, MAX_BREACHES};
use super::snapshot::Snapshot;
use super::{forms, owners, redemptions, wallet};
use crate::storage::StorageError;
use crate::storage::dialect::Dialect;

/// Check that the database performs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseCheck {
    /// Finds rows with a value that their column does not take.
    Values,
    /// Finds rows with the key of another row of their table.
    Keys,
    /// Finds rows of an organization or promotion that does not exist.
    Owners,
    /// Finds names that several active promotions of an organization have.
    ActiveNames,
    /// Finds earn ids that several rows have.
    EarnIds,
    /// Finds earnings whose instances are not numbered 1 to n, or contradict each other.
    Earnings,
    /// Finds promotions that were earned although they cannot be, or that are not marked as earned.
    Marks,
    /// Finds earned promotions with a status that their other columns contradict.
    Statuses,
    /// Finds counts under caps that differ from the wallet.
    Counts,
    /// Finds transactions that redeemed another number of earned promotions than the wallet shows.
    Redemptions,
}

impl DatabaseCheck {
    /// Returns the statements of the check. Each returns rows with one column, `breach`.
    fn statements(self, dialect: &dyn Dialect) -> Vec<String> {
        match self {
            Self::Values => forms::values(dialect.backend()),
            Self::Keys => forms::keys(),
            Self::Owners => owners::owners(),
            Self::ActiveNames => owners::active_names(),
            Self::EarnIds => wallet::earn_ids(),
            Self::Earnings => wallet::earnings(),
            Self::Marks => owners::marks(),
            Self::Statuses => wallet::statuses(),
            Self::Counts => wallet::counts(),
            Self::Redemptions => redemptions::statements(),
        }
    }
}

impl Snapshot {
    /// Performs a check. Returns its breaches.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn breaches(&self, check: DatabaseCheck) -> Result<Breaches, StorageError> {
        let mut breaches = Breaches::default();
        for sql in check.statements(self.dialect) {
            // One more than the limit is read, to detect that there are more.
            let sql = format!("{sql} LIMIT {}", MAX_BREACHES + 1);
            for row in self.transaction.query_all_raw(Statement::from_string(self.dialect.backend(), sql)).await? {
                let breach: Result<Option<String>, _> = row.try_get("", "breach");
                breaches.add(breach.ok().flatten().unwrap_or_else(|| "a row that cannot be named".to_owned()));
            }
        }
        Ok(breaches)
    }
}
