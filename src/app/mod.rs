//! The use cases: load the facts, ask the rules, save the result. Holds no rule itself.
//!
//! Called by `transport` and the command line. Knows neither proto, HTTP or gRPC, nor the database library.

mod against_catalogs;
pub mod audience;
pub mod bulk_earn;
pub mod catalog;
pub mod catalog_cache;
pub mod changes;
pub mod clients;
pub mod earn_ids;
pub mod fair_gate;
pub mod history;
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
use crate::earning::{OrgId, Timestamp};
use crate::storage::batch::session::Session;
use crate::storage::{StorageError, Store};
use crate::telemetry::metrics::{Metrics, Operation, WriterMetrics};
use crate::telemetry::traces::Traces;
use crate::writer::{Reachability, Watch, Workers, Writer, WriterLimits};
use bulk_earn::BatchEarner;
use catalog_cache::CatalogCache;
use changes::BatchChanger;
use fair_gate::{FairGate, GateFull, GateKey, GateLimits, Slot};
use trial::Trial;

/// Time in which the database must answer a probe; otherwise it counts as lost.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A read slot of an API client.
pub type ReadSlot = Slot<Arc<str>>;

/// All use cases, called by the endpoints and the command line.
#[derive(Debug, Clone)]
pub struct App {
    clock: Clock,
    credentials: Arc<Credentials>,
    catalogs: Arc<CatalogCache>,
    reachability: Reachability,
    store: Store,
    /// State of the probe's trial write.
    trial: Arc<tokio::sync::Mutex<Trial>>,
    /// Maximum time in the database for a call outside the writer.
    timeout: Duration,
    /// Maximum wait for a connection.
    connection_timeout: Duration,
    /// Slots for connections for look-ups and listings, shared fairly among API clients.
    reads: FairGate<Arc<str>>,
    /// Slots for large pages, shared fairly among API clients.
    large_reads: FairGate<Arc<str>>,
    /// Maximum wait for a slot of [`Self::large_reads`].
    large_read_timeout: Duration,
    /// Slots for connections for changes, which may wait for a lock: one for each organization.
    changes: FairGate<OrgId>,
    /// Slots of the API clients that change an organization's data: at most one change of each client waits for the
    /// connection.
    change_slots: FairGate<Arc<str>>,
    earner: Writer<BatchEarner>,
    changer: Writer<BatchChanger>,
    metrics: Arc<Metrics>,
}

/// Dependencies of the use cases besides the database.
#[derive(Debug)]
pub struct AppContext {
    /// The clock.
    pub clock: Clock,
    /// Keys and lifetimes of access tokens.
    pub tokens: Tokens,
    /// Metrics of the service.
    pub metrics: Arc<Metrics>,
    /// Traces of sampled calls.
    pub traces: Traces,
}

/// Limits of the use cases.
#[derive(Debug, Clone, Copy)]
pub struct AppLimits {
    /// Limits of the writer.
    pub writer: WriterLimits,
    /// Number of connections for look-ups and listings, and also of connections for changes.
    pub connections: usize,
    /// Maximum wait for one of these connections.
    pub connection_timeout: Duration,
}

/// Limits the concurrent large pages of all API clients, and thereby their memory and processor time.
fn large_read_limits() -> GateLimits {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    GateLimits {
        capacity: (processors / 2).max(2),
        per_key: (processors / 4).max(1),
        max_waiting_per_key: MAX_WAITING_FOR_CONNECTION,
    }
}

/// Maximum number of calls of one API client, or of one organization, that wait for a connection.
const MAX_WAITING_FOR_CONNECTION: usize = 256;

/// The writer's background task.
pub struct WriterTask {
    earnings: Workers<BatchEarner>,
    changes: Workers<BatchChanger>,
}

impl WriterTask {
    /// Runs until every [`App`] is dropped and all accepted requests are answered.
    pub async fn run(self) {
        let (earned, changed) = tokio::join!(self.earnings.run(), self.changes.run());
        let (transactions, requests) = (earned.0 + changed.0, earned.1 + changed.1);
        tracing::info!(transactions, requests, "writer stopped");
    }
}

impl App {
    /// Builds the use cases on `store`, and the writer task, which runs until every [`App`] is dropped.
    pub fn new(store: Store, limits: AppLimits, context: AppContext) -> (Self, WriterTask) {
        let AppContext { clock, tokens, metrics, traces } = context;
        let AppLimits { writer: limits, connections, connection_timeout } = limits;
        let reachability = Reachability::default();
        let catalogs = Arc::new(CatalogCache::new(store.clone()));
        let watch = |of: &WriterMetrics| Watch {
            reachability: reachability.clone(),
            metrics: of.clone(),
            traces: traces.clone(),
        };
        let (earner, earning_workers) = Writer::new(limits, watch(&metrics.earn), || {
            BatchEarner::new(store.clone(), clock.clone(), Arc::clone(&catalogs), &metrics)
        });
        let (changer, change_workers) = Writer::new(limits, watch(&metrics.change), || BatchChanger {
            session: Session::new(store.clone()),
            clock: clock.clone(),
            catalogs: Arc::clone(&catalogs),
            late_redemption: limits.late_redemption,
            metrics: Arc::clone(&metrics),
        });
        let credentials = Arc::new(Credentials::new(store.clone(), clock.clone(), reachability.clone(), tokens));
        let task = WriterTask { earnings: earning_workers, changes: change_workers };
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
            // The limit keeps a connection free for other clients, however many calls one client has under way.
            reads: FairGate::new(gate((connections / 2).max(1))),
            large_reads: FairGate::new(large_read_limits()),
            large_read_timeout: limits.request_timeout,
            // The database serializes the changes of one organization anyway.
            changes: FairGate::new(gate(1)),
            change_slots: FairGate::new(GateLimits { capacity: usize::MAX, ..gate(1) }),
            earner,
            changer,
            metrics,
        };
        app.metrics.database.set_system(app.store.system());
        (app, task)
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the check of credentials.
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// Compares the remembered credentials that were used since the last time with the database.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub async fn refresh(&self) -> Result<(), StorageError> {
        let refreshed = self.credentials.refresh().await;
        if refreshed.is_err() {
            self.reachability.suspect();
        }
        refreshed
    }

    /// Probes whether the database answers, and, after a write failed or took too long, whether it accepts writes.
    /// While it does not answer, calls are refused at once. While it accepts no writes, calls continue to try, and
    /// their results count.
    ///
    /// # Errors
    /// Returns an error when the database does not answer or does not accept writes.
    pub async fn probe(&self) -> Result<(), StorageError> {
        let timed = self.metrics.database.time(Operation::Probe);
        let answer = tokio::time::timeout(PROBE_TIMEOUT, self.store.ping()).await;
        drop(timed);
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

    /// Reads for an API client, in its fair share and within the time limit of calls outside the writer.
    async fn reading<T, E: From<StorageError>>(
        &self,
        client: &Arc<str>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.within(async {
            let _slot = self.enter(&self.reads, Arc::clone(client)).await?;
            let _timed = self.metrics.database.time(Operation::Read);
            work.await
        })
        .await
    }

    /// Waits for the slot of a large page, if a page of `limit` elements is large.
    async fn large_read(&self, client: &Arc<str>, limit: usize) -> Result<Option<ReadSlot>, StorageError> {
        if limit <= wallet::SMALL_PAGE {
            return Ok(None);
        }
        wait_for_slot(self.large_read_timeout, &self.large_reads, Arc::clone(client)).await.map(Some)
    }

    /// Changes data of an organization, one change at a time for each and within the time limit of calls outside the
    /// writer.
    async fn changing<T, E: From<StorageError>>(
        &self,
        client: &Arc<str>,
        org_id: OrgId,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.within(async {
            let _client_slot = self.enter(&self.change_slots, Arc::clone(client)).await?;
            let _slot = self.enter(&self.changes, org_id).await?;
            let _timed = self.metrics.database.time(Operation::ChangeCatalog);
            work.await
        })
        .await
    }

    /// Sets the metrics that are read from the state of the service.
    pub fn measure(&self) {
        let Metrics { database, earn, change, .. } = &*self.metrics;
        database.set_up(!self.reachability.is_lost());
        database.set_catalog_age(self.catalogs.age().as_secs_f64());
        self.store.pool_states().into_iter().for_each(|pool| database.set_pool(pool));
        earn.queued(self.earner.queued());
        change.queued(self.changer.queued());
    }

    /// Waits for the slot of a connection.
    async fn enter<K: GateKey>(&self, gate: &FairGate<K>, key: K) -> Result<Slot<K>, StorageError> {
        wait_for_slot(self.connection_timeout, gate, key).await
    }

    /// Runs database work outside the writer: refuses it at once while the database is lost, and abandons it when the
    /// database is lost or takes too long.
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

    /// Waits until a probe is requested.
    pub async fn suspected(&self) {
        self.reachability.suspected().await;
    }
}

async fn wait_for_slot<K: GateKey>(timeout: Duration, gate: &FairGate<K>, key: K) -> Result<Slot<K>, StorageError> {
    match tokio::time::timeout(timeout, gate.enter(key)).await {
        Ok(Ok(slot)) => Ok(slot),
        Ok(Err(GateFull)) | Err(_) => Err(StorageError::waited_too_long()),
    }
}
