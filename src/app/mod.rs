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
mod gates;
pub mod history;
pub mod import;
mod transaction;
mod trial;
pub mod verify;
pub mod wallet;
mod writer_task;

use std::sync::Arc;
use std::time::Duration;

use crate::access::credentials::Credentials;
use crate::access::tokens::Tokens;
use crate::clock::Clock;
use crate::earning::change::WalletChange;
use crate::earning::{BulkEarn, OrgId, Timestamp};
use crate::storage::batch::session::Session;
use crate::storage::{StorageError, Store};
use crate::telemetry::metrics::{Metrics, Operation, WriterMetrics};
use crate::telemetry::traces::Traces;
use crate::writer::error::WalletError;
use crate::writer::{Reachability, Watch, Writer, WriterLimits};
pub use gates::ReadSlot;
pub use writer_task::WriterTask;

use bulk_earn::{BatchEarner, Earned};
use catalog_cache::CatalogCache;
use changes::{BatchChanger, Changed};
use gates::Gates;
use trial::Trial;

/// Time in which the database must answer a probe; otherwise it counts as lost.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// Fair shares of calls outside the writer.
    gates: Gates,
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
        let app = Self {
            clock,
            credentials,
            catalogs,
            reachability,
            store,
            trial: Arc::default(),
            timeout,
            gates: Gates::new(connections, connection_timeout, limits.request_timeout),
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
            let _slot = self.gates.read(client).await?;
            let _timed = self.metrics.database.time(Operation::Read);
            work.await
        })
        .await
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
            let _slots = self.gates.change(client, org_id).await?;
            let _timed = self.metrics.database.time(Operation::ChangeCatalog);
            work.await
        })
        .await
    }

    /// Grants the promotions of a `command` of an API client. The answer is durable.
    ///
    /// # Errors
    /// Returns why nothing was granted.
    pub async fn bulk_earn(&self, client: Arc<str>, command: Arc<BulkEarn>) -> Earned {
        self.earner.write(client, command).await
    }

    /// Revokes or redeems for an API client. The answer is durable.
    ///
    /// # Errors
    /// Returns why nothing was decided.
    pub async fn change(&self, client: Arc<str>, change: WalletChange) -> Result<Changed, WalletError> {
        self.changer.write(client, Arc::new(change)).await
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
