//! The program as a process: killed, stopped, started again.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server_process::Process;
use crate::support::*;

/// Runs `serve --demo` in `directory`, with the default database there. Returns the process and the `curl` command that
/// it prints.
fn demo(directory: &TempDir) -> (Process, String) {
    demo_with_disk(directory, "unlimited")
}

/// Starts a process like [`demo`], with a limit of the size of each file, in KiB.
fn demo_with_disk(directory: &TempDir, limit: &str) -> (Process, String) {
    let mut process = Process::start_with_disk(directory.path(), limit, &["--demo", "--listen", "127.0.0.1:0"]);
    let curl = process.printed_until("}'");
    (process, curl)
}

#[tokio::test]
async fn kill_9_right_after_a_reply_loses_nothing_and_the_repeat_returns_the_same_ids() {
    let directory = tempfile::tempdir().unwrap();
    let mut first: Vec<(String, Vec<String>)> = Vec::new();
    for round in 0..5 {
        let (process, _) = demo(&directory);
        for (event, ids) in &first {
            let again = process.caller.earn(Endpoint::Grpc, &one_entry(event, TEN_OFF, 7)).await;
            assert_eq!(&earn_ids(&again.body), ids, "{event}");
        }
        let event = format!("event {round}");
        let answer = process.caller.earn(ENDPOINTS[round % 2], &one_entry(&event, TEN_OFF, 7)).await;
        process.signal("KILL");
        first.push((event, earn_ids(&answer.body)));
        assert_eq!(first[round].1.len(), 7, "{answer:?}");
    }
}

#[tokio::test]
async fn the_printed_request_is_the_documented_one_and_earns_both() {
    let directory = tempfile::tempdir().unwrap();
    let (process, curl) = demo(&directory);
    let body = curl.split("--data '").nth(1).unwrap().trim_end().trim_end_matches('\'');
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), documented_request());
    assert!(curl.contains("--user demo:demo"), "{curl}");
    let answer = process.caller.post(Some("demo:demo"), body.to_owned()).await;
    assert_eq!(earn_ids(&answer.body).len(), 2, "{answer:?}");
    // The next process finds the earned promotions in the same database.
    process.signal("INT");
    assert!(process.end().0);
    let (process, _) = demo(&directory);
    let again = process.caller.post(Some("demo:demo"), body.to_owned()).await;
    assert_eq!(again.body, answer.body);
    process.signal("TERM");
    assert!(process.end().0);
}

#[tokio::test]
async fn a_hang_up_does_not_end_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let (process, _) = demo(&directory);
    process.signal("HUP");
    let answer = process.caller.earn(Endpoint::Json, &documented_request()).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    process.signal("TERM");
    assert!(process.end().0);
}

#[tokio::test]
async fn the_log_names_requests_by_their_id_and_never_shows_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let (process, _) = demo(&directory);
    let caller = process.caller.clone();
    for (id, credentials) in [("good-1", "demo:demo"), ("bad-2", "demo:s3cr3t-typo")] {
        let request =
            caller.http().post(caller.url(PATH)).header("x-request-id", id).header("authorization", basic(credentials));
        let answer = request
            .header("content-type", "application/json")
            .body(json!({"customerId": 1}).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers()["x-request-id"], id);
    }
    process.signal("TERM");
    let (success, log) = process.end();
    assert!(success);
    let line = |id: &str| log.iter().find(|line| line["request_id"] == id).unwrap_or_else(|| panic!("{id}: {log:#?}"));
    let (good, bad) = (line("good-1"), line("bad-2"));
    assert_eq!(
        (&good["http_status"], &good["client"], &good["path"], &good["rpc"]),
        (&json!(400), &json!("demo"), &json!(PATH), &json!("cartpromotions.v1.EarnService/BulkEarn"))
    );
    assert_eq!((&good["peer"], &good["bytes_in"]), (&json!("127.0.0.1"), &json!(16)));
    assert_eq!(good["reason"], "INVALID_REQUEST");
    assert!(good["refusal"].as_str().unwrap().starts_with("eventTime: is required"), "{good}");
    assert!(good["duration_ms"].is_f64() && good["bytes_out"].is_u64(), "{good}");
    assert_eq!((&bad["http_status"], &bad["level"]), (&json!(401), &json!("INFO")));
    let text = serde_json::to_string(&log).unwrap();
    for secret in ["s3cr3t", "demo:demo", &basic("demo:demo")] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_logged_and_may_have_been_granted() {
    let directory = tempfile::tempdir().unwrap();
    let (process, _) = demo(&directory);
    let caller = process.caller.clone();
    assert_eq!(caller.earn(Endpoint::Json, &one_entry("warm", TEN_OFF, 1)).await.code, 0);
    let blocker = rusqlite::Connection::open(directory.path().join("cart-promotions.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let call =
        caller.http().post(caller.url(PATH)).header("x-request-id", "gone").header("authorization", basic("demo:demo"));
    let call = call.header("content-type", "application/json").body(one_entry("gone", TEN_OFF, 1).to_string());
    let hung_up = tokio::time::timeout(ACCEPTED_WITHIN, call.send()).await;
    assert!(hung_up.is_err(), "{hung_up:?}");
    blocker.execute_batch("ROLLBACK").unwrap();
    // Whether or not the call was recorded before, it is now, once.
    assert_eq!(caller.earn(Endpoint::Grpc, &one_entry("gone", TEN_OFF, 1)).await.code, 0);
    process.signal("TERM");
    let (success, log) = process.end();
    assert!(success);
    let line = log.iter().find(|line| line["request_id"] == "gone").expect("a line");
    assert_eq!(line["message"], "the caller abandoned the call");
    let granted: i64 = blocker.query_row("SELECT count(*) FROM earned_promotions", [], |row| row.get(0)).unwrap();
    assert_eq!(granted, 2);
}

#[tokio::test]
async fn a_stop_under_load_answers_everything_it_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let (process, _) = demo(&directory);
    let mut calls = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let caller = process.caller.clone();
        calls.spawn(async move {
            let mut acknowledged = Vec::new();
            for index in 0..1_000 {
                let request = one_entry(&format!("{worker} {index}"), TEN_OFF, 1);
                let sent = caller.http().post(caller.url(PATH)).header("authorization", basic("demo:demo"));
                match sent.header("content-type", "application/json").body(request.to_string()).send().await {
                    Ok(answer) => match json_answer(answer).await {
                        answer if answer.status == 200 => acknowledged.push(earn_ids(&answer.body)),
                        answer => assert_eq!(answer.status, 503, "{answer:?}"),
                    },
                    Err(_) => break,
                }
            }
            acknowledged
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.signal("TERM");
    let acknowledged: Vec<_> = calls.join_all().await.into_iter().flatten().flatten().collect();
    assert!(process.end().0, "a clean stop");
    assert!(!acknowledged.is_empty());
    let database = rusqlite::Connection::open(directory.path().join("cart-promotions.db")).unwrap();
    for id in &acknowledged {
        let found: i64 = database
            .query_row("SELECT count(*) FROM earned_promotions WHERE earn_id = ?", [id], |row| row.get(0))
            .unwrap();
        assert_eq!(found, 1, "{id}");
    }
    // Nothing else is recorded either, because every call was answered or refused.
    let all: i64 = database.query_row("SELECT count(*) FROM earned_promotions", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(all).unwrap(), acknowledged.len());
}

/// Asks whether the process is alive, and returns the answer.
async fn healthz(connection: &mut TcpStream) -> String {
    connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    while !answer.contains("ALIVE") {
        let mut part = [0; 1024];
        let length = connection.read(&mut part).await.unwrap();
        assert!(length > 0, "closed behind {answer:?}");
        answer.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    answer.to_lowercase().replacen("http/1.1", "HTTP/1.1", 1)
}

#[tokio::test]
async fn a_service_that_is_told_to_stop_is_not_ready_and_takes_calls_for_the_delay() {
    let directory = tempfile::tempdir().unwrap();
    let options = ["--demo", "--listen", "127.0.0.1:0", "--shutdown-delay-ms", "600000"];
    let mut process = Process::start(directory.path(), &options);
    let caller = process.caller.clone();
    // A balancer keeps one for its next call, which may be on its way when the service is told to stop.
    let mut kept = TcpStream::connect(caller.address).await.unwrap();
    let answer = healthz(&mut kept).await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("connection: close"), "{answer}");
    process.signal("TERM");
    // Each on a connection of its own, as a balancer's.
    let get = async |path: &str| {
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        client.get(caller.url(path)).send().await.map(|answer| answer.status().as_u16())
    };
    let not_ready = async {
        while get("/readyz").await.unwrap() == 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), not_ready).await.expect("it is not ready before it is gone");
    let answer = caller.earn(Endpoint::Json, &one_entry("in the delay", TEN_OFF, 1)).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    // Each of its calls is answered, until one is told to be the last.
    let last_call = async { while !healthz(&mut kept).await.contains("connection: close") {} };
    tokio::time::timeout(Duration::from_mins(1), last_call).await.expect("it is told to leave");
    process.signal("TERM");
    assert_eq!(process.ends_within(Duration::from_mins(1)), Some(true));
    assert!(get("/readyz").await.is_err(), "gone");
}

#[tokio::test]
async fn a_full_disk_is_503_over_both_endpoints_and_loses_nothing() {
    let request = |event: &str| {
        let mut request = one_entry(event, TEN_OFF, 1);
        let entry =
            |index: usize| json!({"promotionId": TEN_OFF, "earnCount": 10, "earnedFromId": format!("{index:0250}")});
        request["earnedPromotions"] = (0..100).map(entry).collect();
        request
    };
    for endpoint in ENDPOINTS {
        let directory = tempfile::tempdir().unwrap();
        let (process, _) = demo_with_disk(&directory, "4096");
        let mut acknowledged = Vec::new();
        let refused = loop {
            let event = format!("event {}", acknowledged.len());
            let answer = process.caller.earn(endpoint, &request(&event)).await;
            if answer.code != 0 {
                break answer;
            }
            acknowledged.push((event, earn_ids(&answer.body)));
            assert!(acknowledged.len() < 100, "the disk does not fill up");
        };
        let status = if endpoint == Endpoint::Json { 503 } else { 14 };
        assert_eq!((refused.status, refused.code), (status, 500), "{refused:?}");
        assert!(endpoint == Endpoint::Json || refused.reason == "UNAVAILABLE", "{refused:?}");
        // Recorded earnings are still returned, though nothing can be added.
        let (event, ids) = &acknowledged[0];
        let again = process.caller.earn(endpoint, &request(event)).await;
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(&earn_ids(&again.body), ids);
        process.signal("KILL");
        drop(process);
        let (process, _) = demo(&directory);
        for (event, ids) in &acknowledged {
            let again = process.caller.earn(endpoint, &request(event)).await;
            assert_eq!(again.code, 0, "{event}: {again:?}");
            assert_eq!(&earn_ids(&again.body), ids, "{event}");
        }
        let missing = process.caller.earn(endpoint, &request(&format!("event {}", acknowledged.len()))).await;
        assert_eq!(earn_ids(&missing.body).len(), 1_000, "with room again, it is granted");
    }
}
