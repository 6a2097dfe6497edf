//! The optimistic protocol: how a batch is decided and written exactly without locking what it reads.
//!
//! A batch is first decided from presumed facts, and written on the condition that they hold. If they do not, it is
//! read, decided again and written. Nothing that is read is locked. The writes themselves detect a change since the
//! read: a row that another transaction wrote violates a unique key, a count that another one raised violates the check
//! of its cap, a row that another one changed no longer has the required status, and a changed catalog no longer has
//! the required version. Then nothing is written.

use std::collections::BTreeSet;

use super::catalogs::{self, CatalogVersions};
use super::changes::{Changes, ChangesWanted, ReadChanges};
use super::earnings::{EarningsWanted, Grants};
use super::fence::{Basis, Fence};
use super::held_catalogs::{HeldCatalogs, of_any_version};
pub use super::outcome::{BatchError, Ran};
pub use super::session_connection::Patience;
use super::session_connection::{Attempt, SessionConnection};
use super::work::{Decided, Work};
use crate::earning::change::ChangeFacts;
use crate::earning::{Facts, OrgId, Timestamp};
use crate::storage::{StorageError, Store};

/// Number of batches that are read before they are decided, after a batch that repeated something or was not as
/// presumed. The next batches are likely to be similar.
const READ_FIRST: u32 = 16;

/// Session of the writer.
#[derive(Debug)]
pub struct Session {
    store: Store,
    connection: SessionConnection,
    /// Number of coming batches that are read before they are decided.
    read_first: u32,
    /// Transaction of the next batch, which holds its catalogs.
    held: Option<HeldCatalogs>,
}

impl Session {
    /// Creates a session without a connection.
    pub fn new(store: Store) -> Self {
        Self { connection: SessionConnection::new(store.clone()), store, read_first: 0, held: None }
    }

    /// Sets how long the statements of the next batches wait for locks.
    pub fn set_patience(&mut self, patience: Patience) {
        self.connection.set_patience(patience);
    }

    /// Waits until no change of the organization's catalog is in progress.
    ///
    /// # Errors
    /// Returns errors of the database; [`StorageError::Busy`] when the wait takes too long.
    pub async fn wait_for(&mut self, org_id: OrgId) -> Result<(), StorageError> {
        let connection = self.connection.take().await?;
        catalogs::hold(&self.store.on(&connection), &of_any_version(org_id)).await?;
        self.connection.keep(connection);
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
        let held = HeldCatalogs::lock(self.connection.transaction().await?, orgs, exclusive).await?;
        let found = read.await?;
        self.held = Some(held);
        Ok(found)
    }

    /// Runs a batch of earnings; see `run`.
    ///
    /// # Errors
    /// Returns the errors of `run`.
    pub async fn earn<T: Send>(
        &mut self,
        wanted: &EarningsWanted,
        now: Timestamp,
        decide: impl FnMut(&mut Facts) -> (T, Grants) + Send,
    ) -> Result<Ran<T>, BatchError> {
        self.run(wanted, now, decide).await.inspect_err(|error| self.store.note_failure(error.source()))
    }

    /// Runs a batch of revocations and redemptions; see `run`.
    ///
    /// # Errors
    /// Returns the errors of `run`.
    pub async fn change<T: Send>(
        &mut self,
        wanted: &ChangesWanted,
        now: Timestamp,
        mut decide: impl FnMut(&mut ChangeFacts) -> (T, Changes) + Send,
    ) -> Result<Ran<T>, BatchError> {
        let decide = |read: &mut ReadChanges| decide(&mut read.facts);
        self.run(wanted, now, decide).await.inspect_err(|error| self.store.note_failure(error.source()))
    }

    /// Decides a batch and makes its writes durable, at `now`.
    ///
    /// `decide` receives the facts and may be called several times; the result of the last call counts.
    ///
    /// # Errors
    /// Returns errors of the database; then nothing is written, unless the connection broke during the commit. Returns
    /// [`StorageError::Conflict`] when something changed between the read and the write.
    async fn run<W: Work, T: Send>(
        &mut self,
        wanted: &W,
        now: Timestamp,
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
                let fence = Fence { catalogs: wanted.catalogs(), basis: Basis::Presumed, now };
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
            self.connection.end(attempt, "ROLLBACK").await.map_err(BatchError::Load)?;
            return Ok(Ran::CatalogChanged);
        };
        let repeats = W::repeats_something(&facts);
        self.read_first = if repeats { READ_FIRST } else { self.read_first.saturating_sub(1) };
        let (outcome, writes) = decide(&mut facts);
        if W::writes_nothing(&writes) {
            // A batch that only repeats is already durable.
            self.connection.end(attempt, "ROLLBACK").await.map_err(BatchError::Load)?;
            return Ok(Ran::Done(outcome));
        }
        let first: BTreeSet<_> = W::earned_first(&writes).into_iter().flatten().map(|(org_id, _)| *org_id).collect();
        if !engine.has_one_writer() && !first.is_subset(&exclusive) {
            // Marking the promotion is a change of the catalog, which must lock it exclusively before anything else.
            self.connection.end(attempt, "ROLLBACK").await.map_err(BatchError::Load)?;
            return Ok(Ran::FirstEarning(first));
        }
        let fence = Fence { catalogs: wanted.catalogs(), basis: Basis::Read, now };
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
            return Ok(Some(Attempt::Statements(self.connection.take().await?)));
        }
        let transaction = self.connection.transaction().await?;
        if catalogs::hold(&transaction.on(), wanted).await? {
            return Ok(Some(Attempt::Transaction(transaction)));
        }
        self.connection.end(Attempt::Transaction(transaction), "ROLLBACK").await?;
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
                let _ = self.connection.end(attempt, "ROLLBACK").await;
                return Err(BatchError::Save(error));
            }
            // A conflict is settled by reading. Any other error comes again then, and shows in which step it belongs.
            Err(error) => {
                tracing::debug!(?error, "the batch was not written as presumed");
                // A connection on which the database has ended the transaction is closed.
                return self
                    .connection
                    .end(attempt, "ROLLBACK")
                    .await
                    .map(|()| false)
                    .map_err(|_| BatchError::Save(error));
            }
        };
        self.connection.end(attempt, end).await.map_err(BatchError::Save)?;
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
            current.extend(transaction.mark_first_earnings(first, decided.fence.now).await?);
        }
        let fence = Fence { catalogs: &current, ..*decided.fence };
        let written = wanted.write(engine, attempt.connection(), &Decided { fence: &fence, ..*decided }).await;
        match written {
            Ok(written) => {
                self.connection.end(attempt, if written { "COMMIT" } else { "ROLLBACK" }).await.map(|()| written)
            }
            Err(error @ (StorageError::Conflict(_) | StorageError::Busy(_))) => {
                // The connection is kept if the rollback succeeds, and closed otherwise.
                let _ = self.connection.end(attempt, "ROLLBACK").await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
