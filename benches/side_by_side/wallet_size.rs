//! Throughput on a big wallet next to a small one.

use crate::Bench;
use crate::baseline;
use crate::measure::{Run, Side, alternate};
use crate::report::{Row, Wanted};
use crate::requests::Door;
use crate::service::{IN_FLIGHT, Service};

const BIG_ROWS: usize = 10_000_000;
const SMALL_ROWS: usize = 100_000;
const ROWS_PER_CUSTOMER: usize = 10;

pub fn big_wallet(bench: &Bench) -> Row {
    let service = |name, rows| Service::on_postgres(bench, name, rows / ROWS_PER_CUSTOMER);
    let (big, small) = (bench.volume(BIG_ROWS), bench.volume(SMALL_ROWS));
    let (big, small) = (service("big_wallet", big), service("small_wallet", small));
    fill(&big);
    let sides = alternate(
        Bench::ROUNDS,
        [Side::new("big", "grants/s", "requests"), Side::new("small", "grants/s", "requests")],
        || measure(bench, &big),
        || {
            // What the round before added is much to it.
            fill(&small);
            measure(bench, &small)
        },
    );
    let what = "gRPC, 1 entry, 10 million rows in the wallet ÷ 100 thousand";
    Row::ratio("big-wallet", what, Wanted::AtLeast(0.8), sides)
}

fn fill(service: &Service) {
    let database = service.database.postgres();
    database.execute("TRUNCATE earned_promotions");
    database.execute(&baseline::fill_sql(service.customers * ROWS_PER_CUSTOMER, ROWS_PER_CUSTOMER));
    database.execute("VACUUM ANALYZE earned_promotions");
}

fn measure(bench: &Bench, service: &Service) -> Run {
    service.database.execute("CHECKPOINT");
    service.measure(service.shape(Door::Grpc, 1), IN_FLIGHT, bench.seconds()).run
}
