//! Recounting the database: asks for every row that breaks an invariant. `docs/architecture.md` lists the invariants.
//!
//! Everything is read in one snapshot, beside the service's writes. A question is answered by the database, with one text
//! for each breach. What SQL cannot judge is read in pages (`pages`) and judged by `app`. A row that cannot be read is a
//! breach among the others.

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

pub use pages::{Page, Place, Walked};
pub use redemptions::{Instance, RecordedRedemption};
pub use rows::{ApiClientRow, DetailsRow, EarnedRow, FormerTermRow, OrgRow, PromotionNameRow, PromotionTerms, Terms};

use super::engine::Engine;
use super::{StorageError, Store};

/// Breaches of one check that are named. More are only known to be there.
pub const MAX_BREACHES: usize = 100;

/// A question that the database answers with breaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Which rows hold a value that its column does not take?
    Values,
    /// Which rows have the key of another row of their table?
    Keys,
    /// Which rows are of no organization or promotion?
    Owners,
    /// Which names do several active promotions of an organization have?
    ActiveNames,
    /// Which earn ids are given more than once?
    EarnIds,
    /// Which earnings are not numbered 1 to n, or differ within themselves?
    Earnings,
    /// Which promotions were earned although they cannot be, or are not marked as earned?
    Marks,
    /// Which earned promotions have a status that their other columns contradict?
    Statuses,
    /// Which counts under caps differ from the wallet?
    Counts,
    /// Which transactions differ in number from what the wallet says of them?
    Redemptions,
}

impl Question {
    /// Writes the statements; each answers with rows of one column, `breach`.
    fn statements(self, engine: &dyn Engine) -> Vec<String> {
        match self {
            Self::Values => forms::values(engine.backend()),
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

/// Breaches of one check, in words.
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

    /// Adds those of another list.
    pub fn extend(&mut self, other: Self) {
        let more = other.more;
        other.named.into_iter().for_each(|breach| self.add(breach));
        self.more |= more;
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Returns those that are named.
    pub fn named(&self) -> &[String] {
        &self.named
    }

    /// Returns true if there are more than those that are named.
    pub fn more(&self) -> bool {
        self.more
    }
}

/// The database as it is at one moment.
#[derive(Debug)]
pub struct Snapshot {
    transaction: DatabaseTransaction,
    engine: &'static dyn Engine,
}

impl Store {
    /// Takes a snapshot of the database.
    ///
    /// # Errors
    /// Those of the database.
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
        Ok(Snapshot { transaction: self.reads.database().begin_with_options(options).await?, engine: self.engine })
    }
}

impl Snapshot {
    /// Returns what the question finds.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn breaches(&self, question: Question) -> Result<Breaches, StorageError> {
        let mut breaches = Breaches::default();
        for sql in question.statements(self.engine) {
            // One more than are named, to know of more.
            let sql = format!("{sql} LIMIT {}", MAX_BREACHES + 1);
            for row in self.transaction.query_all_raw(Statement::from_string(self.engine.backend(), sql)).await? {
                let breach: Result<Option<String>, _> = row.try_get("", "breach");
                breaches.add(breach.ok().flatten().unwrap_or_else(|| "a row that cannot be named".to_owned()));
            }
        }
        Ok(breaches)
    }
}

/// Gives the names of columns of an entity to variables, for texts of statements.
macro_rules! columns {
    ($entity:ident: $($name:ident = $column:ident),+ $(,)?) => {
        $(let $name = sea_orm::IdenStatic::as_str(&crate::storage::entity::$entity::Column::$column);)+
    };
}
use columns;
