//! Verification of the database: finds every row that breaks an invariant. `docs/architecture.md` lists the invariants.
//!
//! All checks read one snapshot, while the service goes on writing. The database itself answers a question, with one
//! text for each breach. Rows that SQL cannot judge are read in pages (`pages`) and judged by `app`. A row that cannot
//! be read is also a breach.

mod forms;
mod owners;
mod pages;
mod redemptions;
mod rows;
mod takes;
mod wallet;

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbBackend, IsolationLevel, Statement, TransactionOptions,
    TransactionTrait,
};

pub use pages::{PageCursor, VerifyPage, Walked};
pub use redemptions::{RecordedRedemption, RedeemedInstance};
pub use rows::{
    ApiClientRow, EarnedRow, FormerTermRow, OrgRow, PromotionNameRow, PromotionTerms, Terms, VerifiedDetailsRow,
};

use super::dialect::Dialect;
use super::{StorageError, Store};

/// Limits how many breaches of one check are named. Any further breaches are only reported to exist.
pub const MAX_BREACHES: usize = 100;

/// Check that the database performs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
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

impl Question {
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

/// Breaches of one check, as text.
#[derive(Debug, Default)]
pub struct Breaches {
    named: Vec<String>,
    more: bool,
}

impl Breaches {
    /// Adds a breach.
    pub fn add(&mut self, breach: String) {
        if self.named.len() < MAX_BREACHES {
            self.named.push(breach);
        } else {
            self.more = true;
        }
    }

    /// Adds the breaches of another list.
    pub fn extend(&mut self, other: Self) {
        let more = other.more;
        other.named.into_iter().for_each(|breach| self.add(breach));
        self.more |= more;
    }

    /// Returns true if there is no breach.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Returns the named breaches.
    pub fn named(&self) -> &[String] {
        &self.named
    }

    /// Returns true if there are more breaches than the named ones.
    pub fn more(&self) -> bool {
        self.more
    }
}

/// Snapshot of the database at one moment.
#[derive(Debug)]
pub struct Snapshot {
    transaction: DatabaseTransaction,
    dialect: &'static dyn Dialect,
}

impl Store {
    /// Takes a snapshot of the database.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn snapshot(&self) -> Result<Snapshot, StorageError> {
        let options = match self.engine.backend() {
            DbBackend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
            // Every transaction of SQLite reads one snapshot.
            _ => TransactionOptions::default(),
        };
        Ok(Snapshot { transaction: self.reads.database().begin_with_options(options).await?, dialect: self.engine })
    }
}

impl Snapshot {
    /// Performs a check. Returns its breaches.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn breaches(&self, question: Question) -> Result<Breaches, StorageError> {
        let mut breaches = Breaches::default();
        for sql in question.statements(self.dialect) {
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

/// Binds the names of columns of an entity to variables, for SQL texts.
macro_rules! columns {
    ($entity:ident: $($name:ident = $column:ident),+ $(,)?) => {
        $(let $name = sea_orm::IdenStatic::as_str(&crate::storage::entity::$entity::Column::$column);)+
    };
}
use columns;
