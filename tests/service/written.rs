//! Output of the service: files for its own user alone, and log lines in which every text is escaped and cut.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::log::NEVER_SLOW;
use crate::server_process::{Process, run};
use crate::support::*;
use crate::tokens::ED25519;

/// Longest line of the log, in bytes, whatever a caller sends.
const MAX_LINE_BYTES: usize = 2_000;

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_that_it_makes_are_its_own_users_alone_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("own.db");
        let url = format!("sqlite://{}", file.display());
        let program = ["bash", "-c", &format!("umask {umask}; exec \"$@\""), "bash"];
        let options = ["--demo", "--listen", "127.0.0.1:0", "--database-url", &url, "--slow-request-ms", NEVER_SLOW];
        let process = Process::start_under(directory.path(), &program, &options);
        assert_eq!(process.caller.earn(Endpoint::Json, &documented_request()).await.code, 0);
        let mut made = 0;
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "umask {umask}: {}", path.display());
            made += 1;
        }
        assert_eq!(made, 3, "the database, its log and its index");
        process.signal("TERM");
        let (success, log) = process.end();
        let warned = log.iter().filter(|line| line["level"] == "WARN").map(|line| line["message"].to_string());
        assert!(
            success
                && warned.eq(["\"the credentials of the demo, demo/demo, are public: not for production\"".to_owned()]),
            "{log:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_secrets_that_others_may_read_are_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let (file, key) = (directory.path().join("own.db"), directory.path().join("key.pem"));
    std::fs::write(&file, "").unwrap();
    std::fs::copy(ED25519, &key).unwrap();
    for (mode, is_warned) in [(0o600, false), (0o644, true), (0o660, true)] {
        for file in [&file, &key] {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let (url, signing) = (format!("sqlite://{}", file.display()), format!("a={}", key.display()));
        let options = [
            "--without-authentication",
            "1",
            "--listen",
            "127.0.0.1:0",
            "--database-url",
            &url,
            "--token-key",
            &signing,
        ];
        let process = Process::start(directory.path(), &options);
        process.signal("TERM");
        let (_, log) = process.end();
        let warnings = log.iter().filter(|line| line["level"] == "WARN");
        let (files, others): (Vec<_>, Vec<_>) = warnings.partition(|line| line["file"].is_string());
        // The log of the database may exist as well, with the mode of the database.
        let names = |path: &Path| files.iter().any(|line| line["file"] == path.to_str().unwrap());
        assert!([&file, &key].iter().all(|path| names(path) == is_warned), "{mode:o}: {log:#?}");
        assert!(is_warned || files.is_empty(), "{mode:o}: {log:#?}");
        assert_eq!(others.len(), 1, "{mode:o}: {log:#?}");
        assert!(others[0]["message"].as_str().unwrap().starts_with("authentication is off"), "{log:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_takes_its_own_database_again_and_nobody_elses() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let options = ["--demo", "--listen", "127.0.0.1:0", "--database-url", database.url()];
    for _ in 0..2 {
        let process = Process::start(directory.path(), &options);
        process.signal("TERM");
        assert!(process.end().0);
    }
    import(&database, &catalog()).await.unwrap();
    let output = run(directory.path(), &[&["serve"][..], &options].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--demo: the database") && said.contains("holds the organization 2"), "{said}");
    let open = ["--without-authentication", "100737", "--listen", "127.0.0.1:0", "--database-url", database.url()];
    let output = run(directory.path(), &[&["serve"][..], &open].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("--without-authentication 100737: the database") && said.contains("organization 2, too"),
        "{said}"
    );
    // `--without-authentication` requires a loopback address.
    for address in ["0.0.0.0:0", "[::]:0"] {
        let output = run(directory.path(), &["serve", "--listen", address, "--without-authentication", "1"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("is not a loopback address"), "{output:?}");
    }
}

/// Sends bytes over HTTP/1.1, and waits for the response.
async fn send(caller: &TestCaller, head: &[u8]) {
    let mut stream = TcpStream::connect(caller.address).await.unwrap();
    let _ = stream.write_all(head).await;
    let mut answer = [0; 12];
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_exact(&mut answer)).await;
    read.expect("an answer in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_caller_sends_each_line_of_the_log_is_short_and_printable() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["--demo", "--listen", "127.0.0.1:0", "--log", "debug"]);
    let caller = process.caller.clone();
    let fill = |text: &str, bytes: usize| text.repeat(bytes / text.len());
    for text in ["\u{9b}", "\u{202e}\u{2066}", "\u{85}\u{2028}", "\u{feff}\u{ad}", "\u{e0001}", "x"] {
        let path = fill(text, 60_000);
        send(&caller, format!("GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
        let short = fill(text, 12_000);
        for header in ["x-request-id", "authorization", "content-type", "x-forwarded-for", "user-agent"] {
            let head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n{header}: {short}\r\n\r\n");
            send(&caller, head.as_bytes()).await;
        }
        let pair = basic(&format!("{}:x", fill(text, 9_000)));
        send(
            &caller,
            format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nauthorization: {pair}\r\n\r\n").as_bytes(),
        )
        .await;
        let mut request = documented_request();
        request["eventTimeISO"] = path.clone().into();
        request["earnedPromotions"][0]["promotionId"] = path.into();
        assert_eq!(caller.earn(Endpoint::Json, &request).await.code, 400);
    }
    send(&caller, format!("{} / HTTP/1.1\r\nhost: x\r\n\r\n", "M".repeat(60_000)).as_bytes()).await;
    process.signal("TERM");
    let (_, log) = process.end();
    // On a slow machine some are answered slowly.
    let is_answer =
        |line: &&serde_json::Value| line["message"].as_str().is_some_and(|message| message.starts_with("answered"));
    let answered = log.iter().filter(is_answer).count();
    assert!(answered >= 6 * 8, "{answered} lines");
    for line in log.iter().map(ToString::to_string) {
        assert!(line.len() < MAX_LINE_BYTES, "{} bytes: {line}", line.len());
        assert!(line.chars().all(cart_promotions::printable::is_printable), "{line:?}");
    }
}
