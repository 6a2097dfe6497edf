//! The log never delays a call: when no process reads standard error, the service continues.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::server_process::Process;
use crate::support::*;

/// Number of calls of one test: their lines are several times as long as the capacity of the pipe and the buffer.
const CALLS: usize = 8_000;
/// Number of calls in flight.
const WORKERS: usize = 8;
/// Longest time of one call, of the end of the service, or of a line of the log on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// A time that no call takes, in milliseconds: all lines of calls are alike.
const NEVER_SLOW: &str = "3600000";
/// Drain time, in milliseconds, that a stop must not use up.
const DRAIN_MS: &str = "15000";

/// Makes calls over several routes, all of which are answered. Most log about 1 KB.
async fn call_often(caller: &Caller) {
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let caller = caller.clone();
        workers.spawn(async move {
            for call in (worker..CALLS).step_by(WORKERS) {
                let long = "x".repeat(2_000);
                let http = caller.http();
                let answer = match call % 40 {
                    0 => http.get(caller.url("/healthz")),
                    1 => http.get(caller.url("/openapi.json")),
                    2 => {
                        let request = one_entry(&format!("event {call}"), TEN_OFF, 1);
                        let http = http.post(caller.url(PATH)).header("content-type", "application/json");
                        http.header("authorization", basic("demo:demo")).body(request.to_string())
                    }
                    3 => http.post(caller.url(PATH)).header("content-type", "application/json").body("{}"),
                    4 => http.put(caller.url(&format!("/api_gateway/v1/promotions/{TEN_OFF}"))).body("x"),
                    _ => http.get(caller.url(&format!("/unknown/{long}"))),
                };
                let answer = tokio::time::timeout(PATIENCE, answer.send()).await.expect("answered").unwrap();
                assert!(answer.status().as_u16() < 500, "{answer:?}");
            }
        });
    }
    workers.join_all().await;
    for endpoint in ENDPOINTS {
        let answer = tokio::time::timeout(PATIENCE, caller.earn(endpoint, &one_entry("last", TEN_OFF, 1))).await;
        assert_eq!(answer.expect("answered").code, 0);
    }
    let alive = tokio::time::timeout(PATIENCE, caller.http().get(caller.url("/healthz")).send()).await;
    assert_eq!(alive.expect("answered").unwrap().status(), 200);
}

fn start(directory: &Path, level: &str) -> Process {
    Process::start_unread(directory, &["--log", level, "--drain-timeout-ms", DRAIN_MS, "--slow-request-ms", NEVER_SLOW])
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_reading_the_log_every_call_is_answered_and_a_stop_is_in_time() {
    for level in ["info", "trace"] {
        let directory = tempfile::tempdir().unwrap();
        let mut process = start(directory.path(), level);
        call_often(&process.caller).await;
        process.signal("TERM");
        let drain = Duration::from_millis(DRAIN_MS.parse().unwrap());
        let ended = tokio::task::spawn_blocking(move || process.ends_within(drain)).await.unwrap();
        assert_eq!(ended, Some(true), "{level}: a clean stop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_log_is_read_again_it_says_how_many_lines_are_missing() {
    for level in ["info", "trace"] {
        let directory = tempfile::tempdir().unwrap();
        let mut process = start(directory.path(), level);
        call_often(&process.caller).await;
        let lines = process.read_log();
        let dropped = tokio::task::spawn_blocking(move || {
            loop {
                let line = lines.recv_timeout(PATIENCE).expect("a line that says so");
                if let Some(dropped) = line["dropped"].as_u64() {
                    assert_eq!(line["message"], format!("{dropped} log lines were dropped"));
                    return dropped;
                }
            }
        });
        let dropped = dropped.await.unwrap();
        // The service continues as before.
        let caller = process.caller.clone();
        let late = caller.http().get(caller.url("/late")).header("x-request-id", "late").send().await.unwrap();
        assert_eq!(late.status(), 404);
        process.signal("TERM");
        let (success, log) = tokio::task::spawn_blocking(|| process.end()).await.unwrap();
        assert!(success);
        assert!(log.iter().any(|line| line["request_id"] == "late"));
        assert_eq!(log.last().unwrap()["message"], json!("stopped"));
        if level == "info" {
            let answered = log.iter().filter(|line| line["message"] == "answered").count();
            // Probes log nothing, and the test made three more calls. Every line is present or counted as dropped.
            assert_eq!(answered + usize::try_from(dropped).unwrap(), CALLS - CALLS / 40 + 3);
        }
    }
}
