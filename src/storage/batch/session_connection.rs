//! The connection of a session, which it keeps from one batch to the next.

use std::time::Duration;

use crate::storage::connection::Connection;
use crate::storage::pools::lock_timeout;
use crate::storage::transaction::Transaction;
use crate::storage::{StorageError, Store};

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

/// Connection of a session, and how long its statements wait for locks.
#[derive(Debug)]
pub(super) struct SessionConnection {
    store: Store,
    kept: Option<Connection>,
    patience: Patience,
}

/// Connection of a batch, within a transaction or outside one. Dropping it rolls back what is open.
pub(super) enum Attempt {
    Statements(Connection),
    Transaction(Transaction),
}

impl Attempt {
    /// Returns the connection.
    pub fn connection(&mut self) -> &mut Connection {
        match self {
            Self::Statements(connection) => connection,
            Self::Transaction(transaction) => &mut transaction.connection,
        }
    }
}

impl SessionConnection {
    /// Creates the state of a session that has no connection yet.
    pub fn new(store: Store) -> Self {
        Self { store, kept: None, patience: Patience::Full }
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

    /// Ends a batch, and keeps its connection for the next one.
    pub async fn end(&mut self, attempt: Attempt, sql: &str) -> Result<(), StorageError> {
        let connection = match attempt {
            Attempt::Statements(connection) => connection,
            Attempt::Transaction(transaction) => transaction.end(sql).await?,
        };
        self.kept = Some(connection);
        Ok(())
    }

    /// Keeps a connection for the next batch.
    pub fn keep(&mut self, connection: Connection) {
        self.kept = Some(connection);
    }

    /// Begins a transaction on the connection of the session.
    pub async fn transaction(&mut self) -> Result<Transaction, StorageError> {
        let write_permit = self.store.write_permit().await?;
        Transaction::begin(self.take().await?, self.store.engine, write_permit).await
    }

    /// Returns the kept connection, or else a new one.
    pub async fn take(&mut self) -> Result<Connection, StorageError> {
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
