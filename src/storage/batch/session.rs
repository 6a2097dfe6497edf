//! The optimistic protocol: how a batch is decided and written, exactly, without locking what it reads.
//!
//! A batch is decided from the facts as they mostly are, and written provided that they are so. If they are not, it is
//! read, decided again and written. Nothing that is read is locked; the writes themselves tell that something has changed
//! since: a row that somebody else wrote meets a unique key, a count that somebody else raised meets the check of its cap,
//! a row that somebody else changed no longer has the status that the write requires, and a catalog that was changed no
//! longer has the version that the write requires. Then nothing is written.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::catalogs::CatalogVersions;
use super::changes::{Changes, ChangesWanted, ReadChanges};
use super::earnings::{Grants, Wanted};
use crate::earning::change::ChangeFacts;
use crate::earning::{CatalogVersion, Facts, ObjectId, OrgId};
use crate::storage::connection::{Connection, Transaction};
use crate::storage::engine::Engine;
use crate::storage::pools::lock_timeout;
use crate::storage::{StorageError, Store};

/// Number of batches that are read before they are decided, after one that repeated something or was not as presumed: the
/// next ones may be alike.
const READ_FIRST: u32 = 16;

/// The facts that a write depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// As they mostly are; the write requires that they are so.
    Presumed,
    /// As they were read.
    Read,
}

/// What a write requires and records beside its rows.
#[derive(Debug)]
pub struct Fence<'a> {
    /// The catalogs that must be current.
    pub catalogs: &'a CatalogVersions,
    /// The facts that the batch was decided from.
    pub basis: Basis,
    /// Time of the write, milliseconds since 1970-01-01T00:00:00Z.
    pub now_ms: i64,
}

/// What a batch of one kind needs to know, and how it is read and written.
#[async_trait]
pub(in crate::storage) trait Work: Sync {
    /// Everything the rules need besides the catalog.
    type Facts: Send + Sync;
    /// Everything that the rules have written.
    type Writes: Send + Sync;

    /// Returns the catalogs that the batch is decided from.
    fn catalogs(&self) -> &CatalogVersions;

    /// Returns the facts as they mostly are; `None` where a batch is not worth deciding from them.
    fn presumed(&self, engine: &dyn Engine) -> Option<Self::Facts>;

    /// Returns true if the batch repeats something that is recorded.
    fn repeats_something(facts: &Self::Facts) -> bool;

    /// Returns true if there is nothing to write.
    fn writes_nothing(writes: &Self::Writes) -> bool;

    /// Returns the promotions of which something is earned for the first time, if there are any.
    fn earned_first(writes: &Self::Writes) -> Option<&BTreeSet<(OrgId, ObjectId)>>;

    /// Returns true where the batch is read and written within one transaction.
    fn needs_transaction(engine: &dyn Engine) -> bool;

    /// Reads the facts; `None` if the catalogs are no longer those of the decision.
    async fn read(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
    ) -> Result<Option<Self::Facts>, StorageError>;

    /// Writes. Returns false, with nothing written, if the fence does not hold.
    async fn write(
        &self,
        engine: &'static dyn Engine,
        connection: &mut Connection,
        decided: &Decided<'_, Self>,
    ) -> Result<bool, StorageError>;
}

/// A decided batch.
pub(in crate::storage) struct Decided<'a, W: Work + ?Sized> {
    pub facts: &'a W::Facts,
    pub writes: &'a W::Writes,
    pub fence: &'a Fence<'a>,
}

/// What became of a batch.
#[derive(Debug)]
pub enum Ran<T> {
    /// It is decided, and what it writes is durable.
    Done(T),
    /// Nothing is written: a catalog, or an audience, is no longer the one that it was decided from.
    CatalogChanged,
    /// Nothing is written: something is earned for the first time of promotions of these organizations, whose catalogs it
    /// changes.
    FirstEarning(BTreeSet<OrgId>),
}

/// The step in which a batch failed: it tells what may be said of the customers in it.
#[derive(Debug)]
pub enum BatchError {
    /// Reading.
    Load(StorageError),
    /// Writing.
    Save(StorageError),
}

impl BatchError {
    /// Returns the error of the database.
    pub fn source(&self) -> &StorageError {
        let (Self::Load(source) | Self::Save(source)) = self;
        source
    }
}

/// How long a statement waits for a lock that another transaction holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not longer than others, who wait for this batch, can put up with; and a batch whose catalog moved is not run again.
    Least,
    /// Not longer than others can put up with.
    Short,
    /// As long as is configured.
    Full,
}

/// The wait for a lock with [`Patience::Short`].
const SHORT_WAIT: Duration = Duration::from_millis(250);

/// Keeps a connection for one batch after the other.
#[derive(Debug)]
pub struct Session {
    store: Store,
    kept: Option<Connection>,
    patience: Patience,
    /// Number of batches to come that are read before they are decided.
    read_first: u32,
    /// The transaction of the next batch, which holds its catalogs.
    held: Option<Held>,
}

/// A transaction that holds catalogs.
#[derive(Debug)]
struct Held {
    transaction: Transaction,
    /// The organizations whose catalogs it holds exclusively.
    exclusive: BTreeSet<OrgId>,
}

/// The connection of a batch, within a transaction or by itself. Dropped, it leaves nothing behind.
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
    /// Opens a session that has no connection yet.
    pub fn new(store: Store) -> Self {
        Self { store, kept: None, patience: Patience::Full, read_first: 0, held: None }
    }

    /// Sets how long the statements of the next batches wait for locks.
    pub fn set_patience(&mut self, patience: Patience) {
        if self.patience != patience {
            self.patience = patience;
            // Its time-out is another one.
            if let Some(connection) = self.kept.take() {
                connection.release();
            }
        }
    }

    /// Waits until no change of the organization's catalog is under way.
    ///
    /// # Errors
    /// Those of the database; [`StorageError::Busy`] when the wait takes too long.
    pub async fn wait_for(&mut self, org_id: OrgId) -> Result<(), StorageError> {
        let connection = self.connection().await?;
        self.store.engine.hold_catalogs(&connection, &[(org_id, CatalogVersion(0))].into()).await?;
        self.kept = Some(connection);
        Ok(())
    }

    /// Holds the catalogs of organizations for the next batch, those of `exclusive` exclusively: from here on nobody changes
    /// them until it is run. Returns what `read` finds meanwhile. Given up before that, it holds nothing.
    ///
    /// # Errors
    /// Those of the database; [`StorageError::Busy`] when the wait takes too long.
    pub async fn hold<T>(
        &mut self,
        orgs: &BTreeSet<OrgId>,
        exclusive: &BTreeSet<OrgId>,
        read: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let transaction = self.transaction().await?;
        // One pass in ascending order, so that two batches never wait for one another.
        for org_id in orgs {
            if exclusive.contains(org_id) {
                transaction.lock_catalog(*org_id).await?;
            } else {
                // Held whatever its version is.
                let any = [(*org_id, CatalogVersion(0))].into();
                self.store.engine.hold_catalogs(&transaction.connection, &any).await?;
            }
        }
        let found = read.await?;
        self.held = Some(Held { transaction, exclusive: exclusive.clone() });
        Ok(found)
    }

    /// Runs a batch of earnings; see `run`.
    ///
    /// # Errors
    /// As of `run`.
    pub async fn earn<T: Send>(
        &mut self,
        wanted: &Wanted,
        now_ms: i64,
        decide: impl FnMut(&mut Facts) -> (T, Grants) + Send,
    ) -> Result<Ran<T>, BatchError> {
        self.run(wanted, now_ms, decide).await.inspect_err(|error| self.store.note_failure(error.source()))
    }

    /// Runs a batch of revocations and redemptions; see `run`.
    ///
    /// # Errors
    /// As of `run`.
    pub async fn change<T: Send>(
        &mut self,
        wanted: &ChangesWanted,
        now_ms: i64,
        mut decide: impl FnMut(&mut ChangeFacts) -> (T, Changes) + Send,
    ) -> Result<Ran<T>, BatchError> {
        let decide = |read: &mut ReadChanges| decide(&mut read.facts);
        self.run(wanted, now_ms, decide).await.inspect_err(|error| self.store.note_failure(error.source()))
    }

    /// Decides a batch and makes durable what it writes, at `now_ms` (milliseconds since 1970-01-01T00:00:00Z).
    ///
    /// `decide` gets the facts and may be called several times; what the last call returned counts.
    ///
    /// # Errors
    /// Those of the database; then nothing is written, unless the connection broke while it committed.
    /// [`StorageError::Conflict`] when something was changed between reading and writing.
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
                // Unless it is written: an error ends this batch here.
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
            Some(Held { transaction, exclusive }) => (Attempt::Transaction(transaction), exclusive),
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
            // What is only repeated is durable already.
            self.end(attempt, "ROLLBACK").await.map_err(BatchError::Load)?;
            return Ok(Ran::Done(outcome));
        }
        let first: BTreeSet<_> = W::earned_first(&writes).into_iter().flatten().map(|(org_id, _)| *org_id).collect();
        if !engine.has_one_writer() && !first.is_subset(&exclusive) {
            // The promotion is to be marked: a change of the catalog, which takes it exclusively, first of all.
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

    /// Begins a batch; `None` if the catalogs are no longer those of the decision.
    async fn begin<W: Work>(&mut self, catalogs: &CatalogVersions) -> Result<Option<Attempt>, StorageError> {
        let engine = self.store.engine;
        if !W::needs_transaction(engine) {
            return Ok(Some(Attempt::Statements(self.connection().await?)));
        }
        let mut attempt = Attempt::Transaction(self.transaction().await?);
        if engine.hold_catalogs(attempt.connection(), catalogs).await? {
            return Ok(Some(attempt));
        }
        self.end(attempt, "ROLLBACK").await?;
        Ok(None)
    }

    /// Writes a batch that was decided from what was presumed. Returns false if it is to be read.
    async fn write_as_presumed<W: Work>(&mut self, wanted: &W, decided: &Decided<'_, W>) -> Result<bool, BatchError> {
        let engine = self.store.engine;
        let attempt = self.begin::<W>(wanted.catalogs()).await.map_err(BatchError::Load)?;
        // A catalog that changed shows again when the batch is read.
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
            // A conflict is settled by reading. Of any other error it shows then in which step it comes.
            Err(error) => {
                tracing::debug!(?error, "the batch was not written as presumed");
                // Where the database ended the transaction by itself, its connection is closed.
                return self.end(attempt, "ROLLBACK").await.map(|()| false).map_err(|_| BatchError::Save(error));
            }
        };
        self.end(attempt, end).await.map_err(BatchError::Save)?;
        Ok(written)
    }

    /// Writes a batch that was decided from what was read. Returns false if a catalog is no longer that of the decision.
    async fn write<W: Work>(
        &mut self,
        wanted: &W,
        mut attempt: Attempt,
        decided: &Decided<'_, W>,
    ) -> Result<bool, StorageError> {
        let engine = self.store.engine;
        let mut catalogs = wanted.catalogs().clone();
        if let (Attempt::Transaction(transaction), Some(first)) = (&mut attempt, W::earned_first(decided.writes)) {
            for (org_id, promotion_id) in first {
                transaction.mark_earned(*org_id, *promotion_id).await?;
            }
            let orgs: BTreeSet<_> = first.iter().map(|(org_id, _)| *org_id).collect();
            for org_id in &orgs {
                transaction.raise_catalog_version(*org_id).await?;
            }
            catalogs.extend(super::catalogs::versions(&transaction.on(), &orgs).await?);
        }
        let fence = Fence { catalogs: &catalogs, ..*decided.fence };
        let written = wanted.write(engine, attempt.connection(), &Decided { fence: &fence, ..*decided }).await;
        match written {
            Ok(written) => self.end(attempt, if written { "COMMIT" } else { "ROLLBACK" }).await.map(|()| written),
            Err(error @ (StorageError::Conflict(_) | StorageError::Busy(_))) => {
                // The connection is as good as before; where it is not, it is closed.
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
        let turn = self.store.turn().await?;
        Transaction::begin(self.connection().await?, self.store.engine, turn).await
    }

    /// Returns the connection that was kept, else another one.
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
        self.store.engine.limit_lock_waits(&connection, ms).await?;
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
        // There is one writer: it would wait for what is held.
        let next = tokio::time::timeout(Duration::from_secs(5), store.begin()).await;
        next.expect("nothing is held").unwrap().rollback().await.unwrap();
    }
}
