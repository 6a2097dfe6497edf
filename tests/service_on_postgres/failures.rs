//! Failures under several server processes on one database, and the guarantees that hold through them: every
//! acknowledged grant exists, nothing is granted twice, no cap is exceeded, the service recovers by itself, and health
//! is right.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::Cluster;
use crate::load::{self, load_catalog};
use crate::proxy::Proxy;
use crate::rpcs::{Rpc, try_call};
use crate::server_process::{Process, run, verify};
use crate::support::*;
use cart_promotions::earning::OrgId;
use cart_promotions::storage::{Store, StoreOptions};

/// Time in which the service notices that the database is gone.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);
/// Meaning of "at once" on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Pools of one connection for each class of work.
const ONE_OF_EACH: StoreOptions = StoreOptions {
    writers: 1,
    changes: 1,
    reads: 1,
    timeout: Duration::from_secs(10),
    statement_timeout: None,
    recounts: false,
};

/// Starts a server on `url` that listens at `listen`.
fn server(url: &str, listen: &str, more: &[&str]) -> Process {
    let mut options = vec!["--database-url", url, "--listen", listen];
    options.extend(more);
    Process::start(Path::new("."), &options)
}

/// Imports the catalog of the load into a database.
async fn prepared(database: Database) -> Database {
    import(&database, &load_catalog()).await.unwrap();
    database
}

/// Starts a proxy to the database that can be cut. Returns it with its URL.
async fn proxied(database: &Database) -> (Proxy, String) {
    let proxy = Proxy::to(database.url()).await;
    let mut through = url::Url::parse(database.url()).unwrap();
    through.set_port(Some(proxy.address.port())).unwrap();
    (proxy, through.into())
}

fn own_cluster() -> (Cluster, Database) {
    let cluster = Cluster::find_and_start(&[("fsync", "off")]).expect("PostgreSQL, as for the other tests");
    let database = Database::at(cluster.create_database("wallet"));
    (cluster, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn six_processes_migrate_one_empty_database_at_once() {
    let database = Database::new().await;
    let migrations = (0..6).map(|_| {
        let url = database.url().to_owned();
        tokio::task::spawn_blocking(move || run(Path::new("."), &["migrate", "--database-url", &url]))
    });
    for migration in migrations.collect::<Vec<_>>() {
        let output = migration.await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    import(&database, &load_catalog()).await.unwrap();
    verify(database.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_killed_at_random_under_load_with_retries() {
    let database = prepared(Database::new().await).await;
    let mut processes: Vec<_> = (0..4).map(|_| server(database.url(), "127.0.0.1:0", &[])).collect();
    let callers: Vec<_> = processes.iter().map(|process| process.caller.clone()).collect();
    let load = tokio::spawn(load::run(callers));
    let mut kills = 0;
    while !load.is_finished() {
        tokio::time::sleep(Duration::from_millis(rand::random_range(50..500))).await;
        let victim = rand::random_range(0..processes.len());
        let address = processes[victim].caller.address.to_string();
        processes[victim].kill();
        let url = database.url().to_owned();
        processes[victim] = tokio::task::spawn_blocking(move || server(&url, &address, &[])).await.unwrap();
        kills += 1;
    }
    load.await.unwrap().compare(&database).await;
    assert!(kills >= 5, "{kills} kills");
    verify(database.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_restarted_as_by_a_crash_under_load() {
    let (mut cluster, database) = own_cluster();
    let database = prepared(database).await;
    let processes = [(); 2].map(|()| server(database.url(), "127.0.0.1:0", &[]));
    let callers = processes.iter().map(|process| process.caller.clone()).collect();
    let load = tokio::spawn(load::run(callers));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        cluster = tokio::task::spawn_blocking(move || {
            cluster.stop_immediate();
            cluster.start_again();
            cluster
        })
        .await
        .unwrap();
    }
    load.await.unwrap().compare(&database).await;
    verify(database.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_told_by_health_and_refused_at_once_until_it_is_back() {
    let (mut cluster, database) = own_cluster();
    let database = prepared(database).await;
    let process = server(database.url(), "127.0.0.1:0", &[]);
    let caller = &process.caller;
    let ready = async |expected: u16| {
        let told = async {
            while caller.http().get(caller.url("/readyz")).send().await.unwrap().status() != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(NOTICED_WITHIN, told).await.unwrap_or_else(|_| panic!("never {expected}"));
    };
    let kept = caller.earn(Endpoint::Json, &one_entry("before", TEN_OFF, 2)).await;
    for _ in 0..2 {
        ready(200).await;
        cluster.stop_immediate();
        ready(503).await;
        for endpoint in ENDPOINTS {
            for _ in 0..5 {
                let begun = Instant::now();
                let answer = caller.earn(endpoint, &one_entry("meanwhile", TEN_OFF, 1)).await;
                assert!(matches!(answer.status, 503 | 14) && begun.elapsed() < AT_ONCE, "{answer:?}");
            }
            for (method, request) in [
                ("WalletService/ListEarnedPromotions", json!({"customerId": CUSTOMER})),
                ("CatalogService/ActivatePromotion", json!({"promotionId": TEN_OFF})),
                ("CustomerService/GetCustomer", json!({"customerId": CUSTOMER})),
            ] {
                let begun = Instant::now();
                let answer = try_call(caller, endpoint, Rpc::of_demo(method), &request).await.unwrap();
                assert!(matches!(answer.status, 503 | 14) && begun.elapsed() < AT_ONCE, "{method}: {answer:?}");
            }
        }
        assert_eq!(caller.http().get(caller.url("/healthz")).send().await.unwrap().status(), 200);
        cluster.start_again();
        caller.earn_once_recovered(Endpoint::Grpc, &one_entry("after", TEN_OFF, 1)).await;
    }
    assert_eq!(caller.earn(Endpoint::Grpc, &one_entry("before", TEN_OFF, 2)).await.body, kept.body);
    verify(database.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_mid_transaction_under_load() {
    let database = prepared(Database::new().await).await;
    let (proxy, through) = proxied(&database).await;
    let processes = [(); 2].map(|()| server(&through, "127.0.0.1:0", &[]));
    let callers = processes.iter().map(|process| process.caller.clone()).collect();
    let load = tokio::spawn(load::run(callers));
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name = 'cart-promotions' AND datname = current_database()";
    let mut cuts = 0;
    while !load.is_finished() {
        // The pauses grow: on a database that begins transactions slowly, frequent cuts would prevent all work.
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..300 + 30 * cuts))).await;
        // Either the server side is notified, or neither side.
        if cuts % 2 == 0 {
            proxy.cut();
        } else {
            database.execute(terminate).await;
        }
        cuts += 1;
    }
    load.await.unwrap().compare(&database).await;
    assert!(cuts >= 10, "{cuts} cuts");
    verify(database.url());
}

/// A caller that gives up while a transaction begins leaves no open transaction on a connection that others use next:
/// their writes would not be durable.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_given_up_while_it_begins_does_not_stay_open() {
    let database = prepared(Database::new().await).await;
    let (proxy, through) = proxied(&database).await;
    let store = Store::open(&through, ONE_OF_EACH).await.unwrap();
    store.ping().await.unwrap();
    // The pool tests a returned connection first; the pause waits for that.
    tokio::time::sleep(Duration::from_millis(100)).await;
    proxy.stall(true);
    assert!(tokio::time::timeout(Duration::from_millis(100), store.begin()).await.is_err());
    proxy.stall(false);
    // The pool has one connection, so this waits until it is free: the first one is closed by then, or would be used
    // here.
    drop(store.begin().await.unwrap());
    let open = "SELECT state, query FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let open = database.rows(open).await;
        if open.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "{open:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Idle connections break together with one in use. The caller that meets the broken one makes the pool drop the
/// others.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_after_a_broken_connection_meets_no_other_one() {
    let database = prepared(Database::new().await).await;
    let (proxy, through) = proxied(&database).await;
    let store = Store::open(&through, StoreOptions { changes: 2, reads: 2, ..ONE_OF_EACH }).await.unwrap();
    let orgs = [OrgId(1)].into();
    let use_all = async || {
        let (one, other) = tokio::join!(store.begin(), store.begin());
        for transaction in [one, other] {
            transaction.unwrap().rollback().await.unwrap();
        }
        let (one, other) = tokio::join!(store.catalog_versions(&orgs), store.catalog_versions(&orgs));
        assert_eq!(one.unwrap(), other.unwrap());
    };
    for _ in 0..3 {
        store.ping().await.unwrap();
        use_all().await;
        // The pools test returned connections first; the pause waits for that.
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.cut();
        assert!(store.ping().await.is_err());
        use_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_time_outs_under_load() {
    let database = prepared(Database::new().await).await;
    let processes = [(); 2].map(|()| server(database.url(), "127.0.0.1:0", &["--statement-timeout-ms", "150"]));
    let callers = processes.iter().map(|process| process.caller.clone()).collect();
    let load = tokio::spawn(load::run(callers));
    for round in 0..8 {
        let blocker = if round % 2 == 0 { database.block_writers().await } else { database.block_lookups().await };
        tokio::time::sleep(Duration::from_millis(400)).await;
        blocker.release().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    load.await.unwrap().compare(&database).await;
    verify(database.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_and_passed_deadlines_refuse_at_once_and_record_nothing() {
    let database = prepared(Database::new().await).await;
    let options = ["--max-waiting", "8", "--writers", "2", "--request-timeout-ms", "2000"];
    let process = server(database.url(), "127.0.0.1:0", &options);
    process.caller.earn(Endpoint::Json, &one_entry("warm", TEN_OFF, 1)).await;
    let blocker = database.block_writers().await;
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..200 {
        let caller = process.caller.clone();
        calls.spawn(async move {
            let (begun, event) = (Instant::now(), format!("event {index}"));
            let answer = caller.earn(ENDPOINTS[index % 2], &one_entry(&event, TEN_OFF, 1)).await;
            (event, answer, begun.elapsed())
        });
    }
    // While the database stalls, most calls are refused because the queue is full, the rest after their longest wait.
    let answers = calls.join_all().await;
    blocker.release().await;
    assert!(answers.iter().all(|(_, answer, _)| matches!(answer.status, 503 | 14)), "{answers:?}");
    let full = |answer: &Answer| answer.messages[0].contains("too many requests are waiting");
    let refused = answers.iter().filter(|(_, answer, _)| full(answer)).count();
    let waited = answers.iter().filter(|(.., elapsed)| *elapsed >= Duration::from_secs(2)).count();
    assert!(refused >= 180 && (1..=20).contains(&waited), "{refused} refused, {waited} waited");
    process.caller.earn_once_recovered(Endpoint::Grpc, &one_entry("after", TEN_OFF, 1)).await;
    // Calls in flight among those that waited may have been recorded; calls that a full queue refused were not.
    let recorded = database.rows("SELECT event_id FROM earned_promotions").await;
    for (event, answer, _) in answers.iter().filter(|(_, answer, _)| full(answer)) {
        assert!(recorded.iter().all(|row| row["event_id"] != event.as_str()), "{event}: {answer:?}");
    }
    verify(database.url());
}
