//! Heads that HTTP/1.1 forbids: each is answered in the documented form, wherever it stands on its connection, with and
//! without TLS, and is logged and counted.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use super::*;
use crate::server_process::Process;

/// A head, and the status of its answer.
struct Malformed {
    name: &'static str,
    head: String,
    status: u16,
    /// True if the head is a request, which the endpoints refuse.
    is_request: bool,
}

/// Returns a head that is no request.
fn row(name: &'static str, status: u16, head: &str) -> Malformed {
    Malformed { name, head: head.to_owned(), status, is_request: false }
}

fn get(target: &str, rest: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{rest}\r\n")
}

/// Returns so many headers.
fn headers(count: usize) -> String {
    (0..count).map(|index| format!("x-{index}: y\r\n")).collect::<Vec<_>>().concat()
}

fn request_lines() -> Vec<Malformed> {
    vec![
        row("a control character in the method", 400, "GE\u{1}T / HTTP/1.1\r\nhost: x\r\n\r\n"),
        row("no method", 400, " / HTTP/1.1\r\nhost: x\r\n\r\n"),
        row("no target", 400, "GET HTTP/1.1\r\nhost: x\r\n\r\n"),
        row("two spaces before the target", 400, "GET  / HTTP/1.1\r\nhost: x\r\n\r\n"),
        row("a space in the target", 400, &get("/a b", "")),
        row("a control character in the target", 400, &get("/\u{7f}", "")),
        row("a target of a scheme alone", 400, &get("http://", "")),
        row("a target of 65,535 bytes", 414, &get(&format!("/{}", "y".repeat(65_534)), "")),
        row("a target of 400 KB", 431, &get(&format!("/{}", "y".repeat(400_000)), "")),
        row("no version", 400, "GET /\r\n\r\n"),
        row("version 0.9", 400, "GET / HTTP/0.9\r\nhost: x\r\n\r\n"),
        row("version 1.2", 400, "GET / HTTP/1.2\r\nhost: x\r\n\r\n"),
        row("version 3.0", 400, "GET / HTTP/3.0\r\nhost: x\r\n\r\n"),
        row("a version in lower case", 400, "GET / http/1.1\r\nhost: x\r\n\r\n"),
        row("a word behind the version", 400, "GET / HTTP/1.1 x\r\nhost: x\r\n\r\n"),
        row("TLS on a plain port", 400, "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\r\n\r\n"),
        row("a damaged preface of HTTP/2", 400, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
        row("a preface of HTTP/2 that goes on otherwise", 400, "PRI * HTTP/2.0\r\n\r\n\r\n\r\n\r\n"),
    ]
}

fn header_lines() -> Vec<Malformed> {
    let mut rows = vec![
        row("a space in the name of a header", 400, &get("/", "a b: c\r\n")),
        row("a space before the colon", 400, &get("/", "a : c\r\n")),
        row("a header without a name", 400, &get("/", ": c\r\n")),
        row("a header without a colon", 400, &get("/", "abc\r\n")),
        row("a folded header", 400, &get("/", "a: b\r\n c\r\n")),
        row("a control character in a header", 400, &get("/", "a: b\u{0}c\r\n")),
        row("a carriage return in a header", 400, &get("/", "a: b\rc\r\n")),
        row("101 headers", 431, &get("/", &headers(99))),
        row("1,000 headers", 431, &get("/", &headers(998))),
        row("a header of 400 KB", 431, &get("/", &format!("x: {}\r\n", "y".repeat(400_000)))),
        row("a transfer coding of HTTP/1.0", 400, "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"),
    ];
    let calls = |header: &str, value: &str| {
        let credentials = basic("demo:demo");
        format!("POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {credentials}\r\n{header}: {value}\r\n\r\n")
    };
    let lengths = ["", "x", "-1", "+1", "1.0", "0x1", "1, 2", "1 1", "1\r\ncontent-length: 2", "18446744073709551616"];
    rows.extend(lengths.map(|length| row("a length", 400, &calls("content-length", length))));
    let large = ["18446744073709551614", "18446744073709551615"];
    rows.extend(large.map(|length| row("a large length", 413, &calls("content-length", length))));
    let codings = ["gzip", "identity", "x", "", "chunked, gzip", "chunked\r\ntransfer-encoding: gzip"];
    rows.extend(codings.map(|coding| row("a transfer coding", 400, &calls("transfer-encoding", coding))));
    rows
}

/// Returns heads that the library accepts.
fn requests() -> Vec<Malformed> {
    let row = |name, status, head: &str| Malformed { is_request: true, ..row(name, status, head) };
    let close = "connection: close\r\n\r\n";
    let codings = ["gzip, chunked", "chunked, chunked"];
    let coded = |coding| format!("POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: {coding}\r\n\r\n");
    let mut rows = vec![
        row("a target without a slash", 400, &get("healthz", "")),
        row("CONNECT", 400, &format!("CONNECT x:80 HTTP/1.1\r\nhost: x\r\n{close}")),
        row("no host", 400, &format!("GET / HTTP/1.1\r\n{close}")),
        row("two hosts", 400, &get("/", "host: y\r\n")),
        row("a length that no body has", 413, &get("/readyz", "content-length: 18446744073709551613\r\n")),
        row("a header of 20 KB", 431, &get("/", &format!("x: {}\r\n", "y".repeat(20_000)))),
        row("100 headers", 404, &get("/", &headers(98))),
        row("a target of 65,534 bytes", 404, &get(&format!("/{}", "y".repeat(65_533)), "")),
    ];
    rows.extend(codings.map(|coding| row("two transfer codings", 400, &coded(coding))));
    rows
}

fn rows() -> impl Iterator<Item = Malformed> {
    request_lines().into_iter().chain(header_lines()).chain(requests())
}

/// An answer: its status, its headers and its body.
struct WholeAnswer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// Returns the last answer in these bytes.
fn last_answer(bytes: &[u8], what: &str) -> WholeAnswer {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let last = text.rfind("HTTP/1.1 4").unwrap_or_else(|| panic!("{what}: {text:?}"));
    let (head, body) = text[last..].split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<_, _> = lines
        .map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
        .collect();
    assert_eq!(headers["content-length"], body.len().to_string(), "{what}: {text:?}");
    WholeAnswer { status, headers, body: serde_json::from_str(body).unwrap_or_default() }
}

/// Sends all of it, then reads until the end of the connection.
async fn answer_to(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8], what: &str) -> WholeAnswer {
    stream.write_all(bytes).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    stream.flush().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    let read = reading.await.unwrap_or_else(|_| panic!("{what}: the connection stays open"));
    assert!(read.is_ok(), "{what}: {read:?}: {}", String::from_utf8_lossy(&answer));
    last_answer(&answer, what)
}

fn expect(answer: &WholeAnswer, status: u16, what: &str) {
    let WholeAnswer { headers, body, .. } = answer;
    assert_eq!(answer.status, status, "{what}: {body}");
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("{what}: {body}"));
    assert_eq!((errors.len(), body.as_object().unwrap().len()), (1, 1), "{what}: {body}");
    assert_eq!(errors[0]["code"], status, "{what}: {body}");
    assert!(errors[0]["message"].as_str().is_some_and(|message| message.len() > 10), "{what}: {body}");
    assert_eq!((&*headers["content-type"], &*headers["connection"]), ("application/json", "close"), "{what}");
    assert!(headers["x-request-id"].len() == 32 && headers["date"].ends_with(" GMT"), "{what}: {headers:?}");
}

/// Returns the bytes of a row and the status of its last answer, for each place: alone, behind another request, and before
/// a body that a client sends whole.
fn places(row: &Malformed) -> Vec<(&'static str, Vec<u8>, u16)> {
    let before = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let head = row.head.as_bytes();
    // The library takes such a length for a head that is too long, and the length of this head is not known.
    let behind = if row.name == "a large length" { 431 } else { row.status };
    let mut places = vec![("alone", head.to_vec(), row.status), ("behind a request", [before, head].concat(), behind)];
    if !row.is_request {
        places.push(("before a body", [head, &vec![b' '; 3 * 1024 * 1024]].concat(), row.status));
    }
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn every_malformed_head_is_answered_in_the_documented_form() {
    let service = Service::start().await;
    for row in rows() {
        for (place, bytes, status) in places(&row) {
            let what = format!("{} {place}: {:?}", row.name, &row.head[..row.head.len().min(200)]);
            expect(&answer_to(connect(&service).await, &bytes, &what).await, status, &what);
        }
    }
    serves(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_over_tls() {
    let authority = tls::Authority::new();
    authority.renew();
    let service = tls::start(&authority, &[]).await;
    for row in rows() {
        for (place, bytes, status) in places(&row) {
            let what = format!("{} {place}: {:?}", row.name, &row.head[..row.head.len().min(200)]);
            let stream = tls::shake_hands(service.address, authority.client("http/1.1", None)).await.unwrap();
            expect(&answer_to(stream, &bytes, &what).await, status, &what);
        }
    }
}

/// The preface of HTTP/2 belongs at the beginning of a connection.
#[tokio::test]
async fn so_is_a_preface_behind_a_request() {
    let service = Service::start().await;
    let bytes = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    expect(&answer_to(connect(&service).await, bytes, "a preface").await, 400, "a preface");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_malformed_head_is_logged_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let process =
        Process::start(directory.path(), &["--demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let mut ids = BTreeMap::new();
    for row in rows().filter(|row| !row.is_request) {
        let stream = TcpStream::connect(process.caller.address).await.unwrap();
        let answer = answer_to(stream, row.head.as_bytes(), row.name).await;
        ids.insert(answer.headers["x-request-id"].clone(), row.status);
    }
    let url = format!("http://{}/metrics", process.admin.unwrap());
    let metrics = process.caller.http().get(url).send().await.unwrap().text().await.unwrap();
    let reasons = [(400, "INVALID_REQUEST"), (413, "TOO_LARGE"), (414, "TARGET_TOO_LONG"), (431, "HEADERS_TOO_LARGE")];
    for (status, reason) in reasons {
        let count = ids.values().filter(|each| **each == status).count();
        let line = format!("cart_promotions_refused_total{{reason=\"{reason}\"}} {count}\n");
        assert!(count > 0 && metrics.contains(&line), "{line}: {metrics}");
        let labels =
            format!("http_request_method=\"_OTHER\",http_response_status_code=\"{status}\",http_route=\"_OTHER\"");
        let line = format!("http_server_request_duration_seconds_count{{{labels}}} {count}\n");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    process.signal("TERM");
    let (success, log) = process.end();
    assert!(success);
    for (id, status) in ids {
        let lines: Vec<_> = log.iter().filter(|line| line["request_id"] == id).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!((&lines[0]["http_status"], &lines[0]["peer"]), (&json!(status), &json!("127.0.0.1")), "{lines:?}");
        assert!(lines[0]["refusal"].is_string() && lines[0]["path"].is_null(), "{lines:?}");
    }
}
