//! Composes the service: starts, serves, drains and stops.
//!
//! The port answers from the first moment, and health reports the real state: calls are accepted once the database answers
//! and its schema is up to date, and refused again when the service is told to stop, while the accepted ones are finished.

mod database;
mod error;
mod import;

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower_service::Service as _;

pub use database::{open, open_any, open_unchanged};
pub use error::ServeError;
pub use import::{ImportFileError, import, operator, read_import};

use self::database::{open_when_up, prepare};
use crate::access::shared_key::SharedKeyError;
use crate::access::tokens::Tokens;
use crate::app::{App, AppContext};
use crate::background::Background;
use crate::clock::Clock;
use crate::config::Serve;
use crate::edge::{
    self, Answered, Certificates, ConnectionCounts, EdgeLimits, EdgeSettings, Handler, Received, Registry, Stop,
};
use crate::files::{SECRET_MODE, warn_if_wider};
use crate::storage::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::transport::{self, Endpoints, Health, Lifecycle, ObservedResponse, Observer, Phase, Refresh};

/// Time in which connections may end by themselves after every call is answered: those that only watch health would
/// stay.
const HANG_UP_AFTER: Duration = Duration::from_millis(500);

/// Limits the connections of the admin listener.
const MAX_ADMIN_CONNECTIONS: usize = 64;

/// The tasks that run as long as the service.
struct Tasks<W> {
    /// Accepts connections.
    server: JoinHandle<()>,
    writer: JoinHandle<W>,
}

impl<W> Tasks<W> {
    /// Waits for `event`.
    ///
    /// # Errors
    /// Returns [`ServeError::Died`] if a task ends before it.
    async fn run_until<T>(&mut self, event: impl Future<Output = T>) -> Result<T, ServeError> {
        tokio::select! {
            happened = event => Ok(happened),
            _ = &mut self.server => Err(ServeError::Died("server")),
            _ = &mut self.writer => Err(ServeError::Died("writer")),
        }
    }
}

/// Returns the number of connections that the limit of open files allows, after raising it as `serve` does.
pub fn connections_allowed() -> usize {
    edge::raise_limit()
}

/// The course of a service from outside.
#[derive(Debug)]
pub struct Course<S, E, H> {
    /// Called once calls are taken.
    pub started: S,
    /// Resolves when the service is to stop.
    pub stop: E,
    /// Resolves when a service that is told to stop is to take no more calls, though its delay is not over.
    pub hurry: H,
}

/// Listeners, clock and observers that a service is given.
#[derive(Debug)]
pub struct ServerParts {
    /// Listener of both endpoints.
    pub listener: TcpListener,
    /// Listener of metrics and health, if there is one.
    pub admin: Option<TcpListener>,
    /// The clock.
    pub clock: Clock,
    /// Metrics of the service.
    pub metrics: Arc<Metrics>,
    /// Traces of sampled calls.
    pub traces: Traces,
}

/// Serves until `stop` resolves, then finishes the accepted calls. Calls `started` once calls are accepted.
///
/// # Errors
/// Returns why the service cannot start, serve, or finish in time.
pub async fn run(
    parts: ServerParts,
    options: &Serve,
    course: Course<impl FnOnce() + Send, impl Future<Output = ()> + Send, impl Future<Output = ()> + Send>,
) -> Result<(), ServeError> {
    // Invalid options are refused before the database is opened or created.
    let (settings, tokens) = (options.settings()?, options.access.token_settings()?);
    let mut tokens = Tokens::new(tokens);
    tokens.read_key_files().await?;
    let certificates = match options.edge.tls_files() {
        Some(files) => Some(Certificates::open(files).await?),
        None => None,
    };
    options.secret_files().for_each(|file| warn_if_wider(SECRET_MODE, file));
    let ServerParts { listener, admin, clock, metrics, traces } = parts;
    let mut health = Health::new().await;
    let observer = Observer { limits: options.call_limits(), metrics: Arc::clone(&metrics), traces: traces.clone() };
    let endpoints = Endpoints::new(&health, observer);
    let (tell, told) = watch::channel(Stop::No);
    let drain_timeout = Duration::from_millis(options.drain_timeout_ms);
    let registry = Registry::new(options.edge.limits(edge::raise_limit(), drain_timeout));
    let measured = Arc::new(OnceLock::new());
    let admin_routes = transport::admin_routes(&health, Arc::clone(&metrics), measure(&metrics, &measured, &registry));
    serve_admin(admin, admin_routes, *registry.limits(), told.clone());
    let tls = certificates.as_ref().map(Certificates::current);
    let handler = handler(endpoints.clone());
    let server = tokio::spawn(edge::serve(listener, handler, EdgeSettings { registry, tls }, told));
    let mut background = Background::default();
    if let Some(certificates) = certificates {
        background.refresh_certificates(certificates);
    }

    let mut stop = pin!(course.stop);
    let store = tokio::select! {
        biased;
        () = &mut stop => return Ok(()),
        opened = open_when_up(options) => opened?,
    };
    prepare(&store, options, &clock).await?;
    adopt_shared_key(&mut tokens, &store, options).await?;
    let context = AppContext { clock, tokens, metrics, traces };
    let (app, writer) = App::new(store.clone(), options.app_limits(), context);
    let mut tasks = Tasks { server, writer: tokio::spawn(writer.run()) };
    let lifecycle = Lifecycle::new();
    endpoints.serve(transport::router(app.clone(), settings, &lifecycle, &health)?);
    let _ = measured.set(app.clone());
    background.probe(app.clone(), health.clone(), Arc::clone(&lifecycle));
    background.refresh_memory(app.clone());
    background.return_memory();
    health.set_ready(true).await;
    (course.started)();

    tasks.run_until(stop).await?;

    background.end_probe().await;
    // The others go on while draining: calls that were accepted still need what they keep.
    health.set_ready(false).await;
    if options.shutdown_delay_ms > 0 {
        let _ = tell.send(Stop::Announce);
        tracing::info!(delay_ms = options.shutdown_delay_ms, "stopping: not ready, calls are still accepted");
        let delay = tokio::time::timeout(Duration::from_millis(options.shutdown_delay_ms), course.hurry);
        let _ = tasks.run_until(delay).await?;
    }
    let _ = tell.send(Stop::SendAway);
    let Tasks { server, mut writer } = tasks;
    tokio::select! {
        drained = drain(&lifecycle, &mut health, ConnectionTask { tell, server }, drain_timeout) => drained?,
        _ = &mut writer => return Err(ServeError::Died("writer")),
    }
    drop((app, measured, endpoints, background));
    // The queue is empty: every waiting request was answered or abandoned.
    let _ = tokio::time::timeout(HANG_UP_AFTER, writer).await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Adopts the key for access tokens that the servers on the database share, unless one is configured.
async fn adopt_shared_key(tokens: &mut Tokens, store: &Store, options: &Serve) -> Result<(), ServeError> {
    tokens.adopt_shared_key(store).await.map_err(|error| match error {
        SharedKeyError::Storage(source) => ServeError::Database { url: options.common.database_url().clone(), source },
        other => ServeError::SharedKey(other),
    })
}

/// Returns what hands the requests of connections to the endpoints.
pub fn handler(endpoints: Endpoints) -> Handler {
    Arc::new(move |received| {
        let endpoints = endpoints.clone();
        // Called in here, as a future that is moved into another takes its size twice.
        Box::pin(async move {
            match received {
                Received::Request(request) => {
                    let ObservedResponse { response, is_authenticated } = endpoints.answer(request).await;
                    Answered { response, is_authenticated }
                }
                Received::Malformed(head) => {
                    let response = endpoints.refuse(head.status, &head.violation, head.peer).await;
                    Answered { response, is_authenticated: false }
                }
            }
        })
    })
}

/// Returns what sets the metrics that are read from the state of the service, once it has its use cases.
fn measure(metrics: &Arc<Metrics>, app: &Arc<OnceLock<App>>, registry: &Arc<Registry>) -> Refresh {
    let (metrics, registry, app) = (Arc::clone(metrics), Arc::clone(registry), Arc::clone(app));
    Arc::new(move || {
        let ConnectionCounts { idle, active } = registry.counts();
        metrics.set_connections(idle, active);
        if let Some(app) = app.get() {
            app.measure();
        }
    })
}

/// Serves the admin listener, if there is one.
fn serve_admin(listener: Option<TcpListener>, router: Router, limits: EdgeLimits, stop: watch::Receiver<Stop>) {
    let Some(listener) = listener else { return };
    let limits = EdgeLimits { max_connections: limits.max_connections.min(MAX_ADMIN_CONNECTIONS), ..limits };
    let settings = EdgeSettings { registry: Registry::new(limits), tls: None };
    tokio::spawn(edge::serve(listener, handler_of(router), settings, stop));
}

/// Returns what hands the requests of connections to routes without further limits.
fn handler_of(router: Router) -> Handler {
    Arc::new(move |received| {
        let mut router = router.clone();
        Box::pin(async move {
            let response = match received {
                Received::Request(request) => match router.call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                Received::Malformed(head) => head.status.into_response(),
            };
            Answered { response, is_authenticated: false }
        })
    })
}

/// The task that serves connections, and how it is told to end them.
struct ConnectionTask {
    tell: watch::Sender<Stop>,
    server: JoinHandle<()>,
}

/// Finishes the accepted calls, refuses further ones, and closes the connections.
async fn drain(
    lifecycle: &Lifecycle,
    health: &mut Health,
    connections: ConnectionTask,
    timeout: Duration,
) -> Result<(), ServeError> {
    let ConnectionTask { tell, mut server } = connections;
    tracing::info!("stopping: finishing the accepted calls");
    lifecycle.enter(Phase::Draining);
    let drained = tokio::time::timeout(timeout, lifecycle.drained()).await;
    health.end_watches().await;
    let _ = tell.send(Stop::HangUp);
    if let Ok(ended) = tokio::time::timeout(HANG_UP_AFTER, &mut server).await {
        ended.map_err(|_| ServeError::Died("server"))?;
    } else {
        server.abort();
        // The connections hold the writer's queue, and end with their tasks.
        let _ = server.await;
    }
    drained.map_err(|_| ServeError::DrainTimeout(timeout))
}
