//! The commands that show, change and export what is recorded, and those that examine the database and a server.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::ENGINE;
use crate::server_process::{Process, run};
use crate::support::*;
use crate::terms::{self, CAP, EXPIRY, LIMITED};

/// Runs a command on the database. Returns its exit code, standard output and standard error.
fn command(database: &Database, directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(directory, &[arguments, &["--database-url", database.url()]].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Returns a database with two organizations, promotions of every kind, an audience, customers and clients.
async fn shops() -> Database {
    let database = Database::new().await;
    let mut file = json!({
        "orgs": [
            {"id": 1, "name": "Shop \"A\"", "timeZone": "Asia/Kolkata", "maxActivePromotions": 2},
            {"id": 2, "name": "Other", "acceptUnknownCustomers": true},
        ],
        "promotions": [
            {"id": TEN_OFF, "orgId": 1, "name": "Ten off", "type": "EARNING", "startDate": 1, "endDate": 2_082_758_399_999_i64,
             "audience": [9, 7]},
            {"id": TEN_OFF, "orgId": 2, "name": "Ten off", "type": "CODE", "active": false, "startDate": -5, "endDate": 5},
        ],
        "customers": [{"orgId": 1, "customerId": 7}, {"orgId": 1, "customerId": 9_007_199_254_740_993_i64}],
        "apiClients": [{"username": "till", "password": "5ecret-of-till", "orgId": 1, "access": ["earn:write"]}],
    });
    for rules in [terms::cap(3), terms::days(30), terms::limited(true)] {
        terms::set(&mut file["promotions"][0], &rules);
    }
    import(&database, &file).await.unwrap();
    database
}

#[tokio::test]
async fn an_export_imports_to_the_same() {
    let database = shops().await;
    let directory = tempfile::tempdir().unwrap();
    let (code, exported, told) = command(&database, directory.path(), &["export"]);
    assert!(code == Some(0) && told.starts_with("API clients are not exported (1 are recorded)"), "{told}");
    assert!(!exported.contains("argon2") && !exported.contains("till"), "{exported}");
    std::fs::write(directory.path().join("x.json"), &exported).unwrap();
    let copy = Database::new().await;
    assert_eq!(command(&copy, directory.path(), &["import", "x.json"]).0, Some(0));
    assert_eq!(command(&copy, directory.path(), &["export"]), (Some(0), exported.clone(), String::new()));
    // Over a database that differs, an import of the export leaves no difference either.
    let dry_run = ["import", "--dry-run", "x.json"];
    assert_eq!(command(&database, directory.path(), &dry_run).1, "nothing would change\n");
    let piped = Command::new("sh")
        .args(["-c", r#""$0" export --database-url "$1" | "$0" import --dry-run - --database-url "$1""#])
        .args([env!("CARGO_BIN_EXE_cart-promotions"), database.url()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), "nothing would change\n");
    let (capped, open) = (terms::cap(1), terms::with(terms::unlimited(), &terms::limited(false)));
    let [capped, open] = [capped, open].map(|fields| terms::arguments(&fields));
    let changes = [
        &["promotions", "update", "--org", "2", TEN_OFF, &capped[0], "name=Else"][..],
        &["promotions", "update", "--org", "1", TEN_OFF, &open[0], &open[1]],
        &["orgs", "set", "1", "--max-active-promotions", "9", "--org-time-zone", "UTC", "--name", "B"],
        &["promotions", "deactivate", "--org", "1", TEN_OFF],
    ];
    for change in changes {
        let (code, _, told) = command(&copy, directory.path(), change);
        assert!(code == Some(0) && told.is_empty(), "{change:?}: {told}");
    }
    let (_, differing, _) = command(&copy, directory.path(), &dry_run);
    assert_eq!(differing.lines().count(), 3, "{differing}");
    assert_eq!(command(&copy, directory.path(), &["import", "x.json"]).0, Some(0));
    assert_eq!(command(&copy, directory.path(), &["export"]).1, exported);
    let (_, one, _) = command(&database, directory.path(), &["export", "--org", "2", "--without-customers"]);
    let one: Value = one.parse().unwrap();
    assert_eq!((one["orgs"].as_array().unwrap().len(), &one["customers"]), (1, &json!([])));
    assert_eq!(command(&database, directory.path(), &["export", "--org", "3"]).0, Some(1));
}

#[tokio::test]
async fn organizations_are_shown_and_their_settings_changed() {
    let database = shops().await;
    let directory = tempfile::tempdir().unwrap();
    let told = |arguments: &[&str]| command(&database, directory.path(), arguments);
    let table = "\
ID  NAME      TIME ZONE     ACTIVE  MAX ACTIVE  UNKNOWN CUSTOMERS
1   Shop \"A\"  Asia/Kolkata  1       2           refused
2   Other     UTC           0       250         accepted
";
    assert_eq!(told(&["orgs", "list"]), (Some(0), table.to_owned(), String::new()));
    let (_, shown, _) = told(&["orgs", "show", "1"]);
    assert!(shown.ends_with("\npromotions: 1\ncustomers:  2\nAPI clients: 1\n"), "{shown}");
    let (_, set, _) = told(&["orgs", "set", "1", "--max-active-promotions", "300", "--json"]);
    let expected = json!({"id": 1, "name": "Shop \"A\"", "timeZone": "Asia/Kolkata", "maxActivePromotions": 300,
        "acceptUnknownCustomers": false});
    assert_eq!(set.parse::<Value>().unwrap(), expected);
    for (arguments, code, expected) in [
        (&["orgs", "set", "9", "--max-active-promotions", "3"][..], 1, "404: there is no organization 9"),
        (&["orgs", "show", "9"], 1, "404: there is no organization 9"),
        (&["orgs", "set", "1", "--name", " x"], 1, "400: --name: "),
        (&["orgs", "set", "1"], 2, "--max-active-promotions"),
        (&["orgs", "set", "1", "--max-active-promotions", "0"], 2, "--max-active-promotions"),
        (&["orgs", "set", "1", "--org-time-zone", "Mars"], 2, "not an IANA time zone"),
    ] {
        let (is, _, text) = told(arguments);
        assert!(is == Some(code) && text.contains(expected) && text.lines().count() == 1, "{arguments:?}: {text}");
    }
    assert_eq!(told(&["customers", "count", "--org", "1"]).1, "2\n");
    assert_eq!(told(&["customers", "count", "--org", "2", "--json"]).1, "{\"customers\":0}\n");
    assert!(told(&["customers", "count", "--org", "9"]).2.contains("404: there is no organization 9"));
}

#[tokio::test]
async fn a_promotion_is_shown_and_updated_in_the_named_fields() {
    let database = shops().await;
    let directory = tempfile::tempdir().unwrap();
    let told = |arguments: &[&str]| command(&database, directory.path(), arguments);
    let object = |arguments: &[&str]| told(&[arguments, &["--json"]].concat()).1.parse::<Value>().unwrap();
    let before = object(&["promotions", "show", "--org", "1", TEN_OFF]);
    let [capped, unlimited, to_its_end] =
        [terms::cap(1), terms::unlimited(), terms::to_its_end()].map(|field| terms::arguments(&field).concat());
    let after =
        object(&["promotions", "update", "--org", "1", TEN_OFF, "endDate=2082758400000", &unlimited, &to_its_end]);
    assert_eq!(object(&["promotions", "show", "--org", "1", TEN_OFF]), after);
    assert_eq!((&after["endDate"], &after[CAP]), (&json!(2_082_758_400_000_i64), &Value::Null));
    assert_eq!(after[EXPIRY], terms::to_its_end()[EXPIRY]);
    for kept in ["id", "orgId", "name", "type", "active", "startDate", LIMITED] {
        assert_eq!(before[kept], after[kept], "{kept}");
    }
    for (arguments, code, expected) in [
        (&["promotions", "show", "--org", "1", "x"][..], 1, "725: "),
        (&["promotions", "show", "--org", "1", FREE_DELIVERY], 1, "404: promotion"),
        (&["promotions", "update", "--org", "1", FREE_DELIVERY, "name=x"], 1, "404: promotion"),
        (&["promotions", "update", "--org", "1", TEN_OFF, "endDate=0"], 1, "endDate: must not be before startDate"),
        (&["promotions", "update", "--org", "1", TEN_OFF], 2, "FIELD=VALUE"),
        (&["promotions", "update", "--org", "1", TEN_OFF, &unlimited, &capped], 1, "must not be true together with"),
        (&["promotions", "update", "--org", "1", TEN_OFF, "audience=7"], 2, "there is no such field"),
    ] {
        let (is, _, text) = told(arguments);
        assert!(is == Some(code) && text.contains(expected) && text.lines().count() == 1, "{arguments:?}: {text}");
    }
}

#[tokio::test]
async fn a_client_is_shown_and_removed() {
    let database = shops().await;
    let directory = tempfile::tempdir().unwrap();
    let told = |arguments: &[&str]| command(&database, directory.path(), arguments);
    let (_, shown, _) = told(&["clients", "show", "till", "--json"]);
    let expected = json!({"username": "till", "orgId": 1, "access": ["earn:write"], "disabled": false});
    assert_eq!(shown.parse::<Value>().unwrap(), expected);
    assert_eq!(told(&["clients", "remove", "till"]).2, "\"till\" is removed\n");
    for command in ["show", "remove"] {
        assert!(told(&["clients", command, "till"]).2.contains("404: there is no client \"till\""));
    }
    assert_eq!(told(&["clients", "list", "--json"]).1, "");
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    database.execute("CREATE TABLE of_another_program (a integer)").await;
    let (code, text, told) = command(&database, directory.path(), &["doctor"]);
    assert!(
        code == Some(1) && text.contains("PROBLEM  schema: ") && text.contains("run cart-promotions migrate"),
        "{text}"
    );
    // The umask of the test run decides whether others can read the file, which is warned of.
    assert!(told.ends_with("cart-promotions: 1 problems found\n"), "{told}");
    assert_eq!(command(&database, directory.path(), &["migrate"]).0, Some(0));
    let (code, text, told) = command(&database, directory.path(), &["doctor"]);
    assert!(code == Some(0) && !text.contains("PROBLEM"), "{text}{told}");
    for check in ["open files: ", "connection: ", "schema: is up to date", "durability: ", "clock"] {
        assert!(text.contains(check), "{check}: {text}");
    }
    let missing = run(directory.path(), &["doctor", "--database-url", "sqlite://missing.db"]);
    let text = String::from_utf8(missing.stdout).unwrap();
    assert!(text.contains("PROBLEM  connection: ") && text.contains("No such file"), "{text}");
    assert!(!directory.path().join("missing.db").exists());
}

#[tokio::test]
async fn a_missing_table_is_named_though_the_schema_is_recorded_as_current() {
    let database = shops().await;
    let directory = tempfile::tempdir().unwrap();
    database.execute("ALTER TABLE token_keys RENAME TO gone").await;
    for arguments in
        [&["doctor"][..], &["migrate", "--check"], &["verify"], &["serve", "--no-migrate", "--listen", ":0"]]
    {
        let (code, text, told) = command(&database, directory.path(), arguments);
        assert!(
            code == Some(1) && [&*text, &*told].concat().contains("the database has no table token_keys: "),
            "{arguments:?}: {text}{told}"
        );
    }
}

#[tokio::test]
async fn tables_are_distributed_on_citus_only() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (code, _, told) = command(&database, directory.path(), &["migrate", "--citus"]);
    let expected = "cart-promotions: cannot distribute the tables: the database has no extension citus: ";
    assert!(code == Some(1) && told.starts_with(expected), "{told}");
}

#[tokio::test]
async fn a_session_that_cannot_be_prepared_is_told_by_its_cause_in_one_line() {
    if ENGINE == DatabaseKind::Sqlite {
        return;
    }
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    database.execute("DROP EXTENSION plpgsql").await;
    let (code, _, told) = command(&database, directory.path(), &["migrate"]);
    let cause = "language \"plpgsql\" does not exist";
    assert!(code == Some(1) && told.lines().count() == 1 && told.contains(cause), "{told}");
}

// Waiting for the end of the process blocks a thread.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_asks_a_running_server() {
    let database = shops().await;
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["--listen", "127.0.0.1:0", "--database-url", database.url()]);
    let url = process.caller.url("");
    let address = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    for arguments in [&["probe", "--ready", &address][..], &["probe", "--listen", &everywhere]] {
        let output = run(directory.path(), arguments);
        assert!(output.status.success(), "{output:?}");
    }
    process.signal("TERM");
    process.end();
    let output = run(directory.path(), &["probe", "--ready", &address]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("/readyz: Connection refused"), "{text}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]] {
        let output = run(directory.path(), arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}");
        for command in ["serve", "orgs", "doctor", "export"] {
            assert!(text.contains(command), "{arguments:?}: {command}");
        }
    }
    assert!(run(directory.path(), &["man", "--directory", "."]).status.success());
    assert!(directory.path().join("cart-promotions-orgs-set.1").exists());
    let refused = run(directory.path(), &["man", "--directory", "missing"]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("cannot write missing"));
}
