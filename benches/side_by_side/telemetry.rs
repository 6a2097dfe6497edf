//! Measures the cost of metrics that are scraped, and of traces that are sent to a collector, next to neither.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::measure::{Run, Side, alternate, median};
use crate::report::{ReportRow, Wanted};
use crate::requests::MeasuredApi;
use crate::server::{ServerOptions, free_address};
use crate::service::{CUSTOMERS, MeasuredService};
use crate::throughput::granting;

/// Time between two scrapes. Prometheus scrapes every 15 s or less often.
const SCRAPE_EVERY: Duration = Duration::from_millis(500);

pub fn metrics(bench: &Bench) -> ReportRow {
    let admin = free_address();
    let arguments = ["--admin-listen", &admin.to_string()];
    let on = ServerOptions { arguments: &arguments, ..ServerOptions::default() };
    let mut scrapes_ms = Vec::new();
    let sides = on_and_off(bench, on, |work| {
        let (run, taken_ms) = scraped(admin, work);
        scrapes_ms.extend(taken_ms);
        run
    });
    let (longest, median) = (scrapes_ms.iter().copied().fold(0.0, f64::max), median(scrapes_ms.clone()));
    let note = format!("{} scrapes, median {median:.1} ms, longest {longest:.1} ms", scrapes_ms.len());
    let what = "gRPC, 1 entry, metrics on and scraped twice a second ÷ off";
    ReportRow::ratio("metrics", what, Wanted::AtLeast(0.98), sides).with_note(note)
}

pub fn traces_of_one_percent(bench: &Bench) -> ReportRow {
    let what = "gRPC, 1 entry, one call in a hundred traced ÷ traces off";
    ReportRow::ratio("traces-one-percent", what, Wanted::AtLeast(0.97), traces(bench, "0.01"))
}

pub fn traces_of_none(bench: &Bench) -> ReportRow {
    let what = "gRPC, 1 entry, traces on and no call traced ÷ traces off";
    ReportRow::ratio("traces-none", what, Wanted::AtLeast(0.99), traces(bench, "0"))
}

/// Measures traces of this part of the calls next to none.
fn traces(bench: &Bench, part: &str) -> [Side; 2] {
    let endpoint = format!("http://{}", collector());
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_TRACES_SAMPLER_ARG", part)];
    on_and_off(bench, ServerOptions { environment: &environment, ..ServerOptions::default() }, |work| work())
}

/// Measures grants with these options next to grants without them. `around` runs the work of the first side.
fn on_and_off(bench: &Bench, on: ServerOptions<'_>, mut around: impl FnMut(&dyn Fn() -> Run) -> Run) -> [Side; 2] {
    let on = MeasuredService::on_postgres_with(bench, "telemetry_on", CUSTOMERS, on);
    let off = MeasuredService::on_postgres(bench, "telemetry_off", CUSTOMERS);
    alternate(
        Bench::ROUNDS_OF_SMALL_DIFFERENCES,
        [Side::new("on", "grants/s", "requests"), Side::new("off", "grants/s", "requests")],
        || around(&|| granting(bench, &on, on.shape(MeasuredApi::Grpc, 1))),
        || granting(bench, &off, off.shape(MeasuredApi::Grpc, 1)),
    )
}

/// Runs `work` while a thread scrapes. Returns the time of each scrape in milliseconds as well.
fn scraped(admin: SocketAddr, work: &dyn Fn() -> Run) -> (Run, Vec<f64>) {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let scraper = scope.spawn(move || {
            let mut taken_ms = Vec::new();
            while is_done.recv_timeout(SCRAPE_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                taken_ms.push(scrape(admin));
            }
            taken_ms
        });
        let run = work();
        drop(done);
        (run, scraper.join().unwrap())
    })
}

/// Scrapes once. Returns the time to the end of the response in milliseconds.
fn scrape(admin: SocketAddr) -> f64 {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    begun.elapsed().as_secs_f64() * 1000.0
}

/// Starts a collector that takes everything, on a thread of its own until this process ends.
fn collector() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || take(&stream.unwrap()));
        }
    });
    address
}

/// Answers each request of a connection, until the connection ends.
fn take(stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
