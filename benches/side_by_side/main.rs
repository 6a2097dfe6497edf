//! Measures the cost of the service next to its database alone. Each row of the table is a ratio of two measurements
//! that alternate in the same run, on the same machine, with the same tables and indexes. `docs/performance.md` quotes
//! it.
//!
//! `cargo bench --bench side_by_side -- --help` lists the options. The release server is a process of its own; its
//! callers are in this one.

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
#[path = "../../tests/support/frame.rs"]
mod frame;
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
mod telemetry;
#[allow(dead_code, reason = "the tests use more terms")]
#[path = "../../tests/support/terms.rs"]
mod terms;
mod throughput;
mod wallet_size;

use std::cell::OnceCell;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use tokio::runtime::Runtime;

use postgres::MeasuredPostgres;
use report::ReportRow;

/// Number of threads of the callers. They share the machine with the server: a second thread costs the server more than
/// it sends.
const CALLER_THREADS: usize = 1;

/// A row of the table, with the name by which the command line selects it.
type Measurement = (&'static str, fn(&Bench) -> ReportRow);

const MEASUREMENTS: [Measurement; 37] = [
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
    ("latency-at-inserts-rate", latency::at_the_rate_of_inserts),
    ("latency", latency::at_half_of_the_peak),
    ("metrics", telemetry::metrics),
    ("traces-one-percent", telemetry::traces_of_one_percent),
    ("traces-none", telemetry::traces_of_none),
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
    /// URL of a PostgreSQL database. The bench creates databases with names after it, and drops them again. By default
    /// it starts a new cluster with default settings, and removes it.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Uses a tenth of the volume, to check that everything works.
    #[arg(long)]
    quick: bool,
    /// Measures only this row. May be given several times.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(MEASUREMENTS.map(|(name, _)| name)))]
    only: Vec<String>,
    /// The file for the same figures as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/side_by_side.json")]
    json: PathBuf,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The state that every measurement needs.
struct Bench {
    options: Options,
    runtime: Runtime,
    postgres: OnceCell<MeasuredPostgres>,
}

impl Bench {
    /// Number of rounds of each measurement; the median counts.
    const ROUNDS: usize = 3;
    /// Number of rounds of a comparison of two that hardly differ.
    const ROUNDS_OF_SMALL_DIFFERENCES: usize = 7;

    /// Returns the approximate duration of each timed part.
    fn seconds(&self) -> f64 {
        if self.options.quick { 0.5 } else { 5.0 }
    }

    /// Returns `full`, or the part of it that a quick run uses.
    fn volume(&self, full: usize) -> usize {
        if self.options.quick { full / 10 } else { full }
    }

    fn postgres(&self) -> &MeasuredPostgres {
        self.postgres
            .get_or_init(|| MeasuredPostgres::find(self.options.database_url.as_deref(), self.runtime.handle().clone()))
    }
}

fn main() {
    let options = Options::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(CALLER_THREADS).enable_all().build().unwrap();
    let bench = Bench { options, runtime, postgres: OnceCell::new() };
    let only = &bench.options.only;
    let chosen = MEASUREMENTS.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|asked| asked == name));
    let rows: Vec<ReportRow> = chosen
        .map(|(name, measure)| {
            println!("measuring {name}");
            measure(&bench)
        })
        .collect();
    println!();
    report::print(&rows);
    report::write_json(&bench.options.json, &rows);
}
