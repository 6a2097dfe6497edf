//! Every statement that the service sends, collected while every route is called: none depends on PostgreSQL's
//! statistics of its tables, and no text depends on the number of values.

mod load;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::load::{call_every_route, fill, run_commands};
use self::log::{RanStatement, StatementLog, cluster, indexes};
use crate::server_process::Process;
use crate::support::*;

/// The statistics of the tables during the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Believed {
    /// No statistics.
    Nothing,
    /// Statistics of empty tables, with which the server has made its plans.
    Empty,
    /// Right statistics.
    Right,
}

/// Statements that read a whole table by their nature: an import checks that the organizations that it names exist.
const WHOLE: [&str; 1] = ["SELECT \"orgs\".\"id\" FROM \"orgs\""];

/// Requires that each statement searches by whole keys.
async fn assert_searched_by_keys(database: &Database, believed: Believed, ran: &[RanStatement]) {
    let indexes = indexes(database).await;
    let mut breaches = BTreeMap::<String, usize>::new();
    for ran in ran.iter().filter(|ran| !WHOLE.iter().any(|whole| ran.text == *whole)) {
        for breach in ran.breaches(&indexes) {
            *breaches.entry(breach).or_default() += 1;
        }
    }
    let first = breaches.keys().next();
    assert!(first.is_none(), "{believed:?}, {} statements: {first:?}, of {breaches:#?}", ran.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_plan_of_a_statement_depends_on_statistics() {
    let cluster = cluster();
    for believed in [Believed::Nothing, Believed::Empty, Believed::Right] {
        let database = Database::at(cluster.create_database(&format!("{believed:?}").to_lowercase()));
        import(&database, &endless(catalog())).await.unwrap();
        let options = ["--database-url", database.url(), "--listen", "127.0.0.1:0"];
        let mut processes = Vec::new();
        if believed == Believed::Empty {
            database.execute("VACUUM ANALYZE").await;
            processes.push(Process::start(Path::new("."), &options));
            call_every_route(&processes[0].caller, 0, 2).await;
        }
        fill(&database).await;
        if believed == Believed::Right {
            database.execute("VACUUM ANALYZE").await;
        }
        processes.push(Process::start(Path::new("."), &options));
        let mut log = StatementLog::of(&database).await;
        for (number, process) in (1..).zip(&processes) {
            call_every_route(&process.caller, 10 * number, 2).await;
            call_every_route(&process.caller, 10 * number + 1, 20).await;
        }
        let ran = log.next().await;
        assert!(ran.len() > 200, "{} statements", ran.len());
        assert_searched_by_keys(&database, believed, &ran).await;
        let url = database.url().to_owned();
        tokio::task::spawn_blocking(move || run_commands(&url, "commands", 20)).await.unwrap();
        let ran = log.next().await;
        assert!(ran.len() > 20, "{} statements", ran.len());
        assert_searched_by_keys(&database, believed, &ran).await;
    }
}

/// Number of values, greater than the number of parts of any statement.
const MANY: usize = 99;

/// Returns the most frequent word of a statement, and its count; all parameters and numbers count as the same word.
fn most_frequent(text: &str) -> (String, usize) {
    let mut words = BTreeMap::<String, usize>::new();
    for word in text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_$'".contains(letter)) {
        if !word.is_empty() {
            let word = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
            *words.entry(word.to_owned()).or_default() += 1;
        }
    }
    words.into_iter().max_by_key(|(_, times)| *times).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_statement_depends_on_the_number_of_values() {
    let cluster = cluster();
    let database = Database::at(cluster.create_database("texts"));
    import(&database, &endless(catalog())).await.unwrap();
    let process = Process::start(Path::new("."), &["--database-url", database.url(), "--listen", "127.0.0.1:0"]);
    let mut log = StatementLog::of(&database).await;
    // The way in which calls meet decides which of the known texts are sent, so texts of different times are not
    // compared.
    call_every_route(&process.caller, 0, MANY).await;
    let url = database.url().to_owned();
    tokio::task::spawn_blocking(move || run_commands(&url, "commands", MANY)).await.unwrap();
    let texts: BTreeSet<_> = log.next().await.into_iter().map(|ran| ran.text).collect();
    assert!(texts.len() > 20, "{} texts", texts.len());
    for text in texts {
        let (word, times) = most_frequent(&text);
        assert!(times < MANY, "{word:?} stands {times} times in {text}");
    }
}
