//! The start of a service: with a role that has no rights on the schema, and before its database.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::cluster::Cluster;
use crate::server_process::{Process, run};
use crate::support::*;

/// Creates a role that may read and write rows of the present tables and nothing else. Returns the URL with it.
async fn least_role(database: &Database, name: &str) -> String {
    let drop = format!(
        "DO $$ BEGIN CREATE ROLE {name} LOGIN PASSWORD 'least'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    );
    database.execute(&drop).await;
    database.execute(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")).await;
    let mut url = url::Url::parse(database.url()).unwrap();
    url.set_username(name).unwrap();
    url.set_password(Some("least")).unwrap();
    url.to_string()
}

// Waiting for the end of the process blocks a thread, and a gRPC connection needs another one to close.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_read_and_write_rows_serves_a_current_schema() {
    let database = Database::new().await;
    import(&database, &endless(catalog())).await.unwrap();
    let url = least_role(&database, "cart_promotions_least").await;
    let directory = tempfile::tempdir().unwrap();
    for more in [&[][..], &["--no-migrate"]] {
        let options = ["--listen", "127.0.0.1:0", "--database-url", &url];
        let process = Process::start(directory.path(), &[&options[..], more].concat());
        let event = format!("{more:?}");
        let answer = process.caller.earn(Endpoint::Grpc, &one_entry(&event, TEN_OFF, 1)).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        process.signal("TERM");
        assert!(process.end().0);
    }
    let checked = run(directory.path(), &["migrate", "--check", "--database-url", &url]);
    assert!(checked.status.success(), "{checked:?}");
    // The role cannot make the tables of an empty database, and is told so.
    let empty = Database::new().await;
    let url = least_role(&empty, "cart_promotions_least").await;
    let refused = run(directory.path(), &["migrate", "--database-url", &url]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && text.contains("permission denied for schema public"), "{text}");
}

#[test]
fn a_database_that_is_down_at_the_start_is_waited_for_with_one_line() {
    let Some(mut cluster) = Cluster::find_and_start(&[("fsync", "off")]) else { return };
    let url = cluster.create_database("late");
    cluster.stop_immediate();
    let directory = tempfile::tempdir().unwrap();
    let common = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--database-url", &url];
    let impatient = run(directory.path(), &[&common[..], &["--wait-for-database-ms", "0"]].concat());
    let text = String::from_utf8(impatient.stderr).unwrap();
    assert!(!impatient.status.success() && !text.contains("waiting for the database"), "{text}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_cart-promotions"))
        .args(common)
        .current_dir(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("waiting for the database")).expect("it waits");
    assert!(line.contains("WARN") && line.contains("\"wait_ms\":60000") && line.contains("refused"), "{line}");
    cluster.start_again();
    let further: Vec<_> = lines.by_ref().take_while(|line| !line.contains("serving gRPC and JSON")).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!further.iter().any(|line| line.contains("waiting")), "{further:#?}");
}

/// Longest time until a server answers or notices its database on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process that is killed when this value is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a probe is answered with this status.
async fn becomes(caller: &TestCaller, path: &str, status: u16) {
    let asked = async || caller.http().get(caller.url(path)).send().await.map(|answer| answer.status().as_u16());
    let so = async {
        while asked().await.ok() != Some(status) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, so).await.unwrap_or_else(|_| panic!("{path} does not become {status}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_waited_for_probes_are_answered_and_calls_are_refused() {
    let Some(mut cluster) = Cluster::find_and_start(&[("fsync", "off")]) else { return };
    let url = cluster.create_database("awaited");
    cluster.stop_immediate();
    let directory = tempfile::tempdir().unwrap();
    // The service logs its ports only when it serves.
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [public, admin] = ports.map(|port| port.local_addr().unwrap());
    let listen = |address: &SocketAddr| address.to_string();
    let child = Command::new(env!("CARGO_BIN_EXE_cart-promotions"))
        .args(["serve", "--listen", &listen(&public), "--admin-listen", &listen(&admin), "--database-url", &url])
        .current_dir(directory.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _killed = Killed(child);
    let (public, admin) = (TestCaller::of(public), TestCaller::of(admin));
    for caller in [&public, &admin] {
        becomes(caller, "/healthz", 200).await;
        becomes(caller, "/readyz", 503).await;
    }
    let metrics = admin.http().get(admin.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\ncart_promotions_database_up 0\n"), "{metrics}");
    let mut health = HealthClient::new(public.channel());
    let asked = HealthCheckRequest { service: String::new() };
    assert_eq!(health.check(asked.clone()).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    for endpoint in ENDPOINTS {
        let refused = public.earn(endpoint, &documented_request()).await;
        let status = if endpoint == Endpoint::Json { 503 } else { 14 };
        assert_eq!((refused.status, refused.code), (status, 500), "{refused:?}");
    }
    assert_eq!(public.http().post(public.url("/healthz")).send().await.unwrap().status(), 405);
    cluster.start_again();
    becomes(&public, "/readyz", 200).await;
    assert_eq!(health.check(asked).await.unwrap().into_inner().status(), ServingStatus::Serving);
    for endpoint in ENDPOINTS {
        let unknown = public.earn(endpoint, &documented_request()).await;
        assert_eq!(unknown.code, 401, "{unknown:?}");
    }
}
