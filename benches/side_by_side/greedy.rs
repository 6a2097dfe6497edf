//! Measures the rate of a client with few requests in flight beside one with as many as it can have, next to its rate
//! beside an equal client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::catalog::{AUTHORIZATION, NEIGHBOUR};
use crate::measure::{Run, Side, count, float, median};
use crate::report::{ReportRow, Wanted};
use crate::requests::{MeasuredApi, Requests};
use crate::service::{CUSTOMERS, MeasuredService};
use crate::{Bench, grpc, load};

/// Number of requests in flight of a modest client, and of a greedy one.
const MODEST: usize = 16;
const GREEDY: usize = 2_000;
/// Number of prepared requests per second: more than a client is served, refusals included, because requests are made
/// before the measurement.
const REQUESTS_PER_SECOND: f64 = 60_000.0;
/// Duration of the warm-up, as a part of the timed part.
const WARM_UP: f64 = 0.2;

/// The outcomes of both clients' requests: p99 in milliseconds, and the number of refusals.
#[derive(Default)]
struct GreedyOutcome {
    modest_p99_ms: Vec<f64>,
    neighbour_p99_ms: Vec<f64>,
    neighbour_per_second: Vec<f64>,
    refused: usize,
}

pub fn beside_a_greedy_client(bench: &Bench) -> ReportRow {
    let service = MeasuredService::on_postgres(bench, "greedy", CUSTOMERS);
    let mut sides = [
        Side::new("beside a greedy client", "requests/s", "requests"),
        Side::new("beside a modest one", "requests/s", "requests"),
    ];
    let mut told = [GreedyOutcome::default(), GreedyOutcome::default()];
    for _ in 0..Bench::ROUNDS {
        for (index, neighbours) in [GREEDY, MODEST].into_iter().enumerate() {
            sides[index].runs.push(beside(bench, &service, neighbours, &mut told[index]));
        }
    }
    let p99 = |told: &GreedyOutcome| {
        let (modest, neighbour) = (median(told.modest_p99_ms.clone()), median(told.neighbour_p99_ms.clone()));
        let (per_second, refused) = (median(told.neighbour_per_second.clone()), told.refused);
        format!(
            "p99 {modest:.1} ms, its neighbour's {neighbour:.1} ms at {per_second:.0} requests/s, {refused} refused"
        )
    };
    let note = told.iter().map(p99).collect::<Vec<_>>().join("; ");
    let what = "a client with 16 in flight, beside one with 2,000 ÷ beside another with 16";
    ReportRow::ratio("greedy", what, Wanted::AtLeast(0.5), sides).with_note(note)
}

/// Measures the rate of a modest client beside a neighbor with this number of requests in flight.
fn beside(bench: &Bench, service: &MeasuredService, neighbours: usize, told: &mut GreedyOutcome) -> Run {
    service.database.empty_wallet();
    let warm_up = bench.seconds() * WARM_UP;
    let (modest, neighbour) = service.clients(neighbours, warm_up);
    service.both(modest, neighbour, warm_up);
    let clients = service.clients(neighbours, bench.seconds());
    Run::of(service.watched(), || {
        let (modest, neighbour) = service.both(clients.0, clients.1, bench.seconds());
        assert_eq!(modest.1, 0, "a modest client is never refused");
        let per_second = |answers: &Latencies| float(usize::try_from(answers.0.len()).unwrap()) / bench.seconds();
        told.modest_p99_ms.push(p99_ms(&modest.0));
        told.neighbour_p99_ms.push(p99_ms(&neighbour.0));
        told.neighbour_per_second.push(per_second(&neighbour));
        told.refused += neighbour.1;
        (per_second(&modest), per_second(&modest) * bench.seconds())
    })
}

/// The latencies of answered requests, and the number of refusals.
type Latencies = (Histogram<u64>, usize);

/// The callers of one client, and their requests.
type LoadClient = (Vec<grpc::GrpcCaller>, Arc<Requests>);

impl MeasuredService {
    /// Prepares a modest client and a neighbor with this number of requests in flight, with requests for this time.
    fn clients(&self, neighbours: usize, seconds: f64) -> (LoadClient, LoadClient) {
        let shape = self.shape(MeasuredApi::Grpc, 1);
        let client = |authorization, in_flight| {
            let callers = grpc::callers_as(authorization, self.server.address, shape.call, in_flight);
            let requests = Requests::new(shape, count(seconds * REQUESTS_PER_SECOND));
            (self.runtime.block_on(callers), Arc::new(requests))
        };
        (client(AUTHORIZATION, MODEST), client(NEIGHBOUR, neighbours))
    }

    /// Lets both clients send for this time.
    fn both(&self, modest: LoadClient, neighbour: LoadClient, seconds: f64) -> (Latencies, Latencies) {
        let both = async move {
            let end = Instant::now() + Duration::from_secs_f64(seconds);
            tokio::join!(load::closed_until(modest.0, modest.1, end), load::closed_until(neighbour.0, neighbour.1, end))
        };
        // This thread must not run the callers: it would be one more that the callers' thread has to wake.
        self.runtime.block_on(self.runtime.spawn(both)).unwrap()
    }
}

fn p99_ms(latencies: &Histogram<u64>) -> f64 {
    float(usize::try_from(latencies.value_at_quantile(0.99)).unwrap()) / 1000.0
}
