//! Measures the embedded engine: the start of the server, and grants per second next to the same rows inserted
//! directly.

use std::path::Path;

use rusqlite::types::Value;

use crate::Bench;
use crate::database::BenchDatabase;
use crate::measure::{Run, Side, float};
use crate::processes::Watched;
use crate::report::{Figure, ReportRow, Wanted};
use crate::requests::MeasuredApi;
use crate::server::{Server, ServerOptions};
use crate::service::{CUSTOMERS, IN_FLIGHT, MeasuredService};

/// Number of rows of one transaction of the direct inserts.
const BATCH: usize = 1_000;
/// Number of starts of which the median counts.
const STARTS: usize = 10;

pub fn cold_start(_: &Bench) -> ReportRow {
    let starts = (0..STARTS).map(|_| {
        let directory = tempfile::tempdir().unwrap();
        let server =
            Server::start(directory.path(), ServerOptions { arguments: &["--demo"], ..ServerOptions::default() });
        let milliseconds = server.ready_after.as_secs_f64() * 1000.0;
        server.stop();
        milliseconds
    });
    let what = "cold start with --demo on a new SQLite database, to the first ready answer";
    ReportRow::figure("cold-start", what, Wanted::AtMost(200.0), Figure { value: starts.collect(), unit: "ms" })
}

pub fn next_to_straight_inserts(bench: &Bench) -> ReportRow {
    let mut granting = Side::new("gRPC", "grants/s", "requests");
    let mut inserting = Side::new("straight inserts", "rows/s", "rows");
    for _ in 0..Bench::ROUNDS {
        let service = MeasuredService::on_sqlite(bench, CUSTOMERS);
        granting.runs.push(service.measure(service.shape(MeasuredApi::Grpc, 10), IN_FLIGHT, bench.seconds()).run);
        let (database, _directory) = service.stop();
        let BenchDatabase::Sqlite(file) = database else { unreachable!("it is SQLite") };
        inserting.runs.push(insert_straight(&file));
    }
    let what = "SQLite: gRPC, 10 entries ÷ the same rows straight, 1,000 a transaction";
    ReportRow::ratio("sqlite", what, Wanted::AtLeast(0.5), [granting, inserting])
}

/// Inserts the rows of the database in `filled` directly into an empty one with the same table and indexes.
fn insert_straight(filled: &Path) -> Run {
    let filled = rusqlite::Connection::open(filled).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let straight = rusqlite::Connection::open(directory.path().join("straight.db")).unwrap();
    // The server has the same settings.
    straight.pragma_update(None, "journal_mode", "wal").unwrap();
    straight.pragma_update(None, "synchronous", "full").unwrap();
    let schema = "SELECT sql FROM sqlite_master WHERE tbl_name = 'earned_promotions' AND sql IS NOT NULL
                  ORDER BY type DESC";
    let mut schema = filled.prepare(schema).unwrap();
    for sql in schema.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        straight.execute_batch(&sql.unwrap()).unwrap();
    }
    let mut rows = filled.prepare("SELECT * FROM earned_promotions ORDER BY earn_id").unwrap();
    let columns = rows.column_count();
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
    let rows: Vec<Vec<Value>> = rows.query_map([], row).unwrap().map(Result::unwrap).collect();
    let sql = format!("INSERT INTO earned_promotions VALUES ({})", vec!["?"; columns].join(", "));
    let mut insert = straight.prepare(&sql).unwrap();
    Run::of_rate(Watched::default(), || {
        for rows in rows.chunks(BATCH) {
            straight.execute_batch("BEGIN IMMEDIATE").unwrap();
            for row in rows {
                insert.execute(rusqlite::params_from_iter(row)).unwrap();
            }
            straight.execute_batch("COMMIT").unwrap();
        }
        (float(rows.len()), float(rows.len()))
    })
}
