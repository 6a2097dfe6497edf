//! What the service costs next to its database alone: each row of the table is a ratio of two things measured in turns
//! in the same run, on the same machine, with the same tables and indexes. `docs/performance.md` quotes it.
//!
//! `cargo bench --bench side_by_side -- --help` says what can be chosen. The release server is a process of its own;
//! its callers are in this one.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people"
)]

mod attacks;
mod baseline;
mod catalog;
mod clock;
#[path = "../../tests/support/cluster.rs"]
mod cluster;
mod database;
mod embedded;
mod greedy;
mod grpc;
#[path = "../../tests/support/gzip.rs"]
mod gzip;
mod json;
mod latency;
mod load;
mod measure;
mod memory;
mod postgres;
mod processes;
mod report;
mod requests;
mod server;
mod service;
mod throughput;
mod wallet_size;

use std::cell::OnceCell;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use tokio::runtime::Runtime;

use postgres::Postgres;
use report::Row;

/// Threads of the callers. They share the machine with what they measure: a second one costs it more than it sends.
const CALLER_THREADS: usize = 1;

/// A row of the table, by the name it is asked for.
type Measurement = (&'static str, fn(&Bench) -> Row);

const MEASUREMENTS: [Measurement; 33] = [
    ("one-entry", throughput::one_entry),
    ("ten-entries", throughput::ten_entries),
    ("json-one-entry", throughput::json_one_entry),
    ("json-ten-entries", throughput::json_ten_entries),
    ("capped", throughput::capped),
    ("capped-late", throughput::capped_late),
    ("capped-late-first", throughput::capped_late_first),
    ("repeat-one-entry", throughput::repeat_one_entry),
    ("repeat-ten-entries", throughput::repeat_ten_entries),
    ("earn", throughput::earn),
    ("redeem", throughput::redeem),
    ("access", throughput::access),
    ("big-wallet", wallet_size::big_wallet),
    ("listing", wallet_size::listing),
    ("latency", latency::at_half_of_the_peak),
    ("greedy", greedy::beside_a_greedy_client),
    ("sqlite", embedded::next_to_straight_inserts),
    ("memory", memory::under_load),
    ("cold-start", embedded::cold_start),
    ("memory-idle", memory::idle),
    ("memory-after", memory::idle_after_requests),
    ("attack-slow-loris", attacks::slow_loris),
    ("attack-idle", attacks::idle),
    ("attack-rapid-reset", attacks::rapid_reset),
    ("attack-large-body", attacks::large_body),
    ("attack-header-bomb", attacks::header_bomb),
    ("attack-gzip-bomb", attacks::gzip_bomb),
    ("attack-zero-window", attacks::zero_window),
    ("attack-half-sent", attacks::half_sent),
    ("attack-frames", attacks::window_updates),
    ("attack-token-bodies", attacks::token_bodies),
    ("attack-wrong-credentials", attacks::wrong_credentials),
    ("attack-memory", attacks::memory),
];

/// Measures the service next to its database alone.
#[derive(Debug, Parser)]
#[command(name = "side_by_side", max_term_width = 100)]
struct Options {
    /// PostgreSQL to measure on, in databases of its own that are named after this one and dropped again. Without it, a
    /// new cluster with default settings is started and removed.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// A tenth of the volume: to see that everything works.
    #[arg(long)]
    quick: bool,
    /// Only this row. May be given several times.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(MEASUREMENTS.map(|(name, _)| name)))]
    only: Vec<String>,
    /// Where the same figures go as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/side_by_side.json")]
    json: PathBuf,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What every measurement needs.
struct Bench {
    options: Options,
    runtime: Runtime,
    postgres: OnceCell<Postgres>,
}

impl Bench {
    /// Rounds of each measurement; the median counts.
    const ROUNDS: usize = 3;

    /// How long each timed part is to take, roughly.
    fn seconds(&self) -> f64 {
        if self.options.quick { 0.5 } else { 5.0 }
    }

    /// `full`, or what is left of it in a quick run.
    fn volume(&self, full: usize) -> usize {
        if self.options.quick { full / 10 } else { full }
    }

    fn postgres(&self) -> &Postgres {
        self.postgres
            .get_or_init(|| Postgres::find(self.options.database_url.as_deref(), self.runtime.handle().clone()))
    }
}

fn main() {
    let options = Options::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(CALLER_THREADS).enable_all().build().unwrap();
    let bench = Bench { options, runtime, postgres: OnceCell::new() };
    let only = &bench.options.only;
    let chosen = MEASUREMENTS.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|asked| asked == name));
    let rows: Vec<Row> = chosen
        .map(|(name, measure)| {
            println!("measuring {name}");
            measure(&bench)
        })
        .collect();
    println!();
    report::print(&rows);
    report::write_json(&bench.options.json, &rows);
}
