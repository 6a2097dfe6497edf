//! A server on a database with the catalog and its customers, ready to be measured.

use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::catalog::{self, UNCAPPED};
use crate::database::BenchDatabase;
use crate::measure::{Run, count, float};
use crate::processes::Watched;
use crate::requests::{MeasuredApi, MeasuredCall, Requests, Shape};
use crate::server::{self, Server, ServerOptions};
use crate::{Bench, grpc, json, load};

/// Number of customers where it is not the measured parameter.
pub const CUSTOMERS: usize = 100_000;
/// Number of requests in flight where it is not the measured parameter.
pub const IN_FLIGHT: usize = 128;
/// Number of requests of the first warm-up, which estimates the rate.
const FIRST_REQUESTS: usize = 2_000;
/// Duration of the second warm-up, as a part of the timed part.
const WARM_UP: f64 = 0.2;
/// Number of requests of a timed part at most, because all of them are in memory.
const MAX_REQUESTS: usize = 400_000;

/// A timed part, and its requests.
#[derive(Debug)]
pub struct Measured {
    pub run: Run,
    /// The requests of the timed part.
    pub requests: Arc<Requests>,
    /// Number of grants, including those of the warm-up.
    pub granted: usize,
}

/// The server and its database. The server ends first.
#[derive(Debug)]
pub struct MeasuredService {
    pub server: Server,
    pub database: BenchDatabase,
    pub customers: usize,
    directory: TempDir,
    pub runtime: Handle,
}

/// Imports a catalog, from a file in this directory.
fn import(database: &BenchDatabase, directory: &TempDir, catalog: &Value) {
    let file = directory.path().join("catalog.json");
    std::fs::write(&file, catalog.to_string()).unwrap();
    server::import(&database.url(), &file);
}

/// The parts of a service before it starts.
struct Setup<'a> {
    database: BenchDatabase,
    options: ServerOptions<'a>,
    customers: usize,
    directory: TempDir,
}

impl MeasuredService {
    /// Starts a server on a database of its own of PostgreSQL.
    pub fn on_postgres(bench: &Bench, name: &str, customers: usize) -> Self {
        Self::on_postgres_with(bench, name, customers, ServerOptions::default())
    }

    /// Starts a service like [`Self::on_postgres`], with these options.
    pub fn on_postgres_with(bench: &Bench, name: &str, customers: usize, options: ServerOptions<'_>) -> Self {
        let database = BenchDatabase::Postgres(bench.postgres().database(name));
        Self::start(bench, Setup { database, options, customers, directory: tempfile::tempdir().unwrap() })
    }

    /// Starts a server on a new file.
    pub fn on_sqlite(bench: &Bench, customers: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = BenchDatabase::Sqlite(directory.path().join("bench.db"));
        Self::start(bench, Setup { database, options: ServerOptions::default(), customers, directory })
    }

    /// Imports a catalog.
    pub fn import(&self, catalog: &Value) {
        import(&self.database, &self.directory, catalog);
    }

    fn start(bench: &Bench, setup: Setup<'_>) -> Self {
        let Setup { database, options, customers, directory } = setup;
        import(&database, &directory, &catalog::file());
        database.execute(&catalog::customers_sql(customers));
        if let BenchDatabase::Postgres(database) = &database {
            // Otherwise PostgreSQL would do so by itself, during a timed part.
            database.execute("VACUUM ANALYZE customers");
        }
        let url = database.url();
        let arguments = [&["--database-url", &url], options.arguments].concat();
        let server = Server::start(directory.path(), ServerOptions { arguments: &arguments, ..options });
        Self { server, database, customers, directory, runtime: bench.runtime.handle().clone() }
    }

    /// Stops the server. Returns the database and the folder of its files.
    pub fn stop(self) -> (BenchDatabase, TempDir) {
        self.server.stop();
        (self.database, self.directory)
    }

    pub fn watched(&self) -> Watched {
        let postmaster = match &self.database {
            BenchDatabase::Postgres(database) => database.postmaster(),
            BenchDatabase::Sqlite(_) => None,
        };
        Watched { server: Some(self.server.process()), postmaster }
    }

    /// Returns the shape of requests for any customer, each entry for another uncapped promotion.
    pub fn shape(&self, endpoint: MeasuredApi, entries: usize) -> Shape {
        Shape { endpoint, call: MeasuredCall::BulkEarn, promotions: &UNCAPPED, entries, customers: (1, self.customers) }
    }

    /// Sends requests in a closed loop for about this time, after a warm-up with others.
    pub fn measure(&self, shape: Shape, in_flight: usize, seconds: f64) -> Measured {
        let mut granted = 0;
        let mut send = |count| {
            let requests = Arc::new(Requests::new(shape, count));
            granted += requests.len() * requests.entries;
            (self.send(&requests, shape.endpoint, in_flight), requests)
        };
        let (first, _) = send(FIRST_REQUESTS);
        let (warm, _) = send(requests_for(&first, seconds * WARM_UP));
        let (run, requests) = send(requests_for(&warm, seconds));
        Measured { run, requests, granted }
    }

    /// Sends exactly these requests in a closed loop, over new connections.
    pub fn send(&self, requests: &Arc<Requests>, endpoint: MeasuredApi, in_flight: usize) -> Run {
        let address = self.server.address;
        match endpoint {
            MeasuredApi::Grpc => {
                self.timed(self.runtime.block_on(grpc::callers(address, requests.call, in_flight)), requests)
            }
            MeasuredApi::Json => self.timed(self.runtime.block_on(json::callers(address, in_flight)), requests),
        }
    }

    fn timed<C: load::LoadCaller>(&self, callers: Vec<C>, requests: &Arc<Requests>) -> Run {
        Run::of_rate(self.watched(), || {
            // This thread must not run the callers: it would be one more that the callers' thread has to wake.
            let requests_for_callers = Arc::clone(requests);
            let callers = self.runtime.spawn(async move { load::closed(callers, &requests_for_callers).await });
            drop(self.runtime.block_on(callers).unwrap());
            (float(requests.len() * requests.entries), float(requests.len()))
        })
    }
}

/// Returns the number of requests that are sent in this time at the rate of `run`.
fn requests_for(run: &Run, seconds: f64) -> usize {
    count(run.units / run.seconds * seconds).clamp(FIRST_REQUESTS / 2, MAX_REQUESTS)
}
