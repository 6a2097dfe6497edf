//! `serve`: listens, and serves until a signal ends it.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::CommandError;
use crate::background::{Background, LevelSignals};
use crate::clock::Clock;
use crate::config::traces::TraceOptions;
use crate::config::{ListenAddress, Serve};
use crate::demo;
use crate::server::{self, Course, ServerParts};
use crate::telemetry::metrics::{Build, Metrics};
use crate::telemetry::traces::Traces;
use crate::telemetry::{Log, LogLevel};

/// The identity of this build.
const BUILD: Build = Build { version: env!("CARGO_PKG_VERSION"), commit: env!("BUILD_COMMIT") };

/// Time that the last spans of traces have to be sent when the service ends.
const SPANS_SENT_WITHIN: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Returns why the service could not start or serve, or did not end in time.
pub async fn run(options: &Serve, log: &Log, log_level: Option<LogLevel>) -> Result<(), CommandError> {
    let mut background = Background::default();
    if let Some(level) = log_level {
        background.change_log_level(level, level_signals().map_err(CommandError::Signal)?);
    }
    // Certificates are read again on SIGHUP. Without any, it must not end the service either, as it does by default.
    let _hang_up = signal(SignalKind::hangup()).map_err(CommandError::Signal)?;
    let told_to_stop = signals(1).map_err(CommandError::Signal)?;
    let stop = async {
        told_to_stop.await;
        tell_service_manager(NotifyState::Stopping);
    };
    let hurry = signals(2).map_err(CommandError::Signal)?;
    let metrics = Metrics::new(BUILD)?;
    log.count_dropped(metrics.log_lines_dropped.clone());
    let (listener, address) = listen("--listen", &options.listen).await?;
    let admin = match &options.telemetry.admin_listen {
        Some(address) => Some(listen("--admin-listen", address).await?),
        None => None,
    };
    let (admin, admin_address) = admin.unzip();
    let started = || {
        let tls = options.edge.tls_files();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let clients = tls.as_ref().and_then(|files| files.client_ca.as_ref()).map(|_| "required");
        tracing::info!(
            %address,
            database = %options.common.database_url(),
            tls = tls.is_some(),
            client_certificates = clients,
            admin = admin_address.map(display),
            version = BUILD.version,
            commit = BUILD.commit,
            engine = options.common.database_url().engine(),
            options = options.changed,
            "serving gRPC and JSON"
        );
        if options.access.token_keys.is_empty() {
            tracing::info!("no --token-key is configured: the key for access tokens is kept in the database");
        }
        if let Some(org) = options.access.without_authentication {
            tracing::warn!(org, "authentication is off: every caller acts for this organization, with all access");
        }
        if options.demo {
            tracing::warn!("the credentials of the demo, demo/demo, are public: not for production");
            print_beside(demo::curl(scheme, address));
        }
        tell_service_manager(NotifyState::Ready);
    };
    let (traces, spans) = match TraceOptions::read()? {
        Some(TraceOptions { sampler, protocol }) => {
            let (traces, queue) = Traces::new(sampler, metrics.spans_dropped.clone());
            (traces, Some(tokio::spawn(queue.send(protocol)?)))
        }
        None => (Traces::default(), None),
    };
    let parts = ServerParts { listener, admin, clock: Clock::system(), metrics, traces };
    let served = server::run(parts, options, Course { started, stop, hurry }).await;
    if let Some(spans) = spans {
        // The last spans are sent, if the collector takes them.
        let _ = tokio::time::timeout(SPANS_SENT_WITHIN, spans).await;
    }
    Ok(served?)
}

/// Returns a listener on the address of an option, and the address that it has.
async fn listen(option: &'static str, address: &ListenAddress) -> Result<(TcpListener, SocketAddr), CommandError> {
    let cannot_listen = |source| CommandError::Listen { option, address: address.clone(), source };
    let listener = TcpListener::bind(address.addresses()).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    Ok((listener, address))
}

fn level_signals() -> std::io::Result<LevelSignals> {
    Ok(LevelSignals { raise: signal(SignalKind::user_defined1())?, reset: signal(SignalKind::user_defined2())? })
}

/// Resolves once so many signals to stop were received.
fn signals(count: u32) -> std::io::Result<impl Future<Output = ()> + Send> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        for _ in 0..count {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        }
    })
}

/// Tells the service manager (systemd with `Type=notify`) the state of the service. Without one, nothing happens.
fn tell_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the service manager cannot be told the state");
    }
}

/// Writes a line to standard output on a thread of its own: a stalled reader does not hold the service up.
fn print_beside(line: String) {
    let print = move || drop(writeln!(std::io::stdout(), "{line}"));
    if let Err(error) = std::thread::Builder::new().spawn(print) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the example request could not be printed");
    }
}
