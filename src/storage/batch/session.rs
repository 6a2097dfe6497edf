//! The optimistic protocol: how a batch is decided and written exactly without locking what it reads.
//!
//! A batch is first decided from presumed facts, and written on the condition that they hold. If they do not, it is
//! read, decided again and written. Nothing that is read is locked. The writes themselves detect a change since the
//! read: a row that another transaction wrote violates a unique key, a count that another one raised violates the check
//! of its cap, a row that another one changed no longer has the required status, and a changed catalog no longer has
//! the required version. Then nothing is written.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::catalogs::{self, CatalogVersions};
use super::changes::{Changes, ChangesWanted, ReadChanges};
use super::earnings::{EarningsWanted, Grants};
use crate::earning::change::ChangeFacts;
use crate::earning::{CatalogVersion, Facts, ObjectId, OrgId};
use crate::storage::connection::Connection;
use crate::storage::engine::Engine;
use crate::storage::pools::lock_timeout;
use crate::storage::transaction::Transaction;
use crate::storage::{StorageError, Store};

/// Number of batches that are read before they are decided, after a batch that repeated something or was not as
/// presumed. The next batches are likely to be similar.
const READ_FIRST: u32 = 16;

/// Source of the facts that a write depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Presumed facts; the write requires that they hold.
    Presumed,
    /// Facts that were read.
    Read,
}

/// Conditions of a write, and the time that it records.
#[derive(Debug)]
pub struct Fence<'a> {
    /// Catalogs that must be current.
    pub catalogs: &'a CatalogVersions,
    /// Source of the facts that the batch was decided from.
    pub basis: Basis,
    /// Time of the write, milliseconds since 1970-01-01T00:00:00Z.
    pub now_ms: i64,
}

/// Batch of one kind: the facts that it needs, and how they are read and its writes made.
#[async_trait]
pub(in crate::storage) trait Work: Sync {
    /// Facts that the rules need besides the catalog.
    type Facts: Send + Sync;
    /// Writes that the rules decide on.
    type Writes: Send + Sync;

    /// Returns the catalogs that the batch is decided from.
    fn catalogs(&self) -> &CatalogVersions;

    /// Returns the presumed facts; `None` if this kind of batch is not decided from presumed facts.
    fn presumed(&self, engine: &dyn Engine) -> Option<Self::Facts>;

    /// Returns true if the batch repeats something that is recorded.
    fn repeats_something(facts: &Self::Facts) -> bool;

    /// Returns true if there is nothing to write.
    fn writes_nothing(writes: &Self::Writes) -> bool;

    /// Returns the promotions that are earned for the first time; `None` if there are none.
    fn earned_first(writes: &Self::Writes) -> Option<&BTreeSet<(OrgId, ObjectId)>>;

    /// Returns true if the batch is read and written within one transaction.
    fn needs_transaction(engine: &dyn Engine) -> bool;

    /// Reads the facts. Returns `None` if the catalogs are no longer those of the decision.
    async fn read(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
    ) -> Result<Option<Self::Facts>, StorageError>;

    /// Writes the batch. Returns false, with nothing written, if the fence does not hold.
    async fn write(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
        decided: &Decided<'_, Self>,
    ) -> Result<bool, StorageError>;
}

/// Batch with its decision.
pub(in crate::storage) struct Decided<'a, W: Work + ?Sized> {
    pub facts: &'a W::Facts,
    pub writes: &'a W::Writes,
    pub fence: &'a Fence<'a>,
}

/// Outcome of a batch.
#[derive(Debug)]
pub enum Ran<T> {
    /// The batch is decided, and its writes are durable.
    Done(T),
    /// Nothing is written: a catalog or an audience is no longer the one that the batch was decided from.
    CatalogChanged,
    /// Nothing is written: promotions of these organizations are earned for the first time, which changes their
    /// catalogs.
    FirstEarning(BTreeSet<OrgId>),
}

/// Step in which a batch failed. Only after a failed read does the answer say that a customer could not be looked up.
#[derive(Debug)]
pub enum BatchError {
    /// Failure of the read.
    Load(StorageError),
    /// Failure of the write.
    Save(StorageError),
}

impl BatchError {
    /// Returns the error of the database.
    pub fn source(&self) -> &StorageError {
        let (Self::Load(source) | Self::Save(source)) = self;
        source
    }
}

/// Limit of a statement's wait for a lock that another transaction holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The short wait, and a batch whose catalog changed is not run again, as other batches wait for this one.
    Least,
    /// The short wait, as other batches wait for this one.
    Short,
    /// The configured wait.
    Full,
}

/// Limits the wait for a lock with [`Patience::Least`] and [`Patience::Short`].
const SHORT_WAIT: Duration = Duration::from_millis(250);

/// Session of the writer, which keeps its connection from one batch to the next.
#[derive(Debug)]
pub struct Session {
    store: Store,
    kept: Option<Connection>,
    patience: Patience,
    /// Number of coming batches that are read before they are decided.
    read_first: u32,
    /// Transaction of the next batch, which holds its catalogs.
    held: Option<HeldCatalogs>,
}

/// Transaction that holds catalogs.
#[derive(Debug)]
struct HeldCatalogs {
    transaction: Transaction,
    /// Organizations whose catalogs are held exclusively.
    exclusive: BTreeSet<OrgId>,
}

/// Connection of a batch, within a transaction or outside one. Dropping it rolls back what is open.
enum Attempt {
    Statements(Connection),
    Transaction(Transaction),
}

impl Attempt {
    fn connection(&mut self) -> &mut Connection {
        match self {
            Self::Statements(connection) => connection,
            Self::Transaction(transaction) => &mut transaction.connection,
        }
    }
}

impl Session {
    /// Creates a session without a connection.
    pub fn new(store: Store) -> Self {
        Self { store, kept: None, patience: Patience::Full, read_first: 0, held: None }
    }

    /// Sets how long the statements of the next batches wait for locks.
    pub fn set_patience(&mut self, patience: Patience) {
        if self.patience != patience {
            self.patience = patience;
            // The kept connection has another time-out.
            if let Some(connection) = self.kept.take() {
                connection.release();
            }
        }
    }

    /// Waits until no change of the organization's catalog is in progress.
    ///
    /// # Errors
    /// Returns errors of the database; [`StorageError::Busy`] when the wait takes too long.
    pub async fn wait_for(&mut self, org_id: OrgId) -> Result<(), StorageError> {
        let connection = self.connection().await?;
        catalogs::hold(&self.store.on(&connection), &[(org_id, CatalogVersion(0))].into()).await?;
        self.kept = Some(connection);
        Ok(())
    }

    /// Holds the catalogs of organizations for the next batch, those of `exclusive` exclusively: no other transaction
    /// changes them until that batch is run. Returns the result of `read`, which runs while they are held. A dropped
    /// call holds nothing.
    ///
    /// # Errors
    /// Returns errors of the database; [`StorageError::Busy`] when the wait takes too long.
    pub async fn hold<T>(
        &mut self,
        orgs: &BTreeSet<OrgId>,
        exclusive: &BTreeSet<OrgId>,
        read: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let transaction = self.transaction().await?;
        // The locks are taken in one pass in ascending order, so that two batches never wait for each other.
        for org_id in orgs {
            if exclusive.contains(org_id) {
                transaction.lock_catalog(*org_id).await?;
            } else {
                // The catalog is held whatever its version is.
                let any = [(*org_id, CatalogVersion(0))].into();
                catalogs::hold(&transaction.on(), &any).await?;
            }
        }
        let found = read.await?;
        self.held = Some(HeldCatalogs { transaction, exclusive: exclusive.clone() });
        Ok(found)
    }

    /// Runs a batch of earnings; see `run`.
    ///
    /// # Errors
    /// Returns the errors of `run`.
    pub async fn earn<T: Send>(
        &mut self,
        wanted: &EarningsWanted,
        now_ms: i64,
        decide: impl FnMut(&mut Facts) -> (T, Grants) + Send,
    ) -> Result<Ran<T>, BatchError> {
        self.run(wanted, now_ms, decide).await.inspect_err(|error| self.store.note_failure(error.source()))
    }

    /// Runs a batch of revocations and redemptions; see `run`.
    ///
    /// # Errors
    /// Returns the errors of `run`.
    pub async fn change<T: Send>(
        &mut self,
        wanted: &ChangesWanted,
        now_ms: i64,
        mut decide: impl FnMut(&mut ChangeFacts) -> (T, Changes) + Send,
    ) -> Result<Ran<T>, BatchError> {
        let decide = |read: &mut ReadChanges| decide(&mut read.facts);
        self.run(wanted, now_ms, decide).await.inspect_err(|error| self.store.note_failure(error.source()))
    }

    /// Decides a batch and makes its writes durable, at `now_ms` (milliseconds since 1970-01-01T00:00:00Z).
    ///
    /// `decide` receives the facts and may be called several times; the result of the last call counts.
    ///
    /// # Errors
    /// Returns errors of the database; then nothing is written, unless the connection broke during the commit. Returns
    /// [`StorageError::Conflict`] when something changed between the read and the write.
    async fn run<W: Work, T: Send>(
        &mut self,
        wanted: &W,
        now_ms: i64,
        mut decide: impl FnMut(&mut W::Facts) -> (T, W::Writes) + Send,
    ) -> Result<Ran<T>, BatchError> {
        let engine = self.store.engine;
        let held = self.held.take();
        if self.read_first == 0
            && held.is_none()
            && let Some(mut facts) = wanted.presumed(engine)
        {
            let (outcome, writes) = decide(&mut facts);
            if !W::writes_nothing(&writes) && W::earned_first(&writes).is_none() {
                // An error ends this batch here, so the next batches are read first unless the write succeeds.
                self.read_first = READ_FIRST;
                let fence = Fence { catalogs: wanted.catalogs(), basis: Basis::Presumed, now_ms };
                if self.write_as_presumed(wanted, &Decided { facts: &facts, writes: &writes, fence: &fence }).await? {
                    self.store.note_write();
                    self.read_first = 0;
                    return Ok(Ran::Done(outcome));
                }
            }
        }
        let (mut attempt, exclusive) = match held {
            Some(HeldCatalogs { transaction, exclusive }) => (Attempt::Transaction(transaction), exclusive),
            None => match self.begin::<W>(wanted.catalogs()).await.map_err(BatchError::Load)? {
                Some(attempt) => (attempt, BTreeSet::new()),
                None => return Ok(Ran::CatalogChanged),
            },
        };
        let facts = wanted.read(engine, attempt.connection()).await.map_err(BatchError::Load)?;
        let Some(mut facts) = facts else {
            self.end(attempt, "ROLLBACK").await.map_err(BatchError::Load)?;
            return Ok(Ran::CatalogChanged);
        };
        let repeats = W::repeats_something(&facts);
        self.read_first = if repeats { READ_FIRST } else { self.read_first.saturating_sub(1) };
        let (outcome, writes) = decide(&mut facts);
        if W::writes_nothing(&writes) {
            // A batch that only repeats is already durable.
            self.end(attempt, "ROLLBACK").await.map_err(BatchError::Load)?;
            return Ok(Ran::Done(outcome));
        }
        let first: BTreeSet<_> = W::earned_first(&writes).into_iter().flatten().map(|(org_id, _)| *org_id).collect();
        if !engine.has_one_writer() && !first.is_subset(&exclusive) {
            // Marking the promotion is a change of the catalog, which must lock it exclusively before anything else.
            self.end(attempt, "ROLLBACK").await.map_err(BatchError::Load)?;
            return Ok(Ran::FirstEarning(first));
        }
        let fence = Fence { catalogs: wanted.catalogs(), basis: Basis::Read, now_ms };
        let decided = Decided { facts: &facts, writes: &writes, fence: &fence };
        if !self.write(wanted, attempt, &decided).await.map_err(BatchError::Save)? {
            return Ok(Ran::CatalogChanged);
        }
        self.store.note_write();
        Ok(Ran::Done(outcome))
    }

    /// Begins a batch. Returns `None` if the catalogs are no longer those of the decision.
    async fn begin<W: Work>(&mut self, wanted: &CatalogVersions) -> Result<Option<Attempt>, StorageError> {
        let engine = self.store.engine;
        if !W::needs_transaction(engine) {
            return Ok(Some(Attempt::Statements(self.connection().await?)));
        }
        let transaction = self.transaction().await?;
        if catalogs::hold(&transaction.on(), wanted).await? {
            return Ok(Some(Attempt::Transaction(transaction)));
        }
        self.end(Attempt::Transaction(transaction), "ROLLBACK").await?;
        Ok(None)
    }

    /// Writes a batch that was decided from presumed facts. Returns false if the batch must be read.
    async fn write_as_presumed<W: Work>(&mut self, wanted: &W, decided: &Decided<'_, W>) -> Result<bool, BatchError> {
        let engine = self.store.engine;
        let attempt = self.begin::<W>(wanted.catalogs()).await.map_err(BatchError::Load)?;
        // A changed catalog is detected again when the batch is read.
        let Some(mut attempt) = attempt else { return Ok(false) };
        let written = wanted.write(engine, attempt.connection(), decided).await;
        let (end, written) = match written {
            Ok(true) => ("COMMIT", true),
            Ok(false) => ("ROLLBACK", false),
            Err(error @ StorageError::Disconnected(_)) => return Err(BatchError::Save(error)),
            Err(error @ StorageError::Busy(_)) => {
                let _ = self.end(attempt, "ROLLBACK").await;
                return Err(BatchError::Save(error));
            }
            // A conflict is settled by reading. Any other error comes again then, and shows in which step it belongs.
            Err(error) => {
                tracing::debug!(?error, "the batch was not written as presumed");
                // A connection on which the database has ended the transaction is closed.
                return self.end(attempt, "ROLLBACK").await.map(|()| false).map_err(|_| BatchError::Save(error));
            }
        };
        self.end(attempt, end).await.map_err(BatchError::Save)?;
        Ok(written)
    }

    /// Writes a batch that was decided from facts that were read. Returns false if a catalog is no longer that of the
    /// decision.
    async fn write<W: Work>(
        &mut self,
        wanted: &W,
        mut attempt: Attempt,
        decided: &Decided<'_, W>,
    ) -> Result<bool, StorageError> {
        let engine = self.store.engine;
        let mut current = wanted.catalogs().clone();
        if let (Attempt::Transaction(transaction), Some(first)) = (&mut attempt, W::earned_first(decided.writes)) {
            for (org_id, promotion_id) in first {
                transaction.mark_earned(*org_id, *promotion_id).await?;
            }
            let orgs: BTreeSet<_> = first.iter().map(|(org_id, _)| *org_id).collect();
            for org_id in &orgs {
                transaction.raise_catalog_version(*org_id).await?;
            }
            current.extend(catalogs::versions(&transaction.on(), &orgs).await?);
        }
        let fence = Fence { catalogs: &current, ..*decided.fence };
        let written = wanted.write(engine, attempt.connection(), &Decided { fence: &fence, ..*decided }).await;
        match written {
            Ok(written) => self.end(attempt, if written { "COMMIT" } else { "ROLLBACK" }).await.map(|()| written),
            Err(error @ (StorageError::Conflict(_) | StorageError::Busy(_))) => {
                // The connection is kept if the rollback succeeds, and closed otherwise.
                let _ = self.end(attempt, "ROLLBACK").await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends a batch, and keeps its connection for the next one.
    async fn end(&mut self, attempt: Attempt, sql: &str) -> Result<(), StorageError> {
        let connection = match attempt {
            Attempt::Statements(connection) => connection,
            Attempt::Transaction(transaction) => transaction.end(sql).await?,
        };
        self.kept = Some(connection);
        Ok(())
    }

    /// Begins a transaction on the connection of the session.
    async fn transaction(&mut self) -> Result<Transaction, StorageError> {
        let write_permit = self.store.write_permit().await?;
        Transaction::begin(self.connection().await?, self.store.engine, write_permit).await
    }

    /// Returns the kept connection, or else a new one.
    async fn connection(&mut self) -> Result<Connection, StorageError> {
        if let Some(kept) = self.kept.take() {
            return Ok(kept);
        }
        let connection = self.store.writers.acquire().await?;
        let full = self.store.statement_timeout.map(lock_timeout);
        let wait = match self.patience {
            Patience::Least | Patience::Short => full.map_or(SHORT_WAIT, |full| full.min(SHORT_WAIT)),
            Patience::Full => full.unwrap_or_default(),
        };
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        connection.limit_lock_waits(self.store.engine, ms).await?;
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::schema_tests;

    #[tokio::test]
    async fn whoever_gives_up_while_catalogs_are_read_holds_nothing() {
        let (_directory, store) = schema_tests::store().await;
        let mut session = Session::new(store.clone());
        let (orgs, none) = ([OrgId(1)].into(), BTreeSet::new());
        let reading = session.hold(&orgs, &none, std::future::pending::<Result<(), StorageError>>());
        assert!(tokio::time::timeout(Duration::from_millis(200), reading).await.is_err());
        assert!(session.held.is_none());
        // There is one writer: the next one would wait for a held transaction.
        let next = tokio::time::timeout(Duration::from_secs(5), store.begin()).await;
        next.expect("nothing is held").unwrap().rollback().await.unwrap();
    }
}
