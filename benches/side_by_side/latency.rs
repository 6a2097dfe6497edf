//! Measures latency under half of the load that the server can take, next to that of one insert alone.

use std::sync::Arc;

use crate::baseline::Baseline;
use crate::measure::{Run, Side, alternate, count, float};
use crate::report::{Row, Wanted};
use crate::requests::{Endpoint, Requests};
use crate::service::{CUSTOMERS, IN_FLIGHT, Service};
use crate::{Bench, grpc, load};

pub fn at_half_of_the_peak(bench: &Bench) -> Row {
    let service = Service::on_postgres(bench, "latency", CUSTOMERS);
    let baseline = Baseline::new(service.database.postgres(), service.customers);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("p99 at half the peak", "ms", "requests"), Side::new("p99 of one insert alone", "ms", "rows")],
        || half_of_the_peak(bench, &service),
        || baseline.one_row_p99_ms(bench.seconds()),
    );
    let what = "latency, gRPC, 1 entry, at half of the peak rate ÷ a one-row insert alone";
    Row::ratio("latency", what, Wanted::AtMost(10.0), sides)
}

/// Finds the peak rate, then sends at half of it. The value is the 99th percentile in milliseconds.
fn half_of_the_peak(bench: &Bench, service: &Service) -> Run {
    service.database.empty_wallet();
    let shape = service.shape(Endpoint::Grpc, 1);
    let rate = service.measure(shape, IN_FLIGHT, bench.seconds() / 2.0).run.value / 2.0;
    let requests = Arc::new(Requests::new(shape, count(rate * bench.seconds())));
    let callers = bench.runtime.block_on(grpc::callers(service.server.address, shape.call, IN_FLIGHT));
    Run::of(service.watched(), || {
        let latencies = load::open(bench.runtime.handle(), &callers, &requests, rate);
        let p99_us = usize::try_from(latencies.value_at_quantile(0.99)).unwrap();
        (float(p99_us) / 1000.0, float(requests.len()))
    })
}
