//! Measures the throughput that a well-behaved client keeps beside an attack, and the peak memory of the server.
//!
//! The attacker has a thread of its own in this process, and a rate. It shares two processors with the client, the
//! server and the database, so an attacker that took a whole processor would only show that processors are shared. Each
//! rate is far above the rate that stops a service without the defense.

mod frames;
mod strangers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Interval, interval, sleep};

use crate::Bench;
use crate::catalog::AUTHORIZATION;
use crate::gzip::bomb;
use crate::measure::{Run, Side, alternate};
use crate::processes::highest_resident_mib;
use crate::report::{Figure, ReportRow, Wanted};
use crate::requests::MeasuredApi;
use crate::service::{CUSTOMERS, MeasuredService};
use frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame};
pub use strangers::{half_sent, token_bodies, window_updates, wrong_credentials, zero_window};

/// Number of requests in flight of the well-behaved client.
const IN_FLIGHT: usize = 16;
/// Time for which an attack runs before the measurement starts.
const BEFORE: Duration = Duration::from_secs(4);
/// Number of connections that send their headers slowly, one header a second.
const DRIPPING: usize = 2_000;
/// Number of connections that send nothing.
const IDLE: usize = 10_000;
/// Number of new connections a second, including those that replace connections that the server ended.
const CONNECTIONS_PER_SECOND: u32 = 3_000;
const REOPENED_PER_SECOND: u32 = 300;
/// Number of bursts a second of calls that are cancelled, at once or while they are under way.
const BURSTS_PER_SECOND: u32 = 200;
const BURST: usize = 20;
const UNDER_WAY_AFTER: Duration = Duration::from_millis(3);
/// Number of large bodies, large headers and bombs a second.
const LARGE_PER_SECOND: u32 = 50;
/// Declared size of a large body, in bytes, which the attacker sends for as long as the server takes it.
const LARGE_BODY_BYTES: usize = 1 << 30;
const CHUNK_BYTES: usize = 64 * 1024;
/// Size of the headers, and of a bomb before it is inflated to 158 times as much, in bytes.
const LARGE_HEADER_BYTES: usize = 400_000;
const BOMB_BYTES: usize = 900_000;
/// Number of connections of attackers that need few.
const FEW: usize = 8;
const PATH: &str = "/api_gateway/v1/promotions/earn/bulk";
const GRPC_PATH: &str = "/cartpromotions.v1.EarnService/BulkEarn";

/// The peak memory of the server under any attack, in KiB.
static PEAK_KIB: AtomicU64 = AtomicU64::new(0);

/// An attacker: its target, its rate, and its counts.
struct Attacker {
    address: SocketAddr,
    pace: Mutex<Interval>,
    /// Number of connections, calls or bodies, and how many of them the server ended or refused.
    tried: AtomicUsize,
    ended: AtomicUsize,
}

/// The name and the meaning of a row, and the rate of its attack.
#[derive(Clone, Copy)]
struct Attack {
    name: &'static str,
    what: &'static str,
    per_second: u32,
}

impl Attacker {
    /// Waits for the next moment of the attacker's rate, and counts the attempt.
    async fn pace(&self) {
        self.pace.lock().await.tick().await;
        self.tried.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    async fn connect(&self) -> TcpStream {
        loop {
            if let Ok(stream) = TcpStream::connect(self.address).await {
                return stream;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn http2(&self) -> h2::client::SendRequest<Bytes> {
        loop {
            if let Ok((sender, connection)) = h2::client::handshake(self.connect().await).await {
                tokio::spawn(connection);
                return sender;
            }
        }
    }
}

pub fn slow_loris(bench: &Bench) -> ReportRow {
    let what = "beside 2,000 connections whose headers drip ÷ alone";
    beside(bench, Attack { name: "attack-slow-loris", what, per_second: CONNECTIONS_PER_SECOND }, |attacker| {
        each(DRIPPING, move |index| drip(Arc::clone(&attacker), index))
    })
}

async fn drip(attacker: Arc<Attacker>, index: usize) {
    loop {
        attacker.pace().await;
        let mut stream = attacker.connect().await;
        let head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\nx-of: {index}\r\n");
        let mut written = stream.write_all(head.as_bytes()).await;
        while written.is_ok() {
            sleep(Duration::from_secs(1)).await;
            written = stream.write_all(b"x: y\r\n").await;
        }
        attacker.ended();
        sleep(Duration::from_secs(1)).await;
    }
}

pub fn idle(bench: &Bench) -> ReportRow {
    let what = "beside 10,000 connections that say nothing, opened anew when they are ended ÷ alone";
    beside(bench, Attack { name: "attack-idle", what, per_second: CONNECTIONS_PER_SECOND }, |attacker| async move {
        let again = Arc::new(Mutex::new(every(REOPENED_PER_SECOND)));
        each(IDLE, move |index| stay(Arc::clone(&attacker), Arc::clone(&again), index)).await;
    })
}

async fn stay(attacker: Arc<Attacker>, again: Arc<Mutex<Interval>>, index: usize) {
    attacker.pace().await;
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        // The number of ports of one address is limited.
        let source = format!("127.0.0.{}:0", 2 + index % 4);
        socket.bind(source.parse().unwrap()).unwrap();
        if let Ok(mut stream) = socket.connect(attacker.address).await {
            let _ = stream.read(&mut [0; 1]).await;
        }
        attacker.ended();
        again.lock().await.tick().await;
        attacker.tried.fetch_add(1, Ordering::Relaxed);
    }
}

pub fn rapid_reset(bench: &Bench) -> ReportRow {
    let what = "beside 4,000 calls a second that are given up, at once or when they are under way, over HTTP/2 ÷ alone";
    beside(bench, Attack { name: "attack-rapid-reset", what, per_second: BURSTS_PER_SECOND }, |attacker| {
        each(FEW, move |index| reset(Arc::clone(&attacker), index % 2 == 0))
    })
}

async fn reset(attacker: Arc<Attacker>, at_once: bool) {
    loop {
        let mut sender = attacker.http2().await;
        while reset_some(&attacker, &mut sender, at_once).await.is_ok() {}
        attacker.ended();
    }
}

async fn reset_some(
    attacker: &Attacker,
    sender: &mut h2::client::SendRequest<Bytes>,
    at_once: bool,
) -> Result<(), h2::Error> {
    attacker.pace().await;
    let mut calls = Vec::new();
    for _ in 0..BURST {
        *sender = sender.clone().ready().await?;
        calls.push(sender.send_request(grpc_head(attacker, &[]), false)?);
    }
    if !at_once {
        sleep(UNDER_WAY_AFTER).await;
    }
    for (_, body) in &mut calls {
        body.send_reset(Reason::CANCEL);
    }
    Ok(())
}

fn grpc_head(attacker: &Attacker, more: &[(&str, &str)]) -> Request<()> {
    let request = Request::post(format!("http://{}{GRPC_PATH}", attacker.address));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let request = request.header("authorization", AUTHORIZATION);
    more.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}

pub fn large_body(bench: &Bench) -> ReportRow {
    let what = "beside 50 bodies a second of 1 GB, declared and in chunks without end ÷ alone";
    beside(bench, Attack { name: "attack-large-body", what, per_second: LARGE_PER_SECOND }, |attacker| {
        each(FEW, move |index| pour(Arc::clone(&attacker), index % 2 == 0))
    })
}

/// Sends one body after the other until the server closes the connection.
async fn pour(attacker: Arc<Attacker>, declared: bool) {
    let length =
        if declared { format!("content-length: {LARGE_BODY_BYTES}") } else { "transfer-encoding: chunked".to_owned() };
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {AUTHORIZATION}\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
    );
    let chunk = if declared {
        vec![b' '; CHUNK_BYTES]
    } else {
        [format!("{CHUNK_BYTES:x}\r\n").into_bytes(), vec![b' '; CHUNK_BYTES], b"\r\n".to_vec()].concat()
    };
    loop {
        attacker.pace().await;
        let mut stream = attacker.connect().await;
        let mut written = stream.write_all(head.as_bytes()).await;
        while written.is_ok() {
            written = stream.write_all(&chunk).await;
        }
        attacker.ended();
    }
}

pub fn header_bomb(bench: &Bench) -> ReportRow {
    let what = "beside 50 heads a second of 400 KB, and of 16 KB that unpack to 48 MB over HTTP/2 ÷ alone";
    beside(bench, Attack { name: "attack-header-bomb", what, per_second: LARGE_PER_SECOND }, |attacker| {
        each(FEW, move |index| swell(Arc::clone(&attacker), index % 2 == 0))
    })
}

async fn swell(attacker: Arc<Attacker>, packed: bool) {
    let head = if packed {
        packed_head()
    } else {
        let long = "y".repeat(LARGE_HEADER_BYTES);
        format!("GET {PATH} HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n").into_bytes()
    };
    loop {
        attacker.pace().await;
        let mut stream = attacker.connect().await;
        if stream.write_all(&head).await.is_ok() {
            let mut answer = [0; 1024];
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut answer)).await;
        }
        attacker.ended();
    }
}

/// Returns an HTTP/2 connection with one frame of headers: one header of 3,900 bytes, and then its index as often as it
/// fits.
fn packed_head() -> Vec<u8> {
    let value = 3_900;
    // `GET`, `http`, `/`; then a literal that goes into the table, with a name of one byte.
    let mut headers = vec![0x82, 0x86, 0x84, 0x40, 1, b'x', 0x7f];
    let mut rest = value - 127;
    while rest >= 128 {
        headers.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    headers.push(u8::try_from(rest).unwrap());
    headers.extend(vec![b'y'; value]);
    // The index of the first entry in the table of this connection.
    headers.resize(16_384, 0xbe);
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, END_HEADERS | END_STREAM, 1, &headers)].concat()
}

pub fn gzip_bomb(bench: &Bench) -> ReportRow {
    let what = "beside 50 bodies a second of 0.9 MB that inflate to 142 MB, over JSON and gRPC ÷ alone";
    beside(bench, Attack { name: "attack-gzip-bomb", what, per_second: LARGE_PER_SECOND }, |attacker| {
        each(FEW, move |index| explode(Arc::clone(&attacker), index % 2 == 0))
    })
}

async fn explode(attacker: Arc<Attacker>, grpc: bool) {
    let bomb = bomb(BOMB_BYTES);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {AUTHORIZATION}\r\ncontent-type: application/json\r\n\
         content-encoding: gzip\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        bomb.len()
    );
    // One byte says that the message is compressed, and four give its length.
    let length = u32::try_from(bomb.len()).unwrap().to_be_bytes();
    let message = Bytes::from([&[1], length.as_slice(), &bomb].concat());
    loop {
        attacker.pace().await;
        if grpc {
            let mut sender = attacker.http2().await;
            if let Ok((answer, mut body)) =
                sender.send_request(grpc_head(&attacker, &[("grpc-encoding", "gzip")]), false)
            {
                let _ = body.send_data(message.clone(), true);
                let _ = answer.await;
            }
        } else {
            let mut stream = attacker.connect().await;
            let _ = stream.write_all(&[head.as_bytes(), &bomb].concat()).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        attacker.ended();
    }
}

pub fn memory(_: &Bench) -> ReportRow {
    let what = "highest resident memory of the server in the attacks before this row";
    #[expect(clippy::cast_precision_loss, reason = "of what a machine has")]
    let highest = PEAK_KIB.load(Ordering::Relaxed) as f64 / 1024.0;
    ReportRow::figure("attack-memory", what, Wanted::AtMost(150.0), Figure { value: vec![highest], unit: "MiB" })
}

fn every(per_second: u32) -> Interval {
    interval(Duration::from_secs(1) / per_second)
}

/// Runs `count` attackers of one kind until they are ended.
async fn each<F: Future<Output = ()> + Send + 'static>(count: usize, make: impl Fn(usize) -> F) {
    let tasks: tokio::task::JoinSet<()> = (0..count).map(make).collect();
    tasks.join_all().await;
}

/// Measures a client beside the attack and without it, alternately, on one service.
fn beside<F: Future<Output = ()>>(
    bench: &Bench,
    named: Attack,
    attack: impl Fn(Arc<Attacker>) -> F + Sync,
) -> ReportRow {
    let Attack { name, what, per_second } = named;
    let service = MeasuredService::on_postgres(bench, "attack", CUSTOMERS);
    let (mut tried, mut ended, mut highest) = (0, 0, 0.0_f64);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("beside it", "grants/s", "requests"), Side::new("alone", "grants/s", "requests")],
        || {
            let mut run = None;
            let work = || run = Some(measure(bench, &service));
            let peak = highest_resident_mib(service.server.process(), || {
                let done = under(service.server.address, per_second, &attack, work);
                tried += done.0;
                ended += done.1;
            });
            highest = highest.max(peak);
            run.unwrap()
        },
        || measure(bench, &service),
    );
    assert!(tried > 0, "nothing was attacked");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "of what a machine has")]
    PEAK_KIB.fetch_max((highest * 1024.0) as u64, Ordering::Relaxed);
    let note = format!("{tried} tried, {ended} ended; at most {highest:.0} MiB");
    ReportRow::ratio(name, what, Wanted::AtLeast(0.8), sides).with_note(note)
}

/// Runs `work` during the attack. Returns what the attacker did.
fn under<F: Future<Output = ()>>(
    address: SocketAddr,
    per_second: u32,
    attack: &(impl Fn(Arc<Attacker>) -> F + Sync),
    work: impl FnOnce(),
) -> (usize, usize) {
    let (stop, mut stopped) = oneshot::channel::<()>();
    std::thread::scope(|scope| {
        let attacking = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // The attacker's connections are closed with the runtime.
            runtime.block_on(async {
                let pace = Mutex::new(every(per_second));
                let (tried, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let attacker = Arc::new(Attacker { address, pace, tried, ended });
                tokio::select! {
                    () = attack(Arc::clone(&attacker)) => {}
                    _ = &mut stopped => {}
                }
                (attacker.tried.load(Ordering::Relaxed), attacker.ended.load(Ordering::Relaxed))
            })
        });
        std::thread::sleep(BEFORE);
        work();
        drop(stop);
        attacking.join().unwrap()
    })
}

fn measure(bench: &Bench, service: &MeasuredService) -> Run {
    service.database.empty_wallet();
    service.measure(service.shape(MeasuredApi::Grpc, 1), IN_FLIGHT, bench.seconds()).run
}
