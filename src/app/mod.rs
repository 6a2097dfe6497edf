//! The use cases: load the facts, ask the rules, save what they say. Holds no rule itself.
//!
//! Called by `transport` and the command line. Knows neither proto nor HTTP and gRPC, nor the database's library.

pub mod access;
pub mod attempts;
mod batch_runner;
pub mod bulk_earn;
pub mod catalogue;
pub mod catalogues;
pub mod changes;
pub mod clients;
pub mod clock;
pub mod credentials;
pub mod earn_ids;
pub mod error;
pub mod fair_gate;
pub mod import;
pub mod issuers;
mod job;
pub mod jws;
mod lane;
mod queue;
pub mod reachability;
pub mod secret;
pub mod tokens;
pub mod verify;
mod waiting_lane;
pub mod wallet;
pub mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use clock::Clock;
pub use error::WalletError;

use crate::storage::{StorageError, Store};
use bulk_earn::BatchEarner;
use catalogues::Catalogues;
use changes::BatchChanger;
use credentials::Credentials;
use reachability::Reachability;
use tokens::Tokens;
use writer::{Lanes, Writer, WriterLimits};

/// How long the database may take to answer a probe before it counts as lost.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything the doors call.
#[derive(Debug, Clone)]
pub struct App {
    clock: Clock,
    credentials: Arc<Credentials>,
    catalogues: Arc<Catalogues>,
    reachability: Reachability,
    store: Store,
    /// How long a call that is not the writer's may take in the database.
    timeout: Duration,
    earner: Writer<BatchEarner>,
    changer: Writer<BatchChanger>,
}

/// The task that writes.
pub struct WriterTask {
    earnings: Lanes<BatchEarner>,
    changes: Lanes<BatchChanger>,
}

impl WriterTask {
    /// Writes until every [`App`] is dropped and what they accepted is answered.
    pub async fn run(self) {
        let (earned, changed) = tokio::join!(self.earnings.run(), self.changes.run());
        let (transactions, requests) = (earned.0 + changed.0, earned.1 + changed.1);
        tracing::info!(transactions, requests, "writer stopped");
    }
}

impl App {
    /// The use cases on `store`, and the task that writes: it runs until every [`App`] is dropped.
    pub fn new(store: Store, clock: Clock, limits: WriterLimits, tokens: Tokens) -> (Self, WriterTask) {
        let reachability = Reachability::new();
        let catalogues = Arc::new(Catalogues::new(store.clone()));
        let (earner, earning_lanes) = Writer::new(limits, &reachability, || {
            BatchEarner::new(store.clone(), clock.clone(), Arc::clone(&catalogues))
        });
        let (changer, change_lanes) = Writer::new(limits, &reachability, || {
            BatchChanger::new(store.clone(), clock.clone(), Arc::clone(&catalogues))
        });
        let credentials = Arc::new(Credentials::new(store.clone(), clock.clone(), reachability.clone(), tokens));
        let task = WriterTask { earnings: earning_lanes, changes: change_lanes };
        let timeout = limits.transaction_timeout;
        (Self { clock, credentials, catalogues, reachability, store, timeout, earner, changer }, task)
    }

    /// Now, milliseconds since 1970-01-01T00:00:00Z.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Who calls.
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// Compares what is kept in memory with the database, as far as it was used since the last time.
    ///
    /// # Errors
    /// Of the database.
    pub async fn refresh(&self) -> Result<(), StorageError> {
        let refreshed = tokio::try_join!(self.catalogues.refresh(), self.credentials.refresh());
        if refreshed.is_err() {
            self.reachability.suspect();
        }
        refreshed.map(drop)
    }

    /// Whether the database answers. When it does not, calls are refused at once until it does.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<(), StorageError> {
        let answer = tokio::time::timeout(PROBE_TIMEOUT, self.store.ping()).await;
        let answer = answer.unwrap_or(Err(StorageError::TimedOut));
        self.reachability.found(answer.as_ref().is_err_and(StorageError::is_unavailable));
        answer
    }

    /// What is asked of the database beside the writer: refused at once while that is known to be lost, and given up when
    /// it is lost or takes too long.
    async fn within<T, E: From<StorageError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        if self.reachability.is_lost() {
            return Err(StorageError::Lost.into());
        }
        tokio::select! {
            biased;
            done = work => done,
            () = self.reachability.lost() => Err(StorageError::Lost.into()),
            () = tokio::time::sleep(self.timeout) => {
                self.reachability.suspect();
                Err(StorageError::TimedOut.into())
            }
        }
    }

    /// Waits until somebody finds reason for a probe.
    pub async fn suspected(&self) {
        self.reachability.suspected().await;
    }
}

/// What is behind the locks of this room is whole at any time, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
