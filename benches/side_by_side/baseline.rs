//! Measures bare rows of the wallet, without the service: into a table with the same columns, checks and indexes.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use hdrhistogram::Histogram;
use tokio::runtime::Handle;

use crate::catalog::{EARNED_FROM_ID, END_MS, ORG, UNCAPPED, UNCAPPED_STEM};
use crate::clock::now_ms;
use crate::measure::{Run, count, float};
use crate::postgres::{PostgresDatabase, pgbench};
use crate::processes::Watched;

const COLUMNS: &str = "org_id, customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal, \
                       earned_from_type, event_time_ms, valid_till_ms, granted_at_ms, event_payload";
/// First number of an id. An id is a stem of 18 digits and a number from this one on, which has six hexadecimal digits.
const FIRST_NUMBER: usize = 0x10_0000;
const EARN_ID_STEM: &str = "6912d025a1b2c3d4e5";
const EVENT_ID_STEM: &str = "6912d0251f00000000";
/// Size of a range of numbers: the warm-up and the timed part use separate ranges.
const NUMBERS_OF_A_PART: usize = 0x60_0000;
/// Number of rows that one request of ten entries would write.
const ROWS_PER_REQUEST: usize = 10;
/// Size of a part that is sent to `COPY`, in bytes.
const COPY_PART: usize = 1 << 20;
/// Longest latency that the histogram distinguishes, in microseconds.
const MAX_LATENCY_US: u64 = 60_000_000;

/// The table beside the wallet.
pub struct Baseline<'a> {
    database: &'a PostgresDatabase,
    customers: usize,
}

/// Inserts of `pgbench`: its connections, their first number, and their time in seconds.
#[derive(Debug, Clone, Copy)]
struct Inserts {
    connections: usize,
    first: usize,
    seconds: usize,
}

impl Inserts {
    /// Returns the inserts of a warm-up.
    fn warm_up(connections: usize) -> Self {
        Self { connections, first: 0, seconds: 1 }
    }

    /// Returns the inserts of a timed part.
    fn part(connections: usize, seconds: f64) -> Self {
        Self { connections, first: NUMBERS_OF_A_PART, seconds: whole(seconds) }
    }
}

impl<'a> Baseline<'a> {
    pub fn new(database: &'a PostgresDatabase, customers: usize) -> Self {
        database.execute("CREATE TABLE baseline (LIKE earned_promotions INCLUDING ALL)");
        Self { database, customers }
    }

    fn watched(&self) -> Watched {
        Watched { server: None, postmaster: self.database.postmaster() }
    }

    /// Measures one-row prepared inserts on this number of connections, in rows per second.
    pub fn one_row_inserts(&self, connections: usize, seconds: f64) -> Run {
        self.database.empty("baseline");
        let directory = tempfile::tempdir().unwrap();
        self.pgbench(directory.path(), Inserts::warm_up(connections), &[]);
        let mut rate = 0.0;
        let mut run = Run::of(self.watched(), || {
            let said = self.pgbench(directory.path(), Inserts::part(connections, seconds), &[]);
            rate = after(&said, "tps = ");
            (rate, after(&said, "number of transactions actually processed: "))
        });
        // The time for connecting does not count.
        run.value = rate;
        run
    }

    /// Measures the 99th percentile of the latency of one-row prepared inserts that are due at `rate` per second on this
    /// number of connections, in milliseconds from the moment at which an insert is due.
    pub fn one_row_p99_ms(&self, connections: usize, rate: f64, seconds: f64) -> Run {
        self.database.empty("baseline");
        let directory = tempfile::tempdir().unwrap();
        self.pgbench(directory.path(), Inserts::warm_up(connections), &[]);
        let mut run = Run::of(self.watched(), || {
            let paced = ["--log", "--rate", &count(rate).to_string()];
            let said = self.pgbench(directory.path(), Inserts::part(connections, seconds), &paced);
            (0.0, after(&said, "number of transactions actually processed: "))
        });
        let log = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let log = log.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("pgbench_log"));
        let mut latencies = Histogram::<u64>::new_with_bounds(1, MAX_LATENCY_US, 3).unwrap();
        for line in
            log.flat_map(|log| std::fs::read_to_string(log).unwrap().lines().map(String::from).collect::<Vec<_>>())
        {
            // A line has the client, the transaction, and its latency in microseconds.
            latencies.saturating_record(line.split(' ').nth(2).unwrap().parse().unwrap());
        }
        run.value = float(usize::try_from(latencies.value_at_quantile(0.99)).unwrap()) / 1000.0;
        run
    }

    /// Runs the insert on this number of connections for this time, with numbers from `first` on. Returns the output of
    /// `pgbench`.
    fn pgbench(&self, directory: &Path, inserts: Inserts, more: &[&str]) -> String {
        let Inserts { connections, first, seconds } = inserts;
        let now = now_ms();
        let script = format!(
            "\\set customer random(1, {customers})\n\\set promotion random(0, 9)\n\\set number :number + 1\n\
             \\set id {first} + :number * {connections} + :client_id\n\
             INSERT INTO baseline ({COLUMNS}) VALUES ({ORG}, :customer, '{EARN_ID_STEM}' || to_hex(:id::bigint), \
             '{UNCAPPED_STEM}' || :promotion, '{EVENT_ID_STEM}' || to_hex(:id::bigint), '{EARNED_FROM_ID}', 1, \
             'BULK_ISSUE', {now}, {END_MS}, {now}, NULL);\n",
            customers = self.customers,
            first = FIRST_NUMBER + first,
        );
        std::fs::write(directory.join("insert.sql"), script).unwrap();
        let mut command = Command::new(pgbench());
        command.args(["-n", "-M", "prepared", "-f", "insert.sql", "-D", "number=0", "-j"]);
        command.arg(connections.min(2).to_string()).args(["-c", &connections.to_string()]);
        command.args(["-T", &seconds.to_string()]).args(more).arg(self.database.url());
        let said = command.current_dir(directory).output().expect("pgbench");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    }

    /// Measures one `COPY` of this number of rows, in rows per second.
    pub fn copy(&self, runtime: &Handle, rows: usize) -> Run {
        self.database.empty("baseline");
        let text = copy_text(rows, self.customers);
        let mut connection = self.database.connect();
        Run::of_rate(self.watched(), || {
            let copied = runtime.block_on(async {
                let sql = format!("COPY baseline ({COLUMNS}) FROM STDIN");
                let mut copy = connection.copy_in_raw(&sql).await.unwrap();
                for part in text.as_bytes().chunks(COPY_PART) {
                    copy.send(part).await.unwrap();
                }
                copy.finish().await.unwrap()
            });
            assert_eq!(copied, rows as u64);
            (float(rows), float(rows))
        })
    }
}

/// Returns rows as requests of ten entries write them, in the text form of `COPY`.
fn copy_text(rows: usize, customers: usize) -> String {
    let now = now_ms();
    let mut text = String::new();
    let mut customer = 0;
    for row in 0..rows {
        if row.is_multiple_of(ROWS_PER_REQUEST) {
            customer = rand::random_range(1..=customers);
        }
        let (promotion, event) = (UNCAPPED[row % UNCAPPED.len()], FIRST_NUMBER + row / ROWS_PER_REQUEST);
        let earn = FIRST_NUMBER + row;
        writeln!(
            text,
            "{ORG}\t{customer}\t{EARN_ID_STEM}{earn:x}\t{promotion}\t{EVENT_ID_STEM}{event:x}\t{EARNED_FROM_ID}\t1\t\
             BULK_ISSUE\t{now}\t{END_MS}\t{now}\t\\N"
        )
        .unwrap();
    }
    text
}

/// Returns SQL that fills the wallet with this number of rows, the same number for each customer.
pub fn fill_sql(rows: usize, rows_per_customer: usize) -> String {
    fill(&format!("1 + (number - 1) / {rows_per_customer}"), 1, rows)
}

/// Returns SQL that gives one customer the rows of these numbers, which no customer has yet.
pub fn fill_one_sql(customer: usize, first: usize, last: usize) -> String {
    fill(&customer.to_string(), first, last)
}

/// Number of rows of each customer in a filled wallet whose rows are redeemed one by one.
pub const REDEEMABLE_PER_CUSTOMER: usize = 2;

/// Returns customer, promotion and earn id of a row of a wallet that was filled so.
pub fn filled_row(number: usize) -> (i64, String, String) {
    let customer = 1 + (number - 1) / REDEEMABLE_PER_CUSTOMER;
    let promotion = format!("{UNCAPPED_STEM}{}", number % 10);
    (i64::try_from(customer).unwrap(), promotion, format!("{EARN_ID_STEM}{:x}", FIRST_NUMBER + number))
}

fn fill(customer: &str, first: usize, last: usize) -> String {
    let now = now_ms();
    format!(
        "INSERT INTO earned_promotions ({COLUMNS})
         SELECT {ORG}, {customer}, '{EARN_ID_STEM}' || to_hex({FIRST_NUMBER} + number),
                '{UNCAPPED_STEM}' || number % 10, '{EVENT_ID_STEM}' || to_hex({FIRST_NUMBER} + number),
                '{EARNED_FROM_ID}', 1, 'BULK_ISSUE', {now}, {END_MS}, {now}, NULL
         FROM generate_series({first}, {last}) AS number"
    )
}

/// Returns whole seconds, the unit of `pgbench`.
fn whole(seconds: f64) -> usize {
    count(seconds).max(1)
}

/// Returns the number after `name` in the output of `pgbench`.
fn after(said: &str, name: &str) -> f64 {
    let (_, rest) = said.split_once(name).unwrap_or_else(|| panic!("no {name} in {said}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}
