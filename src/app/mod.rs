//! The use cases: load the facts, ask the rules, save what they say. Holds no rule itself.
//!
//! Called by `transport` and the command line. Knows neither proto nor HTTP and gRPC, nor the database's library.

mod against_catalogs;
pub mod bulk_earn;
pub mod catalog;
pub mod catalog_cache;
pub mod changes;
pub mod clients;
pub mod earn_ids;
pub mod fair_gate;
pub mod import;
mod transaction;
mod trial;
pub mod verify;
pub mod wallet;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::access::credentials::Credentials;
use crate::access::tokens::Tokens;
use crate::clock::Clock;
use crate::earning::OrgId;
use crate::storage::{StorageError, Store};
use crate::writer::{Lanes, Reachability, Writer, WriterLimits};
use bulk_earn::BatchEarner;
use catalog_cache::CatalogCache;
use changes::BatchChanger;
use fair_gate::{FairGate, Full, GateLimits, Key, Slot};
use trial::Trial;

/// How long the database may take to answer a probe before it counts as lost.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A slot of an API client.
pub type ReadSlot = Slot<Arc<str>>;

/// Everything the doors call.
#[derive(Debug, Clone)]
pub struct App {
    clock: Clock,
    credentials: Arc<Credentials>,
    catalogs: Arc<CatalogCache>,
    reachability: Reachability,
    store: Store,
    /// The trial of a probe to write.
    trial: Arc<tokio::sync::Mutex<Trial>>,
    /// How long a call that is not the writer's may take in the database.
    timeout: Duration,
    /// Bound of a wait for a connection.
    connection_timeout: Duration,
    /// Connections for look-ups and listings, in turn for each API client.
    reads: FairGate<Arc<str>>,
    /// Large pages in the making, in turn for each API client.
    large_reads: FairGate<Arc<str>>,
    /// Bound of a wait for one of them.
    large_read_timeout: Duration,
    /// Connections for changes, which may wait for a lock: one for each organization.
    changes: FairGate<OrgId>,
    /// Turns of the API clients of an organization to change what belongs to it: one change of each waits for the connection.
    change_turns: FairGate<Arc<str>>,
    earner: Writer<BatchEarner>,
    changer: Writer<BatchChanger>,
}

/// Limits of the use cases.
#[derive(Debug, Clone, Copy)]
pub struct AppLimits {
    /// Limits of the writer.
    pub writer: WriterLimits,
    /// Connections for look-ups and listings, and as many for changes.
    pub connections: usize,
    /// Bound of a wait for one of them.
    pub connection_timeout: Duration,
}

/// Large pages in the making, of all API clients: what they hold in memory, and the processors that they take, are bounded.
fn large_read_limits() -> GateLimits {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    GateLimits {
        capacity: (processors / 2).max(2),
        per_key: (processors / 4).max(1),
        max_waiting_per_key: MAX_WAITING_FOR_CONNECTION,
    }
}

/// Calls of one API client, or of one organization, that may wait for a connection.
const MAX_WAITING_FOR_CONNECTION: usize = 256;

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
    pub fn new(store: Store, clock: Clock, limits: AppLimits, tokens: Tokens) -> (Self, WriterTask) {
        let AppLimits { writer: limits, connections, connection_timeout } = limits;
        let reachability = Reachability::new();
        let catalogs = Arc::new(CatalogCache::new(store.clone()));
        let (earner, earning_lanes) = Writer::new(limits, &reachability, || {
            BatchEarner::new(store.clone(), clock.clone(), Arc::clone(&catalogs))
        });
        let (changer, change_lanes) = Writer::new(limits, &reachability, || {
            BatchChanger::new(store.clone(), clock.clone(), Arc::clone(&catalogs), limits.late_redemption)
        });
        let credentials = Arc::new(Credentials::new(store.clone(), clock.clone(), reachability.clone(), tokens));
        let task = WriterTask { earnings: earning_lanes, changes: change_lanes };
        let timeout = limits.transaction_timeout;
        let gate =
            |per_key| GateLimits { capacity: connections, per_key, max_waiting_per_key: MAX_WAITING_FOR_CONNECTION };
        let app = Self {
            clock,
            credentials,
            catalogs,
            reachability,
            store,
            trial: Arc::default(),
            timeout,
            connection_timeout,
            // However many calls one client has under way, there is a connection for the next one.
            reads: FairGate::new(gate((connections / 2).max(1))),
            large_reads: FairGate::new(large_read_limits()),
            large_read_timeout: limits.request_timeout,
            // Changes of one organization go one after the other in the database anyway.
            changes: FairGate::new(gate(1)),
            change_turns: FairGate::new(GateLimits { capacity: usize::MAX, ..gate(1) }),
            earner,
            changer,
        };
        (app, task)
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
        let refreshed = self.credentials.refresh().await;
        if refreshed.is_err() {
            self.reachability.suspect();
        }
        refreshed
    }

    /// Asks whether the database answers, and whether it takes writes if one was refused or took too long. When it does not answer, calls are
    /// refused at once until it does. While it takes no writes, calls go on trying: what they find counts.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<(), StorageError> {
        let answer = tokio::time::timeout(PROBE_TIMEOUT, self.store.ping()).await;
        let answer = answer.unwrap_or(Err(StorageError::TimedOut));
        self.reachability.found(answer.as_ref().is_err_and(StorageError::is_lost));
        answer?;
        let mut trial = self.trial.lock().await;
        if self.store.writes_fail() || self.reachability.hangs() {
            trial.run(&self.store, &self.reachability).await
        } else {
            trial.failed = false;
            Ok(())
        }
    }

    /// Reads for an API client: in turn with others, and bounded as all work beside the writer.
    async fn reading<T, E: From<StorageError>>(
        &self,
        client: &Arc<str>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.within(async {
            let _slot = self.enter(&self.reads, Arc::clone(client)).await?;
            work.await
        })
        .await
    }

    /// Waits for the slot of a large page, if a page of so many elements is one.
    async fn large_read(&self, client: &Arc<str>, limit: usize) -> Result<Option<ReadSlot>, StorageError> {
        if limit <= wallet::SMALL_PAGE {
            return Ok(None);
        }
        wait_for_slot(self.large_read_timeout, &self.large_reads, Arc::clone(client)).await.map(Some)
    }

    /// Changes what belongs to an organization: one change at a time of each, and bounded as all work beside the writer.
    async fn changing<T, E: From<StorageError>>(
        &self,
        client: &Arc<str>,
        org_id: OrgId,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.within(async {
            let _turn = self.enter(&self.change_turns, Arc::clone(client)).await?;
            let _slot = self.enter(&self.changes, org_id).await?;
            work.await
        })
        .await
    }

    /// Waits for a connection's slot.
    async fn enter<K: Key>(&self, gate: &FairGate<K>, key: K) -> Result<Slot<K>, StorageError> {
        wait_for_slot(self.connection_timeout, gate, key).await
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
                self.reachability.timed_out();
                Err(StorageError::TimedOut.into())
            }
        }
    }

    /// Waits until somebody finds reason for a probe.
    pub async fn suspected(&self) {
        self.reachability.suspected().await;
    }
}

async fn wait_for_slot<K: Key>(timeout: Duration, gate: &FairGate<K>, key: K) -> Result<Slot<K>, StorageError> {
    match tokio::time::timeout(timeout, gate.enter(key)).await {
        Ok(Ok(slot)) => Ok(slot),
        Ok(Err(Full)) | Err(_) => Err(StorageError::waited_too_long()),
    }
}
