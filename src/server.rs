//! Puts the rooms together: starts, serves, drains and stops.
//!
//! The port answers from the first moment, health truthfully with it: calls are taken once the schema is up to date
//! and refused again when the service is told to stop, while those already taken are finished.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::Caller;
use crate::access::jws::KeyError;
use crate::access::tokens::Tokens;
use crate::app::App;
use crate::app::import::{Import, ImportError, ImportOptions, Imported};
use crate::background::Background;
use crate::clock::Clock;
use crate::config::access::AccessOptionError;
use crate::config::{Common, DatabaseUrl, Serve};
use crate::demo;
use crate::earning::OrgId;
use crate::edge::{self, Answered, Certificates, Handler, Stop, TlsError};
use crate::files::{KEY_MODE, warn_if_wider};
use crate::storage::{StorageError, Store};
use crate::transport::{self, Doors, Health, Lifecycle, Phase};
use crate::wire::{Violations, files};

/// How long connections get to end by themselves once every call is answered: those that only watch would stay.
const HANG_UP_AFTER: Duration = Duration::from_millis(500);

/// The task that accepts connections.
type ServerTask = JoinHandle<()>;

/// Why the service did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database could not be opened or migrated.
    #[error("cannot use the database {url}")]
    Database {
        /// Where it is.
        url: DatabaseUrl,
        /// What the database says.
        source: StorageError,
    },
    /// The built-in catalog does not fit what is in the database.
    #[error("cannot import the demo catalog")]
    Demo(#[from] ImportFileError),
    /// The database is somebody's: everybody knows the credentials of the demo catalog.
    #[error("--demo: the database {url} holds the organization {}; name a database that is empty, or of the demo", .other.0)]
    DemoOnOthers {
        /// Where it is.
        url: DatabaseUrl,
        /// One that is not of the demo.
        other: OrgId,
    },
    /// Nobody can be let in as the options say.
    #[error(transparent)]
    Access(#[from] AccessOptionError),
    /// No tokens can be given out.
    #[error("cannot make a key for access tokens")]
    Tokens(#[source] KeyError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The reflection service has no schema to show.
    #[error("cannot serve reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A task that runs for as long as the service ended by itself.
    #[error("the {0} ended unexpectedly")]
    Died(&'static str),
    /// What was accepted took longer to finish than it may.
    #[error("stopped with requests unanswered: they took longer than {0:?}")]
    DrainTimeout(Duration),
}

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportFileError {
    /// It is wrong in itself.
    #[error("{}", .0.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Violations),
    /// It could not be recorded.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Opens the database and brings its schema up to date.
///
/// # Errors
/// When that fails, with the database's name.
pub async fn open(common: &Common) -> Result<Store, ServeError> {
    let named = |source| ServeError::Database { url: common.database_url.clone(), source };
    let store = Store::open(common.database_url.expose(), common.store_options()).await.map_err(named)?;
    store.migrate().await.map_err(named)?;
    Ok(store)
}

/// Imports a catalog file into a database whose schema is up to date.
///
/// # Errors
/// Every fault of the file, or the first that shows against the database. Then nothing is imported.
pub async fn import(store: &Store, json: &[u8], options: ImportOptions) -> Result<Imported, ImportFileError> {
    Ok(read_import(json)?.run(store, options).await?)
}

/// Reads a catalog file.
///
/// # Errors
/// Every fault of the file.
pub fn read_import(json: &[u8]) -> Result<Import, ImportFileError> {
    files::catalog::parse(json).map_err(ImportFileError::Faults)
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

/// Serves on `listener` until it is told to stop, then finishes what was accepted.
///
/// # Errors
/// When it cannot start, serve, or finish in time.
pub async fn run(
    listener: TcpListener,
    options: &Serve,
    clock: Clock,
    course: Course<impl FnOnce() + Send, impl Future<Output = ()> + Send, impl Future<Output = ()> + Send>,
) -> Result<(), ServeError> {
    let common = &options.common;
    let named = |source| ServeError::Database { url: common.database_url.clone(), source };
    // Before the database is touched: wrong options leave nothing behind.
    let (settings, tokens) = (options.settings()?, options.access.token_settings()?);
    let tokens = Tokens::new(tokens).map_err(ServeError::Tokens)?;
    let certificates = match options.edge.tls_files() {
        Some(files) => Some(Certificates::open(files).await?),
        None => None,
    };
    options.key_files().for_each(|file| warn_if_wider(KEY_MODE, file));
    let store = Store::open(common.database_url.expose(), options.store_options()).await.map_err(named)?;
    let (app, writer) = App::new(store.clone(), clock.clone(), options.app_limits(), tokens);
    let mut writer = tokio::spawn(writer.run());
    let lifecycle = Lifecycle::new();
    let mut health = Health::new().await;

    let router = transport::router(app.clone(), settings, &lifecycle, &health)?;
    let doors = Doors { router, limits: options.edge.call_limits() };
    let (tell, told) = watch::channel(Stop::No);
    let drain_timeout = Duration::from_millis(options.drain_timeout_ms);
    let limits = options.edge.limits(edge::raise_limit(), drain_timeout);
    let tls = certificates.as_ref().map(Certificates::current);
    let mut server: ServerTask = tokio::spawn(edge::serve(listener, handler(doors), (limits, tls), told));
    let mut background = Background::default();
    if let Some(certificates) = certificates {
        background.refresh_certificates(certificates);
    }

    store.migrate().await.map_err(named)?;
    for warning in store.warnings().await.map_err(named)? {
        tracing::warn!("{warning}");
    }
    if options.demo {
        if let Some(other) = other_than_demo(&store).await.map_err(named)? {
            return Err(ServeError::DemoOnOthers { url: common.database_url.clone(), other });
        }
        import(&store, demo::CATALOG.as_bytes(), ImportOptions::default()).await?;
    }
    lifecycle.enter(Phase::Serving);
    background.probe(app.clone(), health.clone(), Arc::clone(&lifecycle));
    background.refresh_memory(app.clone());
    health.set_ready(true).await;
    (course.started)();

    tokio::select! {
        () = course.stop => {}
        _ = &mut server => return Err(ServeError::Died("server")),
        _ = &mut writer => return Err(ServeError::Died("writer")),
    }

    background.end_probe().await;
    // The others go on while draining: calls that were accepted still need what they keep.
    health.set_ready(false).await;
    let _ = tell.send(Stop::SendAway);
    if options.shutdown_delay_ms > 0 {
        tracing::info!(delay_ms = options.shutdown_delay_ms, "stopping: not ready, calls are still taken");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(options.shutdown_delay_ms)) => {}
            () = course.hurry => {}
        }
    }
    drain(&lifecycle, &mut health, Connections { tell, server }, drain_timeout).await?;
    drop((app, background));
    // Nothing waits in the queue any more: everybody who waited was answered, or gave up.
    let _ = tokio::time::timeout(HANG_UP_AFTER, writer).await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Returns what hands the requests of connections to the endpoints.
pub fn handler(doors: Doors) -> Handler {
    Arc::new(move |request| {
        let answer = doors.clone().answer(request);
        Box::pin(async move {
            let response = answer.await;
            // Left there by the layer that checks credentials.
            let is_authenticated = response.extensions().get::<Arc<Caller>>().is_some();
            Answered { response, is_authenticated }
        })
    })
}

/// Returns an organization of the database that is not of the demo, if there is one.
async fn other_than_demo(store: &Store) -> Result<Option<OrgId>, StorageError> {
    let transaction = store.begin().await?;
    let others = transaction.org_ids().await?;
    transaction.rollback().await?;
    Ok(others.into_iter().find(|org_id| *org_id != demo::ORG_ID))
}

/// The task that serves connections, and how it is told to end them.
struct Connections {
    tell: watch::Sender<Stop>,
    server: ServerTask,
}

/// Finishes what was accepted, refusing the rest, and ends the connections.
async fn drain(
    lifecycle: &Lifecycle,
    health: &mut Health,
    connections: Connections,
    timeout: Duration,
) -> Result<(), ServeError> {
    let Connections { tell, mut server } = connections;
    tracing::info!("stopping: finishing what was accepted");
    lifecycle.enter(Phase::Draining);
    let drained = tokio::time::timeout(timeout, lifecycle.drained()).await;
    health.end_watches().await;
    let _ = tell.send(Stop::HangUp);
    if tokio::time::timeout(HANG_UP_AFTER, &mut server).await.is_err() {
        server.abort();
        // The connections hold the writer's queue; they end with their tasks.
        let _ = server.await;
    }
    drained.map_err(|_| ServeError::DrainTimeout(timeout))
}
