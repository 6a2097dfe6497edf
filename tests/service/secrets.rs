//! Secrets that the program receives never appear in its output, at any level of the log.

use std::path::Path;

use serde_json::{Value, json};

use crate::server_process::{Process, run};
use crate::support::*;

/// The secret of the client that calls.
const RIGHT: &str = "right-5ecret";
/// A wrong secret of a caller.
const WRONG: &str = "wrong-5ecret";
/// A secret in a header that is not HTTP Basic.
const ASTRAY: &str = "astray-5ecret";
/// A secret in files that are refused.
const REFUSED: &str = "refused-5ecret";
/// The password of the database; that of these tests accepts any.
pub const OF_DATABASE: &str = "database-5ecret";

/// Returns the URL of the database, with a password where it can have one.
pub fn url_with_password(database: &Database) -> String {
    let mut url = url::Url::parse(database.url()).unwrap();
    let _ = url.set_password(Some(OF_DATABASE));
    if url.scheme() == "sqlite" { database.url().to_owned() } else { url.to_string() }
}

fn catalog_with(password: &Value) -> String {
    let mut catalog = endless(catalog());
    catalog["apiClients"][0]["password"] = password.clone();
    catalog.to_string()
}

/// Returns everything that a command prints.
fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Checks that the text has none of the secrets: neither plain, nor as a header, nor as a stored hash.
fn assert_none_in(text: &str) {
    for secret in [RIGHT, WRONG, ASTRAY, REFUSED, OF_DATABASE] {
        let header = basic(&format!("demo:{secret}"));
        for presented in [secret, header.strip_prefix("Basic ").unwrap()] {
            let line = text.lines().find(|line| line.contains(presented));
            assert_eq!(line, None, "{secret}");
        }
    }
    let line = text.lines().find(|line| line.contains("$argon2"));
    assert_eq!(line, None, "a hash");
}

/// Imports files that are refused for the secret in them, or beside it.
fn refused_files_show_no_secret(path: &Path, import: &impl Fn(&str) -> String) {
    let numbers = format!("[\"{REFUSED}\"]");
    let too_long = REFUSED.repeat(100);
    for (index, file) in [
        catalog_with(&numbers.parse().unwrap()),
        catalog_with(&json!({"password": REFUSED})),
        catalog_with(&too_long.into()),
        catalog_with(&format!("{REFUSED}\0").into()),
        catalog_with(&REFUSED.into()).replace("\"orgId\":100737,", ""),
        catalog_with(&REFUSED.into()).split_inclusive(REFUSED).next().unwrap().to_owned(),
        catalog_with(&REFUSED.into()).replace(REFUSED, &format!("{REFUSED}\\x")),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("refused-{index}.json");
        std::fs::write(path.join(&name), file).unwrap();
        let text = import(&name);
        assert!(text.contains(&format!("cart-promotions: {name}")), "{text}");
        assert_none_in(&text);
    }
}

/// Calls with the right secret and with wrong ones.
async fn calls_show_no_secret(caller: &TestCaller) {
    for endpoint in ENDPOINTS {
        for (secret, code) in [(RIGHT, 0), (WRONG, 401), (WRONG, 401)] {
            let request = one_entry(&format!("{endpoint:?}"), TEN_OFF, 1);
            let answer = caller.earn_as(endpoint, Some(&format!("demo:{secret}")), &request).await;
            assert_eq!(answer.code, code, "{answer:?}");
            assert_none_in(&format!("{answer:?}"));
        }
        let refused = caller.earn_as(endpoint, Some(&format!("demo:{RIGHT}")), &json!({"customerId": CUSTOMER})).await;
        assert_eq!(refused.code, 400, "{refused:?}");
    }
}

/// Calls with a token and a forged one. Returns the token.
async fn calls_show_no_token(caller: &TestCaller) -> String {
    let key = body_for_a_token(RIGHT);
    let response =
        caller.http().post(caller.url("/v3/oauth/token/generate")).header("content-type", "application/json");
    let given: Value = response.body(key).send().await.unwrap().text().await.unwrap().parse().unwrap();
    let token = given["data"]["accessToken"].as_str().unwrap().to_owned();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    // The first token is accepted, and the second refused.
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for endpoint in ENDPOINTS {
        for (token, code) in [(&token, 0), (&forged, 401)] {
            for header in ["Bearer", "Token"] {
                let presented = format!("{header} {token}");
                let answer = caller.earn_as(endpoint, Some(&presented), &one_entry("token", TEN_OFF, 1)).await;
                assert_eq!(answer.code, code, "{answer:?}");
                assert_none_in(&format!("{answer:?}"));
                assert!(!format!("{answer:?}").contains(signed), "{answer:?}");
            }
        }
    }
    token
}

// Waiting for the end of the process blocks a thread, and a gRPC connection needs another one to close.
#[tokio::test(flavor = "multi_thread")]
async fn the_most_talkative_log_of_calls_and_imports_has_no_secret() {
    let database = Database::new().await;
    let url = url_with_password(&database);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("right.json"), catalog_with(&RIGHT.into())).unwrap();
    let import = |file: &str| printed(path, &["import", "--log", "trace", "--database-url", &url, file]);
    let text = import("right.json");
    assert!(text.contains("imported right.json") && text.contains("\"level\""), "{text}");
    assert_none_in(&text);
    // The client is recorded already, so its hash is read and compared.
    assert_none_in(&import("right.json"));
    refused_files_show_no_secret(path, &import);
    let options = ["--log", "trace", "--listen", "127.0.0.1:0", "--database-url", &url];
    let process = Process::start(path, &options);
    let caller = process.caller.clone();
    calls_show_no_secret(&caller).await;
    let token = calls_show_no_token(&caller).await;
    for header in [format!("Bearer {ASTRAY}"), format!("Basic {ASTRAY}"), ASTRAY.to_owned()] {
        let request = caller.http().post(caller.url(PATH)).header("authorization", header);
        assert_eq!(request.body("{}").send().await.unwrap().status(), 401);
    }
    process.signal("TERM");
    let (success, log) = process.end();
    assert!(success);
    assert!(log.iter().any(|line| line["level"] == "TRACE"), "{log:#?}");
    let log: Vec<_> = log.iter().map(ToString::to_string).collect();
    let log = log.join("\n");
    assert_none_in(&log);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let claims = signed.split_once('.').unwrap().1;
    for part in [signed, claims, signature] {
        assert!(!log.contains(part), "a part of a token");
    }
}

// As above, waiting for the end of the process blocks a thread.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_that_every_user_of_the_machine_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(path.join("certificate.pem"), certificate.pem()).unwrap();
    for (file, text, mode) in [
        ("loose.pem", std::fs::read_to_string(crate::tokens::ED25519).unwrap(), 0o644),
        ("tight.pem", std::fs::read_to_string(crate::tokens::ED25519).unwrap(), 0o600),
        ("tls.pem", key.serialize_pem(), 0o604),
    ] {
        std::fs::write(path.join(file), text).unwrap();
        std::fs::set_permissions(path.join(file), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let tls = ["--tls-certificate", "certificate.pem", "--tls-key", "tls.pem"];
    let keys = ["--token-key", "a=loose.pem", "--token-key", "b=tight.pem"];
    let options = ["--demo", "--listen", "127.0.0.1:0", "--database-url", "sqlite://keys.db"];
    let process = Process::start(path, &[&options[..], &tls, &keys].concat());
    process.signal("TERM");
    let (_, log) = process.end();
    let warned = |file: &str| {
        let mut lines = log.iter().filter(|line| line["level"] == "WARN");
        lines.any(|line| line["file"].as_str().is_some_and(|warned| warned.contains(file)))
    };
    assert!(warned("loose.pem"), "{log:#?}");
    assert!(warned("tls.pem"), "{log:#?}");
    assert!(!warned("tight.pem"), "{log:#?}");
}

/// Returns the body of a token request.
fn body_for_a_token(secret: &str) -> String {
    json!({"key": "demo", "secret": secret}).to_string()
}

#[test]
fn a_command_line_that_is_refused_is_told_without_its_password() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for arguments in [
        &["serve", "--database-url", "mysql://demo:database-5ecret@db/name"][..],
        &["serve", "--database-url", "postgres://demo:database-5ecret@db:port/name"],
        &["serve", "--database-url", "postgres://demo@db/name?pasword=database-5ecret"],
        &["serve", "--database-url=postgres://demo:database-5ecret@127.0.0.1:1/name?sslmode=perhaps"],
        &["serve", "--databaseurl=postgres://demo:database-5ecret@db/name"],
        &["serve", "postgres://demo:database-5ecret@db/name"],
        &["postgres://demo:database-5ecret@db/name"],
        &["serve", "--listen", "postgres://demo:database-5ecret@db/name"],
        // No server listens at this address.
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log",
            "trace",
            "--wait-for-database-ms",
            "600",
            "--database-timeout-ms",
            "100",
            "--database-url",
            "postgres://demo:database-5ecret@127.0.0.1:1/name",
        ],
        &[
            "verify",
            "--log",
            "trace",
            "--database-timeout-ms",
            "100",
            "--database-url",
            "postgres://127.0.0.1:1/name?password=database-5ecret",
        ],
    ] {
        let text = printed(path, arguments);
        assert!(text.contains("cart-promotions: ") || text.contains("\"ERROR\""), "{arguments:?}: {text}");
        assert_none_in(&text);
    }
}
