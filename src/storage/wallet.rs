//! What a batch of earnings reads and writes, and the connection that it does so through. The reading itself is in
//! `facts`, the writing in `grants`.
//!
//! Nothing that is read here is locked. That what was read still holds is settled by the writes: a row that somebody
//! else wrote in the meantime meets the unique earning key, a count that somebody else raised meets the check of the
//! cap. Then the transaction is undone with [`StorageError::Conflict`], and its batch is read and decided again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashSet;
use sea_orm::sqlx;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::Postgres;
use sea_orm::{DbErr, RuntimeErr};

use super::statement::Dialect;
use super::{StorageError, Store, Transaction, grants};
use crate::earning::{CustomerId, EarningKey, Facts, Grant, Holder, ObjectId, OrgId};

/// What a batch needs to know, without repeats. The order is the global one, in which a batch takes its locks.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Customers who may be unknown.
    pub customers: BTreeSet<(OrgId, CustomerId)>,
    /// Earnings that may be recorded.
    pub earnings: BTreeSet<EarningKey>,
    /// Whether each of them is named once.
    pub each_named_once: bool,
    /// Customers and the capped promotions they want, and when the promotion was given its cap, if not from its
    /// beginning (milliseconds since 1970-01-01T00:00:00Z).
    pub capped: BTreeMap<Holder, Option<i64>>,
    /// Customers and the promotions they want that are limited to an audience.
    pub limited: BTreeSet<Holder>,
}

/// What a batch writes.
#[derive(Debug, Default)]
pub struct Grants {
    /// New instances.
    pub grants: Vec<Grant>,
    /// How many of a capped promotion each customer is granted, and the cap.
    pub under_cap: BTreeMap<Holder, (u32, u32)>,
    /// Promotions of which something is earned for the first time.
    pub first_of: BTreeSet<(OrgId, ObjectId)>,
}

impl Grants {
    /// The earnings of `wanted` of which nothing is written.
    pub(super) fn refused<'a>(&self, wanted: &'a Wanted) -> Vec<&'a EarningKey> {
        let begun = self.grants.iter().filter(|grant| grant.first_ordinal == 1).map(|grant| &grant.key);
        if begun.clone().count() == wanted.earnings.len() {
            return Vec::new();
        }
        let begun: HashSet<_> = begun.collect();
        wanted.earnings.iter().filter(|key| !begun.contains(key)).collect()
    }
}

impl Wanted {
    /// The facts as they mostly are: everybody known and in the audiences, and nothing earned yet.
    pub fn presumed(&self) -> Facts {
        Facts {
            customers: self.customers.iter().copied().collect(),
            audiences: self.limited.iter().copied().collect(),
            each_named_once: self.each_named_once,
            ..Facts::default()
        }
    }
}

/// Keeps a connection for one batch after the other.
#[derive(Debug)]
pub struct Session {
    store: Store,
    kept: Option<PoolConnection<Postgres>>,
}

/// What one batch reads and writes through. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub enum Batch {
    /// SQLite, and Citus: all of it in one transaction, which on SQLite excludes other writers from its first statement on.
    Transaction(Transaction),
    /// PostgreSQL: each statement by itself, and what is written in one transaction.
    Statements(PoolConnection<Postgres>, Store),
}

impl Session {
    /// On `store`, with nothing kept yet.
    pub fn new(store: Store) -> Self {
        Self { store, kept: None }
    }

    /// Begins a batch.
    ///
    /// # Errors
    /// When the database does not get to it in time.
    pub async fn begin(&mut self) -> Result<Batch, StorageError> {
        if self.store.dialect != Dialect::Postgres {
            return Ok(Batch::Transaction(self.store.begin().await?));
        }
        let connection = match self.kept.take() {
            Some(kept) => kept,
            None => self.store.database.get_postgres_connection_pool().acquire().await.map_err(of_driver)?,
        };
        Ok(Batch::Statements(connection, self.store.clone()))
    }

    /// Writes what was granted at `now_ms` (milliseconds since 1970-01-01T00:00:00Z) and makes it durable; or, when
    /// nothing was, ends the batch.
    ///
    /// # Errors
    /// Of the database; then nothing is written, unless the connection broke just then. [`StorageError::Conflict`] when
    /// what it was decided from is no longer so.
    pub async fn end(&mut self, batch: Batch, grants: &Grants, now_ms: i64) -> Result<(), StorageError> {
        match batch {
            // What is only replayed is durable already.
            Batch::Transaction(transaction) if grants.grants.is_empty() => transaction.rollback().await,
            Batch::Transaction(transaction) => transaction.save(grants, now_ms).await,
            Batch::Statements(mut connection, _) => {
                if !grants.grants.is_empty() {
                    grants::save(&mut connection, grants, now_ms).await?;
                }
                // Only a connection that did all it was asked to is used again.
                self.kept = Some(connection);
                Ok(())
            }
        }
    }

    /// Whether [`Self::write_as_presumed`] is worth trying for `wanted`.
    pub fn writes_at_once(&self, wanted: &Wanted) -> bool {
        // A cap that came later may have to be counted first.
        self.store.dialect != Dialect::Citus && wanted.capped.values().all(Option::is_none)
    }

    /// Writes `grants` at `now_ms` (milliseconds since 1970-01-01T00:00:00Z), durably, if the facts are those of
    /// [`Wanted::presumed`], from which they were decided: that no earning is recorded shows by its unique key. Else
    /// nothing is written; then gives the batch back.
    ///
    /// # Errors
    /// As of [`Self::end`].
    pub async fn write_as_presumed(
        &mut self,
        mut batch: Batch,
        (wanted, grants): (&Wanted, &Grants),
        now_ms: i64,
    ) -> Result<Option<Batch>, StorageError> {
        match &mut batch {
            Batch::Statements(connection, _) => {
                match grants::save_if(connection, (wanted, grants), now_ms).await {
                    Ok(true) => {}
                    Ok(false) | Err(StorageError::Conflict(_)) => return Ok(Some(batch)),
                    Err(error @ StorageError::Disconnected(_)) => return Err(error),
                    // Whether it was the reading or the writing shows when they go one after the other.
                    Err(error) => {
                        tracing::debug!(?error, "not written as presumed");
                        return Ok(Some(batch));
                    }
                }
                if let Batch::Statements(connection, _) = batch {
                    self.kept = Some(connection);
                }
                Ok(None)
            }
            Batch::Transaction(_) => {
                // An earning that is not written might be recorded.
                if grants.refused(wanted).is_empty() && batch.is_as_presumed(wanted, grants).await? {
                    return self.end(batch, grants, now_ms).await.map(|()| None);
                }
                Ok(Some(batch))
            }
        }
    }
}

/// An error of the driver as that of the library around it.
pub(super) fn of_driver(error: sqlx::Error) -> StorageError {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))).into()
}
