//! Imports of customers with malformed lines, and of files in the forms that programs write.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::server_process::run;
use crate::support::*;

async fn shop() -> Database {
    let database = Database::new().await;
    import(&database, &json!({"orgs": [{"id": 1, "name": "Shop"}]})).await.unwrap();
    database
}

/// Imports a file with these options. Returns the exit code, standard output and standard error.
fn import_customers(database: &Database, directory: &Path, options: &[&str]) -> (Option<i32>, String, String) {
    let fixed = ["customers", "import", "--org", "1", "--database-url", database.url()];
    let output = run(directory, &[&fixed[..], options].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    compressed.write_all(text).unwrap();
    compressed.finish().unwrap()
}

#[tokio::test]
async fn a_large_file_with_bad_rows_is_imported_in_one_go_and_the_bad_ones_can_be_put_right() {
    const ROWS: usize = 20_000;
    let database = shop().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let bad = |row: usize| row % 100 == 50;
    let lines = (1..=ROWS).map(|row| if bad(row) { format!("n/a,{row}\n") } else { format!("{row},x\n") });
    let text: String = std::iter::once("customerId,name\n".to_owned()).chain(lines).collect();
    std::fs::write(path.join("a.csv.gz"), gzip(text.as_bytes())).unwrap();
    let dry_run = import_customers(&database, path, &["a.csv.gz", "--dry-run"]);
    assert_eq!(dry_run.0, Some(1));
    assert_eq!(dry_run.1, "would record 19800 customers of a.csv.gz: 19800 new, 0 known; 200 malformed lines\n");
    assert!(
        dry_run.2.starts_with("line 51: column 1: customerId: must be a positive integer, not \"n/a\"\n"),
        "{dry_run:?}"
    );
    assert!(dry_run.2.contains("\nand 180 more\n") && dry_run.2.lines().count() == 22, "{dry_run:?}");
    assert_eq!(database.count("SELECT count(*) AS n FROM customers").await, 0);
    let imported = import_customers(&database, path, &["a.csv.gz", "--rejects", "bad.csv", "--json"]);
    assert_eq!(imported.1.parse::<Value>().unwrap(), json!({"rows": 19800, "added": 19800, "rejected": 200}));
    let rejects = std::fs::read_to_string(path.join("bad.csv")).unwrap();
    let expected = "customerId,name\n# line 51: column 1: customerId: must be a positive integer, not \"n/a\"\nn/a,50\n# line 151: ";
    assert!(rejects.starts_with(expected) && rejects.lines().count() == 401, "{rejects:.300}");
    // The file is not overwritten.
    let again = import_customers(&database, path, &["a.csv.gz", "--rejects", "bad.csv"]);
    assert!(again.0 == Some(1) && again.2.contains("cannot write bad.csv (name a new file): File exists"), "{again:?}");
    std::fs::write(path.join("good.csv"), rejects.replace("n/a,", "9000")).unwrap();
    let put_right = import_customers(&database, path, &["good.csv"]);
    assert_eq!(put_right.1, "recorded 200 customers of good.csv: 200 new, 0 known\n", "{put_right:?}");
    assert_eq!(database.count("SELECT count(*) AS n FROM customers").await, 20_000);
}

#[tokio::test]
async fn a_file_without_a_rejected_line_is_not_left_behind() {
    let database = shop().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("a.csv"), "customerId\n7\n").unwrap();
    let unreachable = [
        "customers",
        "import",
        "--org",
        "1",
        "a.csv",
        "--rejects",
        "bad.csv",
        "--database-url",
        "postgres://u@127.0.0.1:1/x",
    ];
    assert_eq!(run(path, &unreachable).status.code(), Some(1));
    for expected in ["1 new, 0 known; 0 malformed lines\n", "0 new, 1 known; 0 malformed lines\n"] {
        let (code, out, err) = import_customers(&database, path, &["a.csv", "--rejects", "bad.csv"]);
        assert!(code == Some(0) && out.ends_with(expected), "{out}{err}");
        assert!(!path.join("bad.csv").exists());
    }
}

#[tokio::test]
async fn every_rejected_line_has_its_own_number_and_reason() {
    let database = shop().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let long = "9".repeat(100_000);
    let text = format!("name;id\na;1\n;\nb\nc;{long}\n\"d;4\ne;5\n");
    std::fs::write(path.join("a.csv"), text).unwrap();
    let options = ["a.csv", "--column", "ID", "--rejects", "bad.csv"];
    let (code, out, err) = import_customers(&database, path, &options);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "recorded 2 customers of a.csv: 2 new, 0 known; 4 malformed lines in bad.csv\n"),
        "{err}"
    );
    let rejects = std::fs::read_to_string(path.join("bad.csv")).unwrap();
    let reasons: Vec<_> = rejects.lines().filter(|line| line.starts_with("# ")).collect();
    for (reason, expected) in reasons.iter().zip([
        "# line 3: column 2: customerId: is missing",
        "# line 4: customerId: is missing: the row has 1 columns",
        "# line 5: is longer than 65536 bytes",
        "# line 6: column 1: has a double quote that does not end",
    ]) {
        assert!(reason.starts_with(expected), "{reason}");
    }
    assert_eq!(reasons.len(), 4, "{reasons:?}");
}

#[tokio::test]
async fn delimiters_and_columns_are_found_or_named() {
    let database = shop().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let recorded = "recorded 1 customers of ";
    for (file, text, options, code, said) in [
        ("a.csv", "name|customer_id\nx|7\n", &[][..], 0, recorded),
        ("a.csv", "name:customer_id\nx:7\n", &["--delimiter", ":"], 0, recorded),
        ("a.tsv", "name\tcustomer_id\nx, y\t7\n", &["--delimiter", "tab"], 0, recorded),
        ("a.csv", "name,Member No\nx,7\n", &["--column", "member no"], 0, recorded),
        ("a.csv", "name,Member No\nx,7\n", &["--column", "2"], 0, recorded),
        ("a.csv", "x,7\n", &["--column", "2"], 0, recorded),
        (
            "a.csv",
            "name,id\nx,7\n",
            &[],
            1,
            "there are 2 columns with a comma between them, \"name\", \"id\"; name it with --column",
        ),
        ("a.csv", "name,id\nx,7\n", &["--column", "no"], 1, "a.csv:1: no column is named \"no\": there are 2 columns"),
        ("a.csv", "name,id\nx,7\n", &["--column", "3"], 1, "a.csv:1: there is no column 3: there are 2 columns"),
        ("a.csv", "name,id\nx,7\n", &["--column", "0"], 1, "a.csv:1: there is no column 0"),
        ("a.csv", "name,id\nx,7\n", &["--rejects", "bad.csv"], 1, "name it with --column"),
        ("a.csv", "customerId\n7\n", &["--delimiter", "no"], 2, "not one character such as ; or the word tab"),
        ("a.ndjson", "{\"customerId\":7}\n", &["--column", "2"], 1, "go with --format csv only"),
        ("a.csv", "", &[], 1, "a.csv is empty"),
        ("a.csv", "", &["--rejects", "empty.csv"], 1, "a.csv is empty"),
    ] {
        std::fs::write(path.join(file), text).unwrap();
        let (is, out, err) = import_customers(&database, path, &[&[file][..], options].concat());
        assert!(is == Some(code) && format!("{out}{err}").contains(said), "{text:?} {options:?}: {out}{err}");
    }
}

#[tokio::test]
async fn a_damaged_gzip_file_and_utf_16_without_a_mark_are_named() {
    let database = shop().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let whole = gzip(b"customerId\n7\n8\n");
    std::fs::write(path.join("cut.csv"), &whole[..whole.len() - 9]).unwrap();
    let (code, _, err) = import_customers(&database, path, &["cut.csv", "--rejects", "bad.csv"]);
    assert!(code == Some(1) && err.contains("cannot be read: "), "{err}");
    std::fs::write(
        path.join("utf16.csv"),
        "customerId\n7\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
    )
    .unwrap();
    let (code, _, err) = import_customers(&database, path, &["utf16.csv"]);
    assert!(code == Some(1) && err.contains("utf16.csv:1: is UTF-16 (little-endian); save it as UTF-8"), "{err}");
}
