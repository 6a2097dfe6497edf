//! Measures throughput on a large wallet next to a small one.

use std::sync::Arc;

use crate::Bench;
use crate::baseline;
use crate::measure::{Run, Side, alternate};
use crate::report::{ReportRow, Wanted};
use crate::requests::{MeasuredApi, MeasuredCall, Requests, Shape};
use crate::service::{IN_FLIGHT, MeasuredService};

const BIG_ROWS: usize = 10_000_000;
const SMALL_ROWS: usize = 100_000;
const ROWS_PER_CUSTOMER: usize = 10;

pub fn big_wallet(bench: &Bench) -> ReportRow {
    let service = |name, rows| MeasuredService::on_postgres(bench, name, rows / ROWS_PER_CUSTOMER);
    let (big, small) = (bench.volume(BIG_ROWS), bench.volume(SMALL_ROWS));
    let (big, small) = (service("big_wallet", big), service("small_wallet", small));
    fill(&big);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("big", "grants/s", "requests"), Side::new("small", "grants/s", "requests")],
        || measure(bench, &big),
        || {
            // The small wallet is filled again because the round before added many rows in proportion.
            fill(&small);
            measure(bench, &small)
        },
    );
    let what = "gRPC, 1 entry, 10 million rows in the wallet ÷ 100 thousand";
    ReportRow::ratio("big-wallet", what, Wanted::AtLeast(0.8), sides)
}

/// Number of rows of the customer who has many.
const MANY_ROWS: usize = 100_000;
/// Number of consecutive pages in a timed part.
const PAGES: usize = 4_000;

pub fn listing(bench: &Bench) -> ReportRow {
    let customers = bench.volume(BIG_ROWS) / ROWS_PER_CUSTOMER;
    let service = MeasuredService::on_postgres(bench, "listing", customers);
    fill(&service);
    let (first, rich) = (customers * ROWS_PER_CUSTOMER + 1, customers);
    let database = service.database.postgres();
    database.execute(&baseline::fill_one_sql(rich, first, first + bench.volume(MANY_ROWS)));
    database.execute("VACUUM ANALYZE earned_promotions");
    let list = |customers| {
        let shape = Shape { call: MeasuredCall::List, customers, ..service.shape(MeasuredApi::Grpc, 1) };
        let pages = |count| service.send(&Arc::new(Requests::new(shape, count)), MeasuredApi::Grpc, 1);
        pages(PAGES / 10);
        pages(PAGES)
    };
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("of 100,000", "pages/s", "requests"), Side::new("of 10", "pages/s", "requests")],
        || list((rich, rich)),
        || list((1, customers - 1)),
    );
    let what = "first page of a wallet of 100,000, among 10 million rows ÷ of one of 10, one after the other";
    ReportRow::ratio("listing", what, Wanted::AtLeast(0.5), sides)
}

fn fill(service: &MeasuredService) {
    let database = service.database.postgres();
    database.execute("TRUNCATE earned_promotions");
    database.execute(&baseline::fill_sql(service.customers * ROWS_PER_CUSTOMER, ROWS_PER_CUSTOMER));
    database.execute("VACUUM ANALYZE earned_promotions");
}

fn measure(bench: &Bench, service: &MeasuredService) -> Run {
    service.database.execute("CHECKPOINT");
    service.measure(service.shape(MeasuredApi::Grpc, 1), IN_FLIGHT, bench.seconds()).run
}
