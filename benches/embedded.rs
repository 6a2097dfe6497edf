//! What the service costs on its embedded engine: cold start, resident memory, and requests per second next to the
//! same rows inserted straight into SQLite in equal batches, in the same run. `docs/performance.md` quotes it.
//!
//! `cargo bench` runs it: the release server as a process of its own, a closed loop of callers beside it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people"
)]

use std::fs::File;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cart_promotions::proto;
use cart_promotions::proto::earn_service_client::EarnServiceClient;
use rusqlite::types::Value;
use tempfile::TempDir;
use tonic::transport::Channel;

/// Requests under way at any time.
const IN_FLIGHT: usize = 128;
/// gRPC connections they share.
const CONNECTIONS: usize = 4;
/// Runs of each measurement; the median counts.
const ROUNDS: usize = 3;
const TEN_OFF: &str = "6912ced9d39e256f754a83f8";
const BASIC: &str = "Basic ZGVtbzpkZW1v";

/// The release server on a database of its own.
struct Server {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
    ready_after: Duration,
}

impl Server {
    fn start(directory: TempDir) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cart-promotions"));
        command.args(["serve", "--demo", "--listen", &address.to_string(), "--log-format", "json"]);
        let log = File::create(directory.path().join("log")).unwrap();
        let begun = Instant::now();
        let child = command.current_dir(&directory).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        while !ready(address) {
            assert!(begun.elapsed() < Duration::from_secs(10), "the server does not start");
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { child, address, directory, ready_after: begun.elapsed() }
    }

    fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Stops it; gives how many transactions it wrote, and where its database is.
    fn stop(mut self) -> (f64, TempDir) {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(self.child.wait().unwrap().success());
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
        let line = log.lines().find(|line| line.contains("writer stopped")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["transactions"].as_f64().unwrap(), self.directory)
    }
}

fn ready(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return false };
    let mut answer = [0; 12];
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"HTTP/1.1 200"
}

fn request(number: usize, entries: usize) -> proto::BulkEarnRequest {
    let event_type = proto::EarnedFromType::BulkIssue as i32;
    let entry = |index: usize| proto::PromotionToEarn {
        promotion_id: TEN_OFF.to_owned(),
        earn_count: 1,
        earned_from_id: format!("68fb1c9731d91c625a8d{index:04}"),
    };
    proto::BulkEarnRequest {
        customer_id: 566_881_933,
        event_time: Some(1_761_750_000_000),
        earned_from_type: event_type,
        event_details: Some(proto::EventDetails {
            id: format!("event-{number}"),
            r#type: event_type,
            event_payload: None,
        }),
        earned_promotions: (0..entries).map(entry).collect(),
        ..Default::default()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Door {
    Grpc,
    Json,
}

/// Sends requests of these numbers in a closed loop; gives the seconds it took.
async fn load(address: SocketAddr, door: Door, numbers: Range<usize>, entries: usize) -> f64 {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap());
    }
    let http = reqwest::Client::new();
    let url = format!("http://{address}/api_gateway/v1/promotions/earn/bulk");
    let mut callers = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for caller in 0..IN_FLIGHT {
        let mut grpc = EarnServiceClient::new(channels[caller % CONNECTIONS].clone());
        let (http, url, numbers) = (http.clone(), url.clone(), numbers.clone());
        callers.spawn(async move {
            for number in numbers.skip(caller).step_by(IN_FLIGHT) {
                let message = request(number, entries);
                if door == Door::Grpc {
                    let mut call = tonic::Request::new(message);
                    call.metadata_mut().insert("authorization", BASIC.parse().unwrap());
                    let answer = grpc.bulk_earn(call).await.unwrap().into_inner();
                    assert!(answer.data.iter().all(|entry| entry.successful_earn_count == 1));
                } else {
                    let call =
                        http.post(&url).header("authorization", BASIC).header("content-type", "application/json");
                    let answer = call.body(serde_json::to_vec(&message).unwrap()).send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.unwrap();
                }
            }
        });
    }
    callers.join_all().await;
    begun.elapsed().as_secs_f64()
}

/// Inserts the rows of the database in `filled` straight into an empty one, `batch` at a time; gives the seconds.
fn insert_straight(filled: &Path, batch: usize) -> f64 {
    let filled = rusqlite::Connection::open(filled).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let straight = rusqlite::Connection::open(directory.path().join("straight.db")).unwrap();
    straight.pragma_update(None, "journal_mode", "wal").unwrap();
    straight.pragma_update(None, "synchronous", "full").unwrap();
    let mut schema = filled
        .prepare(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'earned_promotions' AND sql IS NOT NULL ORDER BY type DESC",
        )
        .unwrap();
    for sql in schema.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        straight.execute_batch(&sql.unwrap()).unwrap();
    }
    let mut rows = filled.prepare("SELECT * FROM earned_promotions ORDER BY earn_id").unwrap();
    let columns = rows.column_count();
    let rows: Vec<Vec<Value>> = rows
        .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let sql = format!("INSERT INTO earned_promotions VALUES ({})", vec!["?"; columns].join(", "));
    let mut insert = straight.prepare(&sql).unwrap();
    let begun = Instant::now();
    for rows in rows.chunks(batch) {
        straight.execute_batch("BEGIN IMMEDIATE").unwrap();
        for row in rows {
            insert.execute(rusqlite::params_from_iter(row)).unwrap();
        }
        straight.execute_batch("COMMIT").unwrap();
    }
    begun.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small counts"
)]
fn measure(runtime: &tokio::runtime::Runtime, door: Door, requests: usize, entries: usize) -> [f64; 4] {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let server = Server::start(tempfile::tempdir().unwrap());
        // Connections, caches and the credentials are warm; these are not counted.
        let seconds = runtime.block_on(async {
            load(server.address, door, 0..IN_FLIGHT, entries).await;
            load(server.address, door, IN_FLIGHT..IN_FLIGHT + requests, entries).await
        });
        let (transactions, directory) = server.stop();
        let rows = ((requests + IN_FLIGHT) * entries) as f64;
        let batch = (rows / transactions).round().max(1.0);
        let database: PathBuf = directory.path().join("cart-promotions.db");
        let straight = rows / insert_straight(&database, batch as usize);
        let granted = (requests * entries) as f64 / seconds;
        rounds.push([requests as f64 / seconds, batch, straight, granted / straight]);
    }
    std::array::from_fn(|column| median(rounds.iter().map(|round| round[column]).collect()))
}

fn main() {
    let starts = (0..10).map(|_| {
        let server = Server::start(tempfile::tempdir().unwrap());
        let milliseconds = server.ready_after.as_secs_f64() * 1000.0;
        server.stop();
        milliseconds
    });
    println!("cold start with --demo, new database, to the first ready answer: {:.0} ms", median(starts.collect()));

    let server = Server::start(tempfile::tempdir().unwrap());
    std::thread::sleep(Duration::from_secs(1));
    println!("resident memory, idle: {:.0} MiB", server.resident_mib());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(load(server.address, Door::Grpc, 0..20_000, 1));
    std::thread::sleep(Duration::from_secs(1));
    println!("resident memory, idle after 20,000 requests: {:.0} MiB", server.resident_mib());
    server.stop();

    println!("| door | entries | requests/s | grants/s | rows per commit | straight rows/s | ratio |");
    println!("|---|---|---|---|---|---|---|");
    for (door, name) in [(Door::Grpc, "gRPC"), (Door::Json, "JSON")] {
        for (entries, requests) in [(1, 20_000), (10, 6_000)] {
            let [rate, batch, straight, ratio] = measure(&runtime, door, requests, entries);
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            let grants = rate * entries as f64;
            println!("| {name} | {entries} | {rate:.0} | {grants:.0} | {batch:.0} | {straight:.0} | {ratio:.2} |");
        }
    }
}
