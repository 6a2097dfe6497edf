//! Accepts connections, and serves each in a task of its own, until told to stop.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::activity::Activity;
use super::calls;
use super::handler::{Handler, MalformedHead};
use super::limits::EdgeLimits;
use super::malformed::{MAX_HEADERS, MAX_TARGET_BYTES};
use super::orders::Order;
use super::registry::{Registration, Registry};
use super::stream::{LeftStream, Stream};

/// Pause after an error that the next accept would meet again, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Interval at which a repeated event is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Number of sweeps for overdue connections within the shortest timeout.
const LOOKS_WITHIN_A_TIMEOUT: u32 = 4;
/// Limits the interval of sweeps to this range.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Limits the data of a peer that no call has read yet, for one call and for the whole connection: bytes.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Limits a frame of HTTP/2 to the least that the protocol allows: bytes.
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// Limits the part of an answer that is buffered while the peer does not read, for each call: bytes.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Time in which a ping must be answered.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Limits, for each connection, the calls abandoned before the service accepted them, and the calls that the library
/// ended on an error. One more ends the connection with `ENHANCE_YOUR_CALM`.
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 100;

/// The state that all connections share.
struct Edge {
    handler: Handler,
    http: auto::Builder<TokioExecutor>,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
}

/// Progress of stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The service is not stopping.
    No,
    /// The service is about to stop: HTTP/2 connections are told to send no further calls, and the others are told so with
    /// their next call, as a call may be on its way.
    Announce,
    /// Every connection is told to send no further calls; a new one is told so with its first call.
    SendAway,
    /// No new connections are accepted, and the open ones end.
    HangUp,
}

/// The limits of connections, and their certificates where they have TLS.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// All connections, and their limits.
    pub registry: Arc<Registry>,
    /// Configuration of TLS, which may change; `None` for plain connections.
    pub tls: Option<watch::Receiver<Arc<ServerConfig>>>,
}

/// Serves `handler` on `listener` until [`Stop::HangUp`], then waits until all connections are gone. Dropping the future
/// ends them.
pub async fn serve(listener: TcpListener, handler: Handler, settings: EdgeSettings, mut stop: watch::Receiver<Stop>) {
    let EdgeSettings { registry, tls } = settings;
    let limits = *registry.limits();
    let edge = Arc::new(Edge { handler, http: http(&limits), tls });
    let mut connections = JoinSet::new();
    let mut look = tokio::time::interval(look_every(&limits));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut full = Seldom::default();
    loop {
        tokio::select! {
            told = stop.changed() => match *stop.borrow_and_update() {
                Stop::No if told.is_ok() => {}
                Stop::Announce if told.is_ok() => registry.send_away(Order::LastCall),
                Stop::SendAway if told.is_ok() => registry.send_away(Order::Leave),
                _ => break,
            },
            _ = look.tick() => registry.sweep(),
            () = registry.crowded() => registry.thin_out(),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if registry.is_open() => match accepted {
                Ok((stream, _)) => match registry.enter() {
                    Some(registration) => {
                        connections.spawn(connection(Arc::clone(&edge), stream, registration));
                    }
                    None => full.say(|| tracing::warn!("a connection is refused: all others are busy")),
                },
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    full.say(|| tracing::error!(error = &error as &dyn std::error::Error, "cannot accept connections"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = registry.left(), if !registry.is_open() => {}
        }
    }
    // From here on the operating system refuses new connections.
    drop(listener);
    registry.send_away(Order::Leave);
    while connections.join_next().await.is_some() {}
}

fn look_every(limits: &EdgeLimits) -> Duration {
    let shortest = limits.header_timeout.min(limits.write_timeout).min(limits.leave_timeout).min(limits.idle_timeout);
    let shortest = shortest.min(limits.max_age.unwrap_or(shortest));
    (shortest / LOOKS_WITHIN_A_TIMEOUT).clamp(LOOK_EVERY.0, LOOK_EVERY.1)
}

/// Returns true if an error of accept concerns only the connection that was accepted.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
    )
}

/// Logs a lasting condition at most once per interval.
#[derive(Debug, Default)]
struct Seldom(Option<Instant>);

impl Seldom {
    fn say(&mut self, say: impl FnOnce()) {
        if self.0.is_none_or(|said| said.elapsed() >= LOG_EVERY) {
            self.0 = Some(Instant::now());
            say();
        }
    }
}

fn http(limits: &EdgeLimits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        // The connection registry limits this time for both versions, and does not count the time between calls.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_TARGET_BYTES + limits.max_header_bytes as usize);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_header_bytes)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

/// Serves one connection, from its first byte to its last.
async fn connection(edge: Arc<Edge>, stream: TcpStream, registration: Registration) {
    // Answers are sent without delay. The call fails only for a connection that is gone.
    let _ = stream.set_nodelay(true);
    let peer = stream.connect_info();
    let activity = registration.activity();
    let Some(tls) = &edge.tls else {
        return serve_http(&edge, stream, peer, activity).await;
    };
    let accept = TlsAcceptor::from(Arc::clone(&tls.borrow())).accept(stream);
    let mut accept = pin!(accept);
    // The handshake counts as headers: the connection registry ends it when it takes too long.
    let accepted = tokio::select! {
        accepted = &mut accept => accepted,
        _ = activity.orders.told() => return,
    };
    match accepted {
        Ok(stream) => serve_http(&edge, stream, peer, activity).await,
        Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "the TLS handshake failed"),
    }
}

async fn serve_http<I>(edge: &Edge, stream: I, peer: TcpConnectInfo, activity: &Arc<Activity>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = peer.remote_addr().map(|address| address.ip().to_canonical());
    let calls = calls::service(edge.handler.clone(), Arc::clone(activity), peer);
    let (stream, mut left) = Stream::new(stream, Arc::clone(activity));
    let ended = {
        let mut connection = pin!(edge.http.serve_connection(TokioIo::new(stream), calls));
        loop {
            tokio::select! {
                ended = &mut connection => break ended,
                order = activity.orders.told() => match order {
                    Order::Leave | Order::LastCall => connection.as_mut().graceful_shutdown(),
                    Order::Cut => return,
                },
            }
        }
    };
    if let Err(error) = &ended {
        tracing::debug!(error = &**error, "a connection ended");
    }
    let Ok(LeftStream { inner, withheld }) = left.try_recv() else { return };
    let is_served = ended.is_ok();
    let error = ended.err().and_then(|error| error.downcast::<hyper::Error>().ok());
    let malformed = error.and_then(|error| MalformedHead::of(&error, withheld, activity));
    let closing = async {
        if let Some(head) = malformed {
            let _ = MalformedHead { peer: address, ..head }.answer(&edge.handler, inner, activity).await;
        } else if is_served || activity.lingers() {
            // The library drops the connection of a peer that asked for another protocol (`Upgrade`, `CONNECT`) without
            // closing it.
            let (mut stream, _) = Stream::new(inner, Arc::clone(activity));
            let _ = stream.shutdown().await;
        }
    };
    tokio::select! {
        () = closing => {}
        () = async { while activity.orders.told().await != Order::Cut {} } => {}
    }
}
