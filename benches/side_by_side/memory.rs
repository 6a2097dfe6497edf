//! Measures the resident memory of the server: at rest, after work, and with many requests in flight.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::Bench;
use crate::processes::highest_resident_mib;
use crate::report::{Figure, ReportRow, Wanted};
use crate::requests::{MeasuredApi, Requests};
use crate::service::{CUSTOMERS, IN_FLIGHT, MeasuredService};

/// Number of requests in flight under load.
const MANY_IN_FLIGHT: usize = 1_000;
/// Number of requests before the server is at rest again.
const REQUESTS: usize = 20_000;
/// Time until the server is at rest.
const SETTLE: Duration = Duration::from_secs(1);

pub fn under_load(bench: &Bench) -> ReportRow {
    let highest = [MeasuredApi::Grpc, MeasuredApi::Json].map(|endpoint| {
        let service = MeasuredService::on_postgres(bench, "memory", CUSTOMERS);
        let shape = service.shape(endpoint, 10);
        highest_resident_mib(service.server.process(), || {
            service.measure(shape, MANY_IN_FLIGHT, bench.seconds());
        })
    });
    let what = "resident memory, 1,000 requests of 10 entries in flight, the worse of both endpoints";
    let worse = highest[0].max(highest[1]);
    ReportRow::figure("memory", what, Wanted::AtMost(150.0), Figure { value: vec![worse], unit: "MiB" })
}

pub fn idle(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_sqlite(bench, CUSTOMERS);
    thread::sleep(SETTLE);
    let what = "resident memory on SQLite, idle";
    ReportRow::figure(
        "memory-idle",
        what,
        Wanted::AtMost(60.0),
        Figure { value: vec![service.server.resident_mib()], unit: "MiB" },
    )
}

pub fn idle_after_requests(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_sqlite(bench, CUSTOMERS);
    let requests = Arc::new(Requests::new(service.shape(MeasuredApi::Grpc, 1), REQUESTS));
    service.send(&requests, MeasuredApi::Grpc, IN_FLIGHT);
    thread::sleep(SETTLE);
    let what = "resident memory on SQLite, idle again after 20,000 requests";
    ReportRow::figure(
        "memory-after",
        what,
        Wanted::AtMost(60.0),
        Figure { value: vec![service.server.resident_mib()], unit: "MiB" },
    )
}
