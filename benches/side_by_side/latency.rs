//! Measures latency at a rate of requests that are due, next to one-row inserts that are due at theirs.

use std::cell::Cell;
use std::sync::Arc;

use crate::baseline::Baseline;
use crate::measure::{Run, Side, alternate, count, float};
use crate::report::{ReportRow, Wanted};
use crate::requests::{MeasuredApi, Requests};
use crate::service::{CUSTOMERS, IN_FLIGHT, MeasuredService};
use crate::throughput::CONNECTIONS;
use crate::{Bench, grpc, load};

/// Share of the inserts' peak at which both are compared.
const OF_THE_INSERTS_PEAK: f64 = 0.8;
/// Share of its own peak at which each is compared.
const OF_ITS_OWN_PEAK: f64 = 0.5;

pub fn at_the_rate_of_inserts(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "latency", CUSTOMERS);
    let baseline = Baseline::new(service.database.postgres(), service.customers);
    let rate = Cell::new(0.0);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("p99", "ms", "requests"), Side::new("p99 of the inserts", "ms", "rows")],
        || {
            rate.set(inserts_peak(bench, &baseline) * OF_THE_INSERTS_PEAK);
            p99_ms(bench, &service, rate.get())
        },
        || baseline.one_row_p99_ms(CONNECTIONS, rate.get(), bench.seconds()),
    );
    let note = format!("{:.0} per second in the last round", rate.get());
    let what = "latency, gRPC, 1 entry ÷ one-row inserts, both at 0.8 of the inserts' peak rate";
    ReportRow::ratio("latency-at-inserts-rate", what, Wanted::AtMost(0.25), sides).with_note(note)
}

pub fn at_half_of_the_peak(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "latency", CUSTOMERS);
    let baseline = Baseline::new(service.database.postgres(), service.customers);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("p99", "ms", "requests"), Side::new("p99 of the inserts", "ms", "rows")],
        || {
            service.database.empty_wallet();
            let peak = service.measure(service.shape(MeasuredApi::Grpc, 1), IN_FLIGHT, bench.seconds() / 2.0).run.value;
            p99_ms(bench, &service, peak * OF_ITS_OWN_PEAK)
        },
        || {
            let peak = inserts_peak(bench, &baseline);
            baseline.one_row_p99_ms(CONNECTIONS, peak * OF_ITS_OWN_PEAK, bench.seconds())
        },
    );
    let what = "latency, gRPC, 1 entry ÷ one-row inserts, each at half of its own peak rate";
    ReportRow::ratio("latency", what, Wanted::AtMost(1.0), sides)
}

/// Measures the peak rate of one-row inserts, in rows per second.
fn inserts_peak(bench: &Bench, baseline: &Baseline<'_>) -> f64 {
    baseline.one_row_inserts(CONNECTIONS, bench.seconds() / 2.0).value
}

/// Sends requests that are due at `rate` per second. The value is the 99th percentile of their latency in milliseconds.
fn p99_ms(bench: &Bench, service: &MeasuredService, rate: f64) -> Run {
    service.database.empty_wallet();
    let shape = service.shape(MeasuredApi::Grpc, 1);
    let requests = Arc::new(Requests::new(shape, count(rate * bench.seconds())));
    let callers = bench.runtime.block_on(grpc::callers(service.server.address, shape.call, IN_FLIGHT));
    Run::of(service.watched(), || {
        let latencies = load::open(bench.runtime.handle(), &callers, &requests, rate);
        let p99_us = usize::try_from(latencies.value_at_quantile(0.99)).unwrap();
        (float(p99_us) / 1000.0, float(requests.len()))
    })
}
