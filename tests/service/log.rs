//! The log never delays a call: when no process reads standard error, the service continues. Signals change its level, and
//! its first line tells the options.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::plain_http::PlainHttp;
use crate::server_process::Process;
use crate::support::*;

/// Number of calls of one test: their lines are several times as long as the capacity of the pipe and the buffer.
const CALLS: usize = 8_000;
/// Number of calls in flight.
const WORKERS: usize = 8;
/// Longest time of one call, of the end of the service, or of a line of the log on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// A time that no call takes, in milliseconds: all lines of calls are alike.
pub const NEVER_SLOW: &str = "3600000";
/// Drain time, in milliseconds, that a stop must not use up.
const DRAIN_MS: &str = "15000";

/// Makes calls over several routes, all of which are answered. Most log about 1 KB.
async fn call_often(caller: &TestCaller) {
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let caller = caller.clone();
        workers.spawn(async move {
            let mut plain = PlainHttp::connect(caller.address).await;
            let long = format!("/unknown/{}", "x".repeat(2_000));
            for call in (worker..CALLS).step_by(WORKERS) {
                if call % 40 > 4 {
                    let unknown = tokio::time::timeout(PATIENCE, plain.get(&long));
                    assert_eq!(unknown.await.expect("answered").0, 404);
                    continue;
                }
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
                    _ => http.put(caller.url(&format!("/api_gateway/v1/promotions/{TEN_OFF}"))).body("x"),
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

/// Waits for a line with this text in its message.
fn line_that_says(lines: &Receiver<Value>, text: &str) -> Value {
    loop {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line says {text:?}"));
        if line["message"].as_str().is_some_and(|message| message.contains(text)) {
            return line;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_raise_the_level_to_debug_and_put_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start_unread(directory.path(), &[]);
    let lines = process.read_log();
    // Probes are logged at the level debug.
    let probe = async |process: &Process, id: &str| {
        let probe = process.caller.http().get(process.caller.url("/healthz")).header("x-request-id", id);
        assert_eq!(probe.send().await.unwrap().status(), 200);
    };
    probe(&process, "before").await;
    for round in 0..2 {
        process.signal("USR1");
        line_that_says(&lines, "raised to debug for ten minutes");
        probe(&process, &format!("raised-{round}")).await;
        process.signal("USR2");
        line_that_says(&lines, "as configured again");
        probe(&process, &format!("reset-{round}")).await;
    }
    process.signal("TERM");
    let (success, log) = tokio::task::spawn_blocking(|| process.end()).await.unwrap();
    assert!(success);
    let probes: Vec<_> = log.iter().filter(|line| line["path"] == "/healthz").collect();
    let ids: Vec<_> = probes.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["raised-0", "raised-1"], "{probes:#?}");
    assert!(probes.iter().all(|line| line["level"] == "DEBUG"), "{probes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_call_has_its_peer_also_when_the_call_is_refused_early() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["--demo", "--listen", "127.0.0.1:0", "--log", "debug"]);
    let (http, url) = (process.caller.http(), |path: &str| process.caller.url(path));
    for (request, status) in [
        (http.get(url("/nowhere")), 404),
        (http.get(url("/healthz")), 200),
        (http.delete(url(PATH)), 405),
        (http.post(url(PATH)).body("{}"), 401),
        (http.post(url("/cartpromotions.v1.EarnService/BulkEarn")), 415),
        (http.post(url(PATH)).header("x-long", "x".repeat(17_000)), 431),
    ] {
        assert_eq!(request.header("x-request-id", "early").send().await.unwrap().status(), status);
    }
    process.signal("TERM");
    let (_, log) = tokio::task::spawn_blocking(|| process.end()).await.unwrap();
    let lines: Vec<_> = log.iter().filter(|line| line["http_status"].is_number()).collect();
    assert_eq!(lines.len(), 6, "{lines:#?}");
    assert!(lines.iter().all(|line| line["peer"] == "127.0.0.1"), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_line_tells_the_options_that_differ_from_their_defaults_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("key.pem"), std::fs::read(crate::tokens::ED25519).unwrap()).unwrap();
    let text = "listen = \"127.0.0.1:0\"\nslow-request-ms = 500\nmax-connections = 1_000\ndemo = false\n";
    std::fs::write(path.join("options.toml"), text).unwrap();
    let environment = [("CART_PROMOTIONS_LOG_REQUESTS", "failed"), ("CART_PROMOTIONS_WRITERS", "2")];
    let options = ["--config", "options.toml", "--token-key", "2026=key.pem", "--drain-timeout-ms", "30000"];
    let process = Process::start_in(path, &environment, &options);
    process.signal("TERM");
    let (success, log) = tokio::task::spawn_blocking(|| process.end()).await.unwrap();
    assert!(success);
    let line = log.iter().find(|line| line["message"] == "serving gRPC and JSON").expect("the first line");
    // The tests start every server with these two.
    let (limit, format) = ("requests-per-minute=0", "log-format=json");
    let expected = format!(
        "listen=127.0.0.1:0 {limit} token-key=2026=key.pem max-connections=1000 log-requests=failed config=options.toml {format}"
    );
    assert_eq!(line["options"], expected);
    assert_eq!((&line["engine"], &line["version"]), (&json!("sqlite"), &json!(env!("CARGO_PKG_VERSION"))));
    assert!(line["commit"].is_string() && line.as_object().unwrap().values().all(|value| !value.is_object()), "{line}");
    let pem = std::fs::read_to_string(crate::tokens::ED25519).unwrap();
    let secret = pem.lines().nth(1).unwrap();
    assert!(log.iter().all(|line| !line.to_string().contains(secret)), "{log:#?}");
}
