//! Measures grants per second: next to bare inserts into the same table, and of one way of granting next to another.

use crate::Bench;
use crate::baseline::{Baseline, REDEEMABLE_PER_CUSTOMER, fill_sql};
use crate::catalog::{CAPPED, CAPPED_LATE, ORG, UNCAPPED, late_cap};
use crate::measure::{Run, Side, alternate};
use crate::report::{ReportRow, Wanted};
use crate::requests::{MeasuredApi, MeasuredCall, Shape, redeem_from_the_first};
use crate::server::ServerOptions;
use crate::service::{CUSTOMERS, IN_FLIGHT, MeasuredService};
use crate::terms::CAP_COLUMN;

/// Number of connections of the one-row inserts.
pub const CONNECTIONS: usize = 32;
/// Number of rows of one `COPY`.
const COPY_ROWS: usize = 500_000;

pub fn one_entry(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "one_entry", CUSTOMERS);
    let baseline = Baseline::new(service.database.postgres(), service.customers);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("gRPC", "grants/s", "requests"), Side::new("one-row inserts", "rows/s", "rows")],
        || granting(bench, &service, service.shape(MeasuredApi::Grpc, 1)),
        || baseline.one_row_inserts(CONNECTIONS, bench.seconds()),
    );
    ReportRow::ratio("one-entry", "gRPC, 1 entry ÷ prepared one-row inserts", Wanted::AtLeast(1.0), sides)
}

pub fn ten_entries(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "ten_entries", CUSTOMERS);
    let baseline = Baseline::new(service.database.postgres(), service.customers);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("gRPC", "grants/s", "requests"), Side::new("COPY", "rows/s", "rows")],
        || granting(bench, &service, service.shape(MeasuredApi::Grpc, 10)),
        || baseline.copy(bench.runtime.handle(), bench.volume(COPY_ROWS)),
    );
    ReportRow::ratio("ten-entries", "gRPC, 10 entries ÷ COPY", Wanted::AtLeast(0.6), sides)
}

pub fn json_one_entry(bench: &Bench) -> ReportRow {
    endpoints(bench, "json-one-entry", "JSON ÷ gRPC, 1 entry", 1)
}

pub fn json_ten_entries(bench: &Bench) -> ReportRow {
    endpoints(bench, "json-ten-entries", "JSON ÷ gRPC, 10 entries", 10)
}

fn endpoints(bench: &Bench, name: &'static str, what: &'static str, entries: usize) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "endpoints", CUSTOMERS);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("JSON", "grants/s", "requests"), Side::new("gRPC", "grants/s", "requests")],
        || granting(bench, &service, service.shape(MeasuredApi::Json, entries)),
        || granting(bench, &service, service.shape(MeasuredApi::Grpc, entries)),
    );
    ReportRow::ratio(name, what, Wanted::AtLeast(0.8), sides)
}

pub fn capped(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "capped", CUSTOMERS);
    let shape = service.shape(MeasuredApi::Grpc, 1);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("capped", "grants/s", "requests"), Side::new("uncapped", "grants/s", "requests")],
        || granting(bench, &service, Shape { promotions: &[CAPPED], ..shape }),
        || granting(bench, &service, Shape { promotions: &UNCAPPED[..1], ..shape }),
    );
    ReportRow::ratio("capped", "all on one promotion, capped ÷ uncapped", Wanted::AtLeast(0.8), sides)
}

pub fn capped_late(bench: &Bench) -> ReportRow {
    let what = "all on one promotion, capped after it was earned ÷ from its beginning, every customer counted";
    late(bench, "capped-late", what, |service| {
        service.database.execute(&count_everybody());
        service.database.execute("VACUUM ANALYZE cap_usage");
    })
}

pub fn capped_late_first(bench: &Bench) -> ReportRow {
    let what = "the same, the first earning of each customer since the cap";
    late(bench, "capped-late-first", what, |service| service.database.execute("TRUNCATE cap_usage"))
}

/// Returns SQL that creates an empty count of each capped promotion for each customer, as a revocation leaves it.
fn count_everybody() -> String {
    format!(
        "INSERT INTO cap_usage
         SELECT customers.org_id, customer_id, id, 0, {CAP_COLUMN}, cap_period, 0
         FROM customers JOIN promotions ON promotions.org_id = customers.org_id AND {CAP_COLUMN} > 0
         ON CONFLICT (org_id, customer_id, promotion_id) DO UPDATE SET used = 0, cap_period = excluded.cap_period"
    )
}

/// Compares a promotion that got its cap after it was earned with one that had it from the beginning.
fn late(bench: &Bench, name: &'static str, what: &'static str, prepare: impl Fn(&MeasuredService)) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "capped_late", CUSTOMERS);
    let shape = |promotions: &'static [&'static str]| Shape { promotions, ..service.shape(MeasuredApi::Grpc, 1) };
    // The cap is set after something was earned, so the counts are of another period.
    granting(bench, &service, shape(&[CAPPED_LATE]));
    service.import(&late_cap());
    let granting = |promotions| {
        prepare(&service);
        granting(bench, &service, shape(promotions))
    };
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("late", "grants/s", "requests"), Side::new("from the beginning", "grants/s", "requests")],
        || granting(&[CAPPED_LATE]),
        || granting(&[CAPPED]),
    );
    ReportRow::ratio(name, what, Wanted::AtLeast(0.97), sides)
}

pub fn access(bench: &Bench) -> ReportRow {
    let service = |name, arguments: &[&str]| {
        MeasuredService::on_postgres_with(
            bench,
            name,
            CUSTOMERS,
            ServerOptions { arguments, ..ServerOptions::default() },
        )
    };
    // The limit is higher than the possible rate, so that requests are counted and never refused.
    let on = service("access_on", &["--requests-per-minute", "4000000000"]);
    let off = service("access_off", &["--without-authentication", &ORG.to_string()]);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("on", "grants/s", "requests"), Side::new("off", "grants/s", "requests")],
        || granting(bench, &on, on.shape(MeasuredApi::Grpc, 1)),
        || granting(bench, &off, off.shape(MeasuredApi::Grpc, 1)),
    );
    ReportRow::ratio("access", "gRPC, 1 entry, authentication and rate limit on ÷ off", Wanted::AtLeast(0.95), sides)
}

pub fn repeat_one_entry(bench: &Bench) -> ReportRow {
    repeat(bench, "repeat-one-entry", "sent again ÷ sent first, 1 entry", 1)
}

pub fn repeat_ten_entries(bench: &Bench) -> ReportRow {
    repeat(bench, "repeat-ten-entries", "sent again ÷ sent first, 10 entries", 10)
}

fn repeat(bench: &Bench, name: &'static str, what: &'static str, entries: usize) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "repeat", CUSTOMERS);
    let mut again = Side::new("again", "grants/s", "requests");
    let mut first = Side::new("first", "grants/s", "requests");
    for _ in 0..Bench::ROUNDS {
        service.database.empty_wallet();
        let sent = service.measure(service.shape(MeasuredApi::Grpc, entries), IN_FLIGHT, bench.seconds());
        first.runs.push(sent.run);
        again.runs.push(service.send(&sent.requests, MeasuredApi::Grpc, IN_FLIGHT));
        assert_eq!(service.database.wallet_rows(), sent.granted, "rows of the wallet");
    }
    ReportRow::ratio(name, what, Wanted::AtLeast(1.0), [again, first])
}

/// Measures grants into an empty wallet.
pub fn granting(bench: &Bench, service: &MeasuredService, shape: Shape) -> Run {
    service.database.empty_wallet();
    let sent = service.measure(shape, IN_FLIGHT, bench.seconds());
    assert_eq!(service.database.wallet_rows(), sent.granted, "rows of the wallet");
    sent.run
}

pub fn earn(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "earn", CUSTOMERS);
    let shape = service.shape(MeasuredApi::Grpc, 1);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("Earn", "µs", "requests"), Side::new("BulkEarn", "µs", "requests")],
        || granting(bench, &service, Shape { call: MeasuredCall::Earn, ..shape }).as_cost(),
        || granting(bench, &service, shape).as_cost(),
    );
    ReportRow::ratio("earn", "processor time, gRPC, Earn ÷ BulkEarn of one entry", Wanted::AtMost(1.0), sides)
}

pub fn redeem(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "redeem", CUSTOMERS);
    let shape = service.shape(MeasuredApi::Grpc, 1);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("Redeem", "µs", "requests"), Side::new("BulkEarn", "µs", "requests")],
        || on_a_filled_wallet(bench, &service, Shape { call: MeasuredCall::Redeem, ..shape }).as_cost(),
        || on_a_filled_wallet(bench, &service, shape).as_cost(),
    );
    ReportRow::ratio(
        "redeem",
        "processor time, gRPC, Redeem of one ÷ BulkEarn of one entry",
        Wanted::AtMost(2.0),
        sides,
    )
}

/// Measures a wallet in which every customer has the same number of rows.
fn on_a_filled_wallet(bench: &Bench, service: &MeasuredService, shape: Shape) -> Run {
    let database = service.database.postgres();
    database.execute("TRUNCATE earned_promotions, redemptions");
    let rows = service.customers * REDEEMABLE_PER_CUSTOMER;
    database.execute(&fill_sql(rows, REDEEMABLE_PER_CUSTOMER));
    database.execute("VACUUM ANALYZE earned_promotions");
    database.execute("CHECKPOINT");
    redeem_from_the_first();
    service.measure(shape, IN_FLIGHT, bench.seconds()).run
}
