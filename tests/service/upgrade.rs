//! Upgrades: the databases of released versions are migrated, verified, and answer calls.
//!
//! `UPDATE_FIXTURES=1` makes the fixture of the present version anew. That of a released version is never made again.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use cart_promotions::config::operator_name;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::ENGINE;
use crate::catalog::{created, promotion};
use crate::database::DatabaseKind;
use crate::rpcs::{audience, changes, deactivate, list};
use crate::server_process::run;
use crate::support::*;
use crate::verify::filled;

/// Released versions, each with a fixture for both engines.
const RELEASED: [&str; 1] = ["0.1.0"];

fn fixture(version: &str) -> PathBuf {
    let name = match ENGINE {
        DatabaseKind::Sqlite => "sqlite.sql.gz",
        DatabaseKind::Postgres => "postgres.sql.gz",
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version).join(name)
}

/// Compresses a fixture. The result depends on the text alone: gzip's time is left at 0.
fn compressed(statements: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(statements.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn inflated(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut statements = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut statements).unwrap();
    statements
}

/// Returns the statements that make a copy of a database.
async fn dump(database: &Database) -> String {
    match ENGINE {
        DatabaseKind::Sqlite => dump_of_sqlite(database).await,
        DatabaseKind::Postgres => {
            let dump = Command::new(crate::cluster::find_programs().unwrap().join("pg_dump"))
                .args(["--no-owner", "--no-privileges", "--inserts", "--dbname", database.url()])
                .output()
                .unwrap();
            assert!(dump.status.success(), "{dump:?}");
            let text = String::from_utf8(dump.stdout).unwrap();
            // Lines for psql alone, comments, and settings of the session that restores. A key in PEM is no comment.
            let kept = |line: &&str| {
                let out = ["-- ", "\\", "SET ", "SELECT pg_catalog.set_config"];
                *line != "--" && !out.iter().any(|out| line.starts_with(out))
            };
            let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).filter(kept).collect();
            lines.join("\n") + "\n"
        }
    }
}

async fn dump_of_sqlite(database: &Database) -> String {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let mut statements = Vec::new();
    let schema = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type <> 'table', rowid";
    let schema = database.rows(schema).await;
    for table in schema.iter().filter(|row| row["type"] == "table") {
        statements.push(text(table, "sql"));
    }
    for table in schema.iter().filter(|row| row["type"] == "table").map(|row| text(row, "name")) {
        let columns = database.rows(&format!("SELECT name FROM pragma_table_info('{table}')")).await;
        let quoted: Vec<_> = columns.iter().map(|row| format!("quote(\"{}\")", text(row, "name"))).collect();
        let values = quoted.join(" || ', ' || ");
        let insert = format!("SELECT 'INSERT INTO {table} VALUES (' || {values} || ')' AS sql FROM {table}");
        statements.extend(database.rows(&insert).await.iter().map(|row| text(row, "sql")));
    }
    statements.extend(schema.iter().filter(|row| row["type"] != "table").map(|row| text(row, "sql")));
    statements.join(";\n") + ";\n"
}

#[tokio::test]
async fn the_fixture_of_the_present_version_is_made() {
    if std::env::var_os("UPDATE_FIXTURES").is_none() {
        return;
    }
    let service = filled().await;
    let id = created(&service, promotion("Kept")).await;
    audience(&service, Endpoint::Json, json!({"promotionId": id, "add": [7]})).await;
    deactivate(&service, Endpoint::Json, json!({"promotionId": id})).await;
    let answer = service.earn(Endpoint::Json, &documented_request()).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    let file = fixture(env!("CARGO_PKG_VERSION"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    // The fixture names no machine.
    let text = dump(service.database()).await.replace(&operator_name(), "maintainer@example");
    std::fs::write(file, compressed(&text)).unwrap();
}

#[test]
fn a_compressed_fixture_has_no_time() {
    assert_eq!(compressed("SELECT 1;\n")[4..8], [0; 4]);
}

#[tokio::test]
async fn the_database_of_each_released_version_is_migrated_verified_and_answers_calls() {
    for version in RELEASED {
        let database = Database::new().await;
        database.execute(&inflated(&fixture(version))).await;
        let rows = database.count("SELECT count(*) FROM earned_promotions").await;
        for arguments in [&["migrate"][..], &["verify"]] {
            let output = run(&std::env::temp_dir(), &[arguments, &["--database-url", database.url()]].concat());
            assert!(output.status.success(), "{version}: {output:?}");
        }
        let service = Service::on(database).await;
        for endpoint in ENDPOINTS {
            // What the released version granted is replayed, not granted again.
            let replayed = service.earn(endpoint, &documented_request()).await;
            assert_eq!(earn_ids(&replayed.body).len(), 2, "{version}: {replayed:?}");
            assert_eq!(service.granted().await, rows, "{version}");
            let wallet = list(&service, endpoint, json!({"customerId": CUSTOMER})).await;
            assert!(!wallet.body["data"].as_array().unwrap().is_empty(), "{version}: {wallet:?}");
            let history = changes(&service, endpoint, json!({"limit": 1})).await;
            assert_eq!(history.body["data"][0]["action"], "PROMOTION_DEACTIVATED", "{version}: {history:?}");
        }
        let granted = service.earn(Endpoint::Json, &one_entry("after the upgrade", TEN_OFF, 1)).await;
        assert_eq!(earn_ids(&granted.body).len(), 1, "{version}: {granted:?}");
    }
}
