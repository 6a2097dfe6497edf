//! The formats in which programs write files, for every command that reads a file; and the formats of bodies.

use serde_json::{Value, json};

use crate::server_process::run;
use crate::support::*;

/// The byte order mark of UTF-8.
const UTF_8: &[u8] = b"\xef\xbb\xbf";

fn utf_16(text: &str, little: bool) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

/// Returns the exit code, standard output and standard error of a command that reads `text` as this file.
fn read(database: &Database, command: &[&str], file: &str, text: &[u8]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(file), text).unwrap();
    let output = run(directory.path(), &[command, &[file, "--database-url", database.url()]].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn shop() -> Database {
    let database = Database::new().await;
    import(&database, &json!({"orgs": [{"id": 1, "name": "Shop"}]})).await.unwrap();
    database
}

const CUSTOMERS: &[&str] = &["customers", "import", "--org", "1"];

#[tokio::test]
async fn every_form_of_a_customer_file_is_read_or_named() {
    let database = shop().await;
    let marked = |text: &str| [UTF_8, text.as_bytes()].concat();
    let plain = |text: &str| text.as_bytes().to_vec();
    let recorded = |rows: u32| format!("recorded {rows} customers");
    for (file, text, code, said) in [
        ("a.csv", plain("customerId\n7\n8\n"), 0, recorded(2)),
        ("a.csv", marked("customerId\n7\n8\n"), 0, recorded(2)),
        ("a.csv", marked("7\n8"), 0, recorded(2)),
        ("a.csv", plain("customerId\r7\r8\r"), 0, recorded(2)),
        ("a.csv", plain("customerId\r\n7\r\n8\r\n"), 0, recorded(2)),
        ("a.csv", plain("name;customerId\n\"Doe; Jane\";7\n;8\n"), 0, recorded(2)),
        ("a.csv", plain("name\tcustomerId\nDoe, Jane\t7\n\t8\n"), 0, recorded(2)),
        ("a.csv", plain("\"customerId\",\"name\"\n\"7\",\"Doe, \"\"Jane\"\"\"\n"), 0, recorded(1)),
        (
            "a.csv",
            utf_16("customerId\n7\n", true),
            1,
            "a.csv:1: is UTF-16 (little-endian); save it as UTF-8".to_owned(),
        ),
        ("a.csv", utf_16("customerId\n7\n", false), 1, "a.csv:1: is UTF-16 (big-endian); save it as UTF-8".to_owned()),
        (
            "a.csv",
            plain("id;name\n7;Jane\n"),
            1,
            "a.csv:1: column 1: customerId: must be a positive integer, not \"id\"; no column is named customerId or \
             customer_id: there are 2 columns with a semicolon between them"
                .to_owned(),
        ),
        ("a.csv", plain("customerId,customerId\n7,8\n"), 1, "a.csv:1: names the column customerId twice".to_owned()),
        (
            "a.csv",
            plain(&format!("name,customerId\nx,{}\n", "9".repeat(200))),
            1,
            format!("a.csv:2: column 2: customerId: must be a positive integer, not \"{}\";", "9".repeat(100)),
        ),
        ("a.csv", plain("customerId\n7\n\"8\n9\"\n"), 1, "a.csv:3: column 1: has a double quote".to_owned()),
        ("a.csv", plain(""), 1, "400: a.csv is empty".to_owned()),
        ("a.csv", marked("\r\n \n"), 1, "400: a.csv is empty".to_owned()),
        ("a.csv", plain("customerId;name\n"), 0, "a.csv has a header and no customers".to_owned()),
        ("a.ndjson", marked("{\"customerId\":7}\r{\"customerId\":\"8\"}\r\n"), 0, recorded(2)),
        ("a.ndjson", utf_16("{\"customerId\":7}\n", true), 1, "a.ndjson:1: is UTF-16 (little-endian)".to_owned()),
        ("a.ndjson", plain("{\"id\":7}\n"), 1, "a.ndjson:1: customerId: is missing".to_owned()),
        (
            "a.ndjson",
            plain("{\"customerId\":7}\n{\"customerId\":1.50}\n"),
            1,
            "a.ndjson:2: customerId: must be a positive integer, not 1.50;".to_owned(),
        ),
        (
            "a.ndjson",
            plain("{\"customerId\":7}\n\n{\"customerId\" 8}\n"),
            1,
            "a.ndjson:3: is no JSON object, as {\"customerId\": 7}, from column 15 on: {\"customerId\" 8};".to_owned(),
        ),
        ("a.ndjson", plain("\n"), 1, "400: a.ndjson is empty".to_owned()),
    ] {
        let done = read(&database, CUSTOMERS, file, &text);
        let presented = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(done.0, Some(code), "{presented:?}: {done:?}");
        assert!(format!("{}{}", done.1, done.2).contains(&said), "{presented:?}: {done:?} instead of {said}");
    }
}

#[tokio::test]
async fn a_line_to_go_on_from_that_is_past_the_end_is_told() {
    let database = shop().await;
    let from = |line: &str| read(&database, &[CUSTOMERS, &["--from-line", line]].concat(), "a.csv", b"customerId\n7\n");
    assert!(from("2").1.starts_with("recorded 1 customers"), "{:?}", from("2"));
    // An interrupted import may have to continue at the end of its file.
    let (code, out, err) = from("3");
    assert_eq!((code, err.as_str()), (Some(0), "a.csv has no customers from line 3 on\n"), "{out}");
    let (code, out, err) = from("4");
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("400: --from-line: 4 is past the end of a.csv, which has 2 lines"), "{err}");
}

#[tokio::test]
async fn every_form_of_a_catalog_file_is_read_or_named() {
    let database = shop().await;
    let text = json!({"orgs": [{"id": 1, "name": "Shöp"}]}).to_string();
    for (bytes, code, said) in [
        (text.clone().into_bytes(), 0, "imported c.json"),
        ([UTF_8, text.as_bytes()].concat(), 0, "imported c.json"),
        ([UTF_8, b"\r\n", text.replace(',', ",\r").as_bytes(), b"\r"].concat(), 0, "imported c.json"),
        (utf_16(&text, true), 1, "c.json: is UTF-16 (little-endian); save it as UTF-8"),
        (utf_16(&text, false), 1, "c.json: is UTF-16 (big-endian); save it as UTF-8"),
        (Vec::new(), 1, "c.json: is empty, and no JSON"),
        (UTF_8.to_vec(), 1, "c.json: is empty, and no JSON"),
        (b"{\"orgs\":[\n{\"id\" 1}]}".to_vec(), 1, "c.json: is no JSON: expected `:` at line 2 column 7"),
        (b"customerId\n7\n".to_vec(), 1, "c.json: is no JSON: expected value at line 1 column 1"),
    ] {
        let done = read(&database, &["import"], "c.json", &bytes);
        assert_eq!(done.0, Some(code), "{done:?}");
        assert!(format!("{}{}", done.1, done.2).contains(said), "{done:?} instead of {said}");
        let done = read(&database, &["import", "--dry-run"], "c.json", &bytes);
        assert_eq!(done.0, Some(code), "{done:?}");
        let said = if code == 0 { "nothing would change" } else { said };
        assert!(format!("{}{}", done.1, done.2).contains(said), "{done:?} instead of {said}");
    }
}

#[tokio::test]
async fn a_secret_that_stays_is_told_and_one_that_is_replaced_is_not() {
    let database = shop().await;
    let file =
        |password: &str| json!({"apiClients": [{"username": "till", "password": password, "orgId": 1}]}).to_string();
    assert_eq!(read(&database, &["import"], "c.json", file("a").as_bytes()).2, "");
    let kept = read(&database, &["import"], "c.json", file("b").as_bytes());
    assert_eq!(kept.0, Some(0));
    assert!(kept.2.starts_with("cart-promotions: warning: apiClients[0]: the password of \"till\""), "{kept:?}");
    assert!(!kept.2.contains("\"b\""), "a secret is shown");
    assert_eq!(read(&database, &["import", "--replace-secrets"], "c.json", file("b").as_bytes()).2, "");
    assert_eq!(read(&database, &["import"], "c.json", file("b").as_bytes()).2, "");
}

#[tokio::test]
async fn a_mark_before_a_body_is_passed_over_and_another_encoding_is_told() {
    let service = Service::start().await;
    let post = async |path: &str, body: Vec<u8>| {
        let request = service.http().post(service.url(path)).header("authorization", basic("demo:demo"));
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let new = json!({"name": "Marked", "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64});
    for (path, body) in [
        (PATH, documented_request()),
        ("/api_gateway/v1/promotions", new),
        ("/v3/oauth/token/generate", json!({"key": "demo", "secret": "demo"})),
    ] {
        let marked = post(path, [UTF_8, body.to_string().as_bytes()].concat()).await;
        assert_eq!(marked.0, 200, "{path}: {marked:?}");
        for little in [true, false] {
            let (status, answer) = post(path, utf_16(&body.to_string(), little)).await;
            assert_eq!(status, 400, "{path}: {answer}");
            let order = if little { "little-endian" } else { "big-endian" };
            let said = format!("the body is UTF-16 ({order}); save it as UTF-8");
            assert!(answer.to_string().contains(&said), "{path}: {answer}");
        }
    }
}
