//! Every answered call outlives a crash of the database, whatever the settings of the role and the database; and
//! readiness is false while commits do not complete.

use std::path::Path;
use std::time::Duration;

use sea_orm::ConnectionTrait;

use crate::cluster::Cluster;
use crate::load::load_catalog;
use crate::server_process::{Process, verify};
use crate::support::*;

/// Number of earnings that are answered before the crash.
const EARNINGS: usize = 30;

/// Settings that let a commit return before it is durable.
const TOLD: [&str; 2] =
    ["ALTER ROLE postgres SET synchronous_commit = off", "ALTER DATABASE wallet SET synchronous_commit = off"];

#[tokio::test(flavor = "multi_thread")]
async fn a_role_or_a_database_without_durable_commits_loses_nothing_that_was_answered() {
    for told in TOLD {
        // A commit that is not durable stays so for 10 s, long enough for the crash to lose it.
        let settings = [("fsync", "off"), ("wal_writer_delay", "10s")];
        let mut cluster = Cluster::find_and_start(&settings).expect("PostgreSQL, as for the other tests");
        let database = Database::at(cluster.create_database("wallet"));
        import(&database, &load_catalog()).await.unwrap();
        database.execute("CREATE TABLE control (number integer)").await;
        database.execute(told).await;
        database.execute("CHECKPOINT").await;
        let process = Process::start(Path::new("."), &["--database-url", database.url(), "--listen", "127.0.0.1:0"]);
        let mut answered = Vec::new();
        for number in 0..EARNINGS {
            let request = one_entry(&format!("event {number}"), TEN_OFF, 1);
            let answer = process.caller.earn(ENDPOINTS[number % 2], &request).await;
            assert_eq!(answer.code, 0, "{told}: {answer:?}");
            answered.extend(earn_ids(&answer.body));
        }
        // The setting is effective: the commit of another session of the role at the same moment is lost.
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

/// Waits until readiness has this status.
async fn until_ready_is(caller: &TestCaller, expected: u16) {
    let told = async {
        while caller.http().get(caller.url("/readyz")).send().await.unwrap().status() != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await;
    told.unwrap_or_else(|_| panic!("/readyz is never {expected}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_false_while_commits_wait_for_a_standby_that_is_gone_and_true_again_afterwards() {
    let cluster = Cluster::find_and_start(&[("fsync", "off")]).expect("PostgreSQL, as for the other tests");
    let database = Database::at(cluster.create_database("wallet"));
    import(&database, &load_catalog()).await.unwrap();
    let timeouts = ["--statement-timeout-ms", "500", "--database-timeout-ms", "1000"];
    let options = [&["--database-url", database.url(), "--listen", "127.0.0.1:0"][..], &timeouts].concat();
    let process = Process::start(Path::new("."), &options);
    let caller = &process.caller;
    until_ready_is(caller, 200).await;
    for standbys in ["'nobody'", "''"] {
        database.execute(&format!("ALTER SYSTEM SET synchronous_standby_names = {standbys}")).await;
        database.execute("SELECT pg_reload_conf()").await;
        if standbys == "'nobody'" {
            let answer = caller.earn(Endpoint::Json, &one_entry("waits", TEN_OFF, 1)).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            until_ready_is(caller, 503).await;
            // Readiness stays false as long as commits wait, and trial writes do not use up the sessions of the
            // database.
            tokio::time::sleep(Duration::from_secs(8)).await;
            until_ready_is(caller, 503).await;
            let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cart-promotions'";
            assert!(database.count(sessions).await < 12);
        }
    }
    until_ready_is(caller, 200).await;
    let answer = caller.earn(Endpoint::Json, &one_entry("waits", TEN_OFF, 1)).await;
    assert_eq!(earn_ids(&answer.body).len(), 1, "{answer:?}");
    verify(database.url());
}
