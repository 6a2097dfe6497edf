//! What was answered outlives a crash of the database, whatever the role and the database are set to.

use std::path::Path;

use sea_orm::ConnectionTrait;

use crate::cluster::Cluster;
use crate::load::load_catalogue;
use crate::server_process::{Process, verify};
use crate::support::*;

/// Earnings that are answered before the crash.
const EARNINGS: usize = 30;

/// Whose sessions are told that a commit need not be durable.
const TOLD: [&str; 2] =
    ["ALTER ROLE postgres SET synchronous_commit = off", "ALTER DATABASE wallet SET synchronous_commit = off"];

#[tokio::test(flavor = "multi_thread")]
async fn a_role_or_a_database_without_durable_commits_loses_nothing_that_was_answered() {
    for told in TOLD {
        // What is not made durable by its commit is lost for long enough to be seen.
        let settings = [("fsync", "off"), ("wal_writer_delay", "10s")];
        let mut cluster = Cluster::find_and_start(&settings).expect("PostgreSQL, as for the other tests");
        let database = Database::at(cluster.create_database("wallet"));
        import(&database, &load_catalogue()).await.unwrap();
        database.execute("CREATE TABLE control (number integer)").await;
        database.execute(told).await;
        database.execute("CHECKPOINT").await;
        let process = Process::start(Path::new("."), &["--database-url", database.url(), "--listen", "127.0.0.1:0"]);
        let mut answered = Vec::new();
        for number in 0..EARNINGS {
            let request = one_entry(&format!("event {number}"), TEN_OFF, 1);
            let answer = process.caller.earn(DOORS[number % 2], &request).await;
            assert_eq!(answer.code, 0, "{told}: {answer:?}");
            answered.extend(earn_ids(&answer.body));
        }
        // The setting is in force: what another session of the role commits at the same moment is lost.
        let other = sea_orm::Database::connect(database.url()).await.unwrap();
        other.execute_unprepared("INSERT INTO control SELECT generate_series(1, 10)").await.unwrap();
        cluster = tokio::task::spawn_blocking(move || {
            cluster.stop_immediate();
            cluster.start_again();
            cluster
        })
        .await
        .unwrap();
        let rows = database.rows("SELECT earn_id FROM earned_promotions").await;
        let lost = answered.iter().filter(|id| !rows.iter().any(|row| row["earn_id"] == id.as_str())).count();
        assert_eq!((answered.len(), lost), (EARNINGS, 0), "{told}: answered, and lost");
        let control = database.count("SELECT count(*) FROM control").await;
        assert_eq!(control, 0, "{told} is not in force: this test shows nothing");
        verify(database.url());
        drop(cluster);
    }
}
