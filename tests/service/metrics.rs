//! The admin listener: its metrics count what was done, within a bounded number of series, and tell nobody's name.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::server_process::{Process, run};
use crate::support::*;

/// Limits of the contract with operators.
const MAX_FAMILIES: usize = 40;
const MAX_SERIES: usize = 2_000;

fn start(directory: &Path) -> Process {
    std::fs::write(directory.join("catalog.json"), endless(catalog()).to_string()).unwrap();
    let imported = run(directory, &["import", "catalog.json"]);
    assert!(imported.status.success(), "{imported:?}");
    Process::start(directory, &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
}

async fn scrape(process: &Process) -> String {
    let url = format!("http://{}/metrics", process.admin.expect("an admin listener"));
    let answer = process.caller.http().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
    answer.text().await.unwrap()
}

/// Returns the value of each series, as it is written.
fn series(text: &str) -> HashMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_replayed_failed_and_refused_is_counted_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let process = start(directory.path());
    let caller = &process.caller;
    for event in ["a", "b", "a"] {
        assert_eq!(caller.earn(Endpoint::Grpc, &one_entry(event, TEN_OFF, 2)).await.code, 0);
    }
    let capped = caller.earn(Endpoint::Json, &one_entry("c", CAPPED, 1_000)).await;
    let granted = earn_ids(&capped.body).len();
    let ids = earn_ids(&caller.earn(Endpoint::Json, &one_entry("a", TEN_OFF, 2)).await.body);
    let revoke = json!({"customerId": CUSTOMER, "earnRevokeDetails": [{"promotionId": TEN_OFF, "earnIds": ids}]});
    for _ in 0..2 {
        let call = caller.http().post(caller.url("/api_gateway/v1/promotions/revokeEarn"));
        let call = call.header("authorization", basic("demo:demo")).header("content-type", "application/json");
        assert_eq!(call.body(revoke.to_string()).send().await.unwrap().status(), 200);
    }
    let refused = caller.post(Some("demo:wrong"), "{}").await;
    assert_eq!(refused.status, 401);
    let unknown = caller.http().get(caller.url("/nowhere/of/anybody")).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    let text = scrape(&process).await;
    let series = series(&text);
    let value = |name: &str| *series.get(name).unwrap_or_else(|| panic!("{name}: {text}"));
    assert_eq!(value("cart_promotions_grants_total"), (4 + granted).to_string());
    assert_eq!(value("cart_promotions_revocations_total"), "2");
    assert_eq!(value("cart_promotions_entries_total{outcome=\"granted\"}"), "2");
    assert_eq!(value("cart_promotions_entries_total{outcome=\"replayed\"}"), "2");
    assert_eq!(value("cart_promotions_entries_total{outcome=\"708\"}"), "1");
    assert_eq!(value("cart_promotions_refused_total{reason=\"UNAUTHENTICATED\"}"), "1");
    assert_eq!(value("cart_promotions_refused_total{reason=\"UNKNOWN_PATH\"}"), "1");
    let rpc = "rpc_method=\"cartpromotions.v1.EarnService/BulkEarn\",rpc_status_code=\"OK\"";
    assert_eq!(value(&format!("rpc_server_call_duration_seconds_count{{{rpc}}}")), "3");
    let route = format!("http_request_method=\"POST\",http_response_status_code=\"200\",http_route=\"{PATH}\"");
    assert_eq!(value(&format!("http_server_request_duration_seconds_count{{{route}}}")), "2");
    assert_ne!(value("cart_promotions_batch_rows_count{writer=\"earn\"}"), "0");
    assert_eq!(value("cart_promotions_queue_wait_seconds_count{writer=\"earn\"}"), "5");
    for gauge in [
        "database_up",
        "lanes{state=\"idle\"}",
        "connections{state=\"idle\"}",
        "pool_connections{pool=\"writers\",state=\"idle\"}",
    ] {
        assert!(series.contains_key(&*format!("cart_promotions_{gauge}")), "{gauge}: {text}");
    }
    assert_eq!(value("cart_promotions_database_up"), "1");
    // What verification counts is what was counted.
    let rows = rusqlite::Connection::open(directory.path().join("cart-promotions.db")).unwrap();
    let rows: u32 = rows.query_row("SELECT count(*) FROM earned_promotions", [], |row| row.get(0)).unwrap();
    assert_eq!(rows.to_string(), value("cart_promotions_grants_total"));
    for secret in ["demo", &CUSTOMER.to_string(), TEN_OFF, "100737", "nowhere"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_cannot_make_more_series_or_reach_metrics_on_the_public_port() {
    let directory = tempfile::tempdir().unwrap();
    let process = start(directory.path());
    let caller = &process.caller;
    let http = caller.http();
    for number in 0..300 {
        let verb = reqwest::Method::from_bytes(format!("VERB{number}").as_bytes()).unwrap();
        http.request(verb, caller.url(&format!("/path/{number}"))).send().await.unwrap();
        let _ = caller.try_raw(&format!("/cartpromotions.v1.EarnService/Method{number}"), Vec::new()).await;
    }
    for verb in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/healthz", "/readyz", "/docs", "/openapi.json", PATH, "/api_gateway/v1/promotions/x", "/metrics"]
        {
            for credentials in ["demo:demo", "demo:wrong"] {
                let verb = reqwest::Method::from_bytes(verb.as_bytes()).unwrap();
                let call = http.request(verb, caller.url(path)).header("authorization", basic(credentials));
                call.header("content-type", "text/plain").send().await.unwrap();
            }
        }
    }
    assert_eq!(http.get(caller.url("/metrics")).send().await.unwrap().status(), 404);
    let admin = format!("http://{}", process.admin.unwrap());
    for (path, status) in [("/healthz", 200), ("/readyz", 200), (PATH, 404), ("/docs", 404)] {
        assert_eq!(http.get(format!("{admin}{path}")).send().await.unwrap().status(), status, "{path}");
    }
    let text = scrape(&process).await;
    let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert!(families <= MAX_FAMILIES, "{families} families");
    let count = series(&text).len();
    assert!(count < MAX_SERIES, "{count} series");
    assert!(text.contains("rpc_method=\"_OTHER\"") && text.contains("http_route=\"_OTHER\""), "{text}");
    checked_by_promtool(&text);
}

/// Has `promtool` check the metrics, where it is installed.
fn checked_by_promtool(text: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        let _ = writeln!(std::io::stderr(), "promtool is not installed: the metrics were not checked by it");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
