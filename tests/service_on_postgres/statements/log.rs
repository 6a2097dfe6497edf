//! The log of a PostgreSQL that records the plan of every statement, and the rows and pages that each plan reads.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::support::Database;

/// Settings that log plans. Only these tests analyze tables.
const SETTINGS: [(&str, &str); 15] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_timing", "off"),
    ("auto_explain.log_buffers", "on"),
    ("auto_explain.log_format", "json"),
    ("auto_explain.log_nested_statements", "on"),
    ("logging_collector", "on"),
    ("log_destination", "jsonlog"),
    ("log_rotation_size", "0"),
    ("log_rotation_age", "0"),
    ("autovacuum", "off"),
    ("fsync", "off"),
    ("max_connections", "100"),
    // Plans of few rows would not use parallel workers.
    ("max_parallel_workers_per_gather", "0"),
];
/// Time in which the log must be written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(20);

/// Starts a cluster that logs plans. It needs `auto_explain`, which is one of PostgreSQL's own modules.
pub fn cluster() -> Cluster {
    Cluster::find_and_start(&SETTINGS).expect("PostgreSQL, as for the other tests")
}

/// Statements that the service sent to a database, read from the log.
pub struct StatementLog<'a> {
    database: &'a Database,
    /// Number of bytes that were read, or existed before.
    read: i64,
    marks: u32,
}

/// A statement with its plan.
#[derive(Debug, Clone)]
pub struct RanStatement {
    pub text: String,
    pub plan: Value,
}

impl<'a> StatementLog<'a> {
    /// Starts with the statements that are sent from now on.
    pub async fn of(database: &'a Database) -> Self {
        let read = database.count("SELECT size FROM pg_stat_file(pg_current_logfile('jsonlog'))").await;
        let mut log = Self { database, read, marks: 0 };
        log.next().await;
        log
    }

    /// Returns the statements that were sent since the last time.
    pub async fn next(&mut self) -> Vec<RanStatement> {
        self.marks += 1;
        // Every earlier statement is in the log before this mark.
        let mark = format!("SELECT 'mark {} of {}'", self.marks, self.database.url());
        self.database.rows(&mark).await;
        let read = async {
            loop {
                let text =
                    format!("SELECT pg_read_file(pg_current_logfile('jsonlog'), {}, 1000000000) AS text", self.read);
                let text = self.database.rows(&text).await[0]["text"].as_str().unwrap().to_owned();
                if let Some(at) = text.find(&mark) {
                    // The line of the mark is skipped.
                    let end = at + text[at..].find('\n').unwrap_or(text.len() - at);
                    self.read += i64::try_from(end).unwrap() + 1;
                    return text[..at].to_owned();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let text = tokio::time::timeout(WRITTEN_WITHIN, read).await.expect("the log of PostgreSQL");
        let name = self.database.url().rsplit('/').next().unwrap();
        text.lines().filter_map(|line| ran(line, name)).collect()
    }
}

/// Returns the statement of a line of the log, if the service sent it to this database.
fn ran(line: &str, database: &str) -> Option<RanStatement> {
    let line: Value = serde_json::from_str(line).ok()?;
    let plan = line["message"].as_str()?.split_once("plan:\n")?.1;
    if line["application_name"] != "cart-promotions" || line["dbname"] != database {
        return None;
    }
    let plan: Value = serde_json::from_str(plan).unwrap_or_else(|error| panic!("{error}: {plan}"));
    Some(RanStatement { text: plan["Query Text"].as_str()?.to_owned(), plan: plan["Plan"].clone() })
}

/// The columns of each index of each table of the service, in order.
pub type Indexes = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Returns the tables of the service, and their indexes.
pub async fn indexes(database: &Database) -> Indexes {
    let columns = "SELECT i.indrelid::regclass::text AS table, i.indexrelid::regclass::text AS index,
                       a.attname::text AS column
                   FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid
                   WHERE i.indrelid::regclass::text IN (SELECT tablename FROM pg_tables
                       WHERE schemaname = 'public' AND tablename <> 'seaql_migrations')
                   ORDER BY i.indexrelid, a.attnum";
    let mut indexes = Indexes::new();
    for row in database.rows(columns).await {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        indexes.entry(text("table")).or_default().entry(text("index")).or_default().push(text("column"));
    }
    assert_eq!(indexes.len(), 11, "{indexes:?}");
    indexes
}

impl RanStatement {
    /// Describes each search of the plan that does not use a whole key.
    pub fn breaches(&self, indexes: &Indexes) -> Vec<String> {
        let mut breaches = Vec::new();
        visit(&self.plan, indexes, &mut breaches);
        breaches.into_iter().map(|breach| format!("{breach}: {}", self.text)).collect()
    }
}

/// Number of pages that one search reads at most, beside those of its rows: the pages of an index down to its leaf, and
/// remains of other transactions.
const PAGES: f64 = 12.0;
/// Number of unwanted rows that one search reads at most.
const UNWANTED: f64 = 12.0;

fn visit(node: &Value, indexes: &Indexes, breaches: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    // A part of the plan that never ran read nothing, but may run another time.
    let loops = number("Actual Loops").max(1.0);
    if kind == "Seq Scan"
        && let Some(table) = node["Relation Name"].as_str()
        && indexes.contains_key(table)
    {
        breaches.push(format!("reads all of {table}"));
    }
    if let Some(index) = node["Index Name"].as_str()
        && let Some(columns) = indexes.values().find_map(|indexes| indexes.get(index))
    {
        let condition = node["Index Cond"].as_str().unwrap_or_default();
        if !is_searched_from_its_beginning(condition, columns) {
            breaches.push(format!("{kind} of {index} by {condition:?}"));
        }
        let rows = number("Actual Rows");
        let pages = (number("Shared Hit Blocks") + number("Shared Read Blocks")) / loops;
        if pages > PAGES + 2.0 * rows {
            breaches.push(format!("{kind} of {index} reads {pages} pages for {rows} rows"));
        }
        let unwanted = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
        if unwanted > UNWANTED {
            breaches.push(format!("{kind} of {index} reads {unwanted} rows that it does not want"));
        }
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        visit(below, indexes, breaches);
    }
}

/// Returns true if a condition names the columns of an index from the first one on, without a gap.
fn is_searched_from_its_beginning(condition: &str, columns: &[String]) -> bool {
    let named: Vec<_> = columns
        .iter()
        .map(|column| {
            let names =
                [format!("({column} "), format!("({column})::"), format!("({column}, "), format!(", {column})")];
            names.iter().any(|name| condition.contains(name))
        })
        .collect();
    named.first() == Some(&true) && named.is_sorted_by(|one, next| one >= next)
}
