//! Every statement that the service sends, collected while every route is called: none depends on what PostgreSQL believes
//! of its tables, and no text depends on how many values there are.

mod load;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::load::{call_every_route, fill, run_commands};
use self::log::{Log, Ran, cluster, indexes};
use crate::server_process::Process;
use crate::support::*;

/// What the statistics say of the tables when they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Believed {
    /// Nothing.
    Nothing,
    /// That they are empty; and the server has made its plans then.
    Empty,
    /// What is so.
    Right,
}

/// Statements that read a whole table by their nature: an import looks whether the organizations that it names are there.
const WHOLE: [&str; 1] = ["SELECT \"orgs\".\"id\" FROM \"orgs\""];

/// Requires that each statement searches by whole keys.
async fn assert_searched_by_keys(database: &Database, believed: Believed, ran: &[Ran]) {
    let indexes = indexes(database).await;
    let mut faults = BTreeMap::<String, usize>::new();
    for ran in ran.iter().filter(|ran| !WHOLE.iter().any(|whole| ran.text == *whole)) {
        for fault in ran.faults(&indexes) {
            *faults.entry(fault).or_default() += 1;
        }
    }
    assert!(faults.is_empty(), "{believed:?}, {} statements:\n{faults:#?}", ran.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_plan_of_a_statement_depends_on_statistics() {
    let cluster = cluster();
    for believed in [Believed::Nothing, Believed::Empty, Believed::Right] {
        let database = Database::at(cluster.create_database(&format!("{believed:?}").to_lowercase()));
        import(&database, &endless(catalogue())).await.unwrap();
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
        let mut log = Log::of(&database).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_statement_depends_on_the_number_of_values() {
    let cluster = cluster();
    let database = Database::at(cluster.create_database("texts"));
    import(&database, &endless(catalogue())).await.unwrap();
    let process = Process::start(Path::new("."), &["--database-url", database.url(), "--listen", "127.0.0.1:0"]);
    let mut log = Log::of(&database).await;
    let mut known = BTreeSet::new();
    for (round, length) in (0..).zip([1, 2, 3, 17, 33]) {
        call_every_route(&process.caller, round, length).await;
        let url = database.url().to_owned();
        tokio::task::spawn_blocking(move || run_commands(&url, &format!("round {round}"), length)).await.unwrap();
        let texts: BTreeSet<_> = log.next().await.into_iter().map(|ran| ran.text).collect();
        let new: Vec<_> = texts.difference(&known).collect();
        assert!(round < 2 || new.is_empty(), "lists of {length} have texts of their own: {new:#?}");
        known.extend(texts);
    }
    assert!(known.len() > 20, "{} texts", known.len());
}
