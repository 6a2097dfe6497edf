//! A question of a support desk from end to end: a customer was refused by a cap. The log tells it by customer and event in one
//! command, and the history tells who changed the cap, and when.

use std::path::Path;
use std::process::Command;

use cart_promotions::config::operator_name;
use serde_json::{Value, json};

use crate::server_process::{Process, run};
use crate::support::*;
use crate::terms::CAP;

/// The commands of docs/runbook.md, which the test runs as they stand there.
const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// Returns the line of the runbook that begins like this, and continues to its end.
fn command_of_runbook(beginning: &str) -> &'static str {
    let found = RUNBOOK.lines().find(|line| line.starts_with(beginning));
    found.unwrap_or_else(|| panic!("the runbook has no line that begins with {beginning}"))
}

/// Runs a command line of the shell in a directory, and returns what it prints.
fn shell(directory: &Path, line: &str) -> String {
    let output = Command::new("bash").args(["-c", line]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

// Waiting for the end of the process blocks a thread.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_a_cap_is_found_by_customer_and_event_and_so_is_who_changed_the_cap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("catalog.json"), endless(catalog()).to_string()).unwrap();
    assert!(run(path, &["import", "catalog.json"]).status.success());
    let process = Process::start(path, &["--listen", "127.0.0.1:0"]);
    let lowered = run(path, &["promotions", "update", "--org", "100737", CAPPED, &format!("{CAP}=1")]);
    assert!(lowered.status.success(), "{lowered:?}");
    let (caller, event) = (&process.caller, "bill-4711");
    assert_eq!(earn_ids(&caller.earn(Endpoint::Json, &one_entry("bill-4710", CAPPED, 1)).await.body).len(), 1);
    for endpoint in ENDPOINTS {
        let refused = caller.earn(endpoint, &one_entry(event, CAPPED, 2)).await;
        assert!(earn_ids(&refused.body).is_empty(), "{refused:?}");
    }
    process.signal("TERM");
    let (success, log) = process.end();
    assert!(success);
    let log: Vec<_> = log.iter().map(Value::to_string).collect();
    std::fs::write(path.join("cart-promotions.log"), log.join("\n")).unwrap();

    // One command finds both calls, and nothing else.
    let grep = command_of_runbook("grep ");
    let found = shell(path, grep);
    let lines: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{found}");
    for line in &lines {
        assert_eq!((&line["customer"], &line["event"]), (&json!(CUSTOMER), &json!(event)));
        assert_eq!((&line["codes"], &line["client"]), (&json!({"708": 1}), &json!("demo")));
        assert_eq!((&line["granted"], &line["failed"]), (&json!(0), &json!(2)));
        assert!(line["timestamp"].is_string() && line["request_id"].is_string(), "{line}");
    }
    if Command::new("jq").arg("--version").output().is_ok() {
        assert_eq!(shell(path, command_of_runbook("jq ")).lines().count(), 2);
    }

    let history = command_of_runbook("cart-promotions promotions history").replace("6912ced9d39e256f754a83f8", CAPPED);
    let arguments: Vec<_> = history.split_whitespace().skip(1).collect();
    let history = run(path, &arguments);
    let text = String::from_utf8(history.stdout).unwrap();
    assert!(history.status.success() && text.contains(&format!("operator {}", operator_name())), "{text}");
    let changed = text.lines().find(|line| line.contains("PROMOTION_CHANGED")).expect("the change of the cap");
    assert!(changed.contains(&format!("{CAP} 3 -> 1")), "{text}");
}
