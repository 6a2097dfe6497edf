//! Responses that are ready before their request was read: each reaches a client that sends its whole request before it
//! reads, over HTTP/1.1 and HTTP/2, with and without TLS, for every reason of refusal.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::*;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Sizes of bodies in bytes, the last larger than anything that known clients send before they read.
const SIZES: [usize; 6] = [1, 240, 70 * KIB, MIB + 1, 2 * MIB, 16 * MIB];
/// Longest time of one request of these sizes.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// A request that is refused before its body is read.
struct EarlyRefusal {
    status: u16,
    method: &'static str,
    path: &'static str,
    credentials: &'static str,
    content_type: &'static str,
    /// The smallest body that is refused so, in bytes.
    from_bytes: usize,
}

const JSON: &str = "application/json";

const fn refused(status: u16, method: &'static str, path: &'static str, credentials: &'static str) -> EarlyRefusal {
    EarlyRefusal { status, method, path, credentials, content_type: JSON, from_bytes: 0 }
}

const REFUSED: [EarlyRefusal; 6] = [
    refused(404, "POST", "/nowhere", ""),
    refused(405, "PUT", PATH, "demo:demo"),
    refused(401, "POST", PATH, ""),
    refused(401, "POST", PATH, "demo:wrong"),
    EarlyRefusal { from_bytes: MIB + 1, ..refused(413, "POST", PATH, "demo:demo") },
    EarlyRefusal { content_type: "text/plain", from_bytes: 0, ..refused(415, "POST", BULK_EARN, "demo:demo") },
];

impl EarlyRefusal {
    fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("content-type", self.content_type.to_owned())];
        if !self.credentials.is_empty() {
            headers.push(("authorization", basic(self.credentials)));
        }
        headers
    }

    /// Returns the rows for this size.
    fn of_size(size: usize) -> impl Iterator<Item = &'static Self> {
        // The size of a body is checked before its type.
        REFUSED.iter().filter(move |row| size >= row.from_bytes && (row.status != 415 || size <= MIB))
    }
}

fn is_documented(status: u16, body: &[u8]) -> bool {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    body["errors"][0]["message"].is_string() && status >= 400
}

/// Sends everything, then reads. Returns the head and the body of the response.
async fn over_http1(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    row: &EarlyRefusal,
    size: usize,
    chunked: bool,
) -> String {
    let mut headers = row.headers();
    headers.push(if chunked {
        ("transfer-encoding", "chunked".to_owned())
    } else {
        ("content-length", size.to_string())
    });
    let headers: String = headers.iter().flat_map(|(name, value)| [*name, ": ", value, "\r\n"]).collect();
    let request = format!("{} {} HTTP/1.1\r\nhost: x\r\n{headers}\r\n", row.method, row.path);
    let mut request = request.into_bytes();
    if chunked {
        for chunk in vec![b' '; size].chunks(60_000) {
            request.extend(format!("{:x}\r\n", chunk.len()).bytes());
            request.extend([chunk, b"\r\n"].concat());
        }
        request.extend(b"0\r\n\r\n");
    } else {
        request.resize(request.len() + size, b' ');
    }
    stream.write_all(&request).await.expect("all of it is read");
    stream.flush().await.expect("all of it is read");
    let mut answer = Vec::new();
    while !complete(&answer) {
        let mut part = [0; 4 * KIB];
        let read = stream.read(&mut part).await.expect("an answer");
        if read == 0 {
            break;
        }
        answer.extend(&part[..read]);
    }
    String::from_utf8(answer).unwrap()
}

/// Returns true if the response is complete.
fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse().unwrap())
}

/// Sends like [`over_http1`], over HTTP/2.
async fn over_http2(client: &mut Http2, row: &EarlyRefusal, size: usize) -> (u16, Vec<u8>) {
    let headers = row.headers();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (response, mut body) = client.begin(&head(row.method, row.path, &headers)).await;
    let mut left = Bytes::from(vec![b' '; size]);
    while !left.is_empty() {
        body.reserve_capacity(left.len());
        let room = std::future::poll_fn(|context| body.poll_capacity(context)).await;
        let room = room.expect("the stream stays").expect("the stream stays");
        let part = left.split_to(room.min(left.len()));
        body.send_data(part, left.is_empty()).expect("the stream stays");
    }
    let response = response.await.expect("an answer");
    let status = response.status().as_u16();
    let (mut body, mut answer) = (response.into_body(), Vec::new());
    while let Some(part) = body.data().await {
        answer.extend(part.expect("all of the answer"));
    }
    (status, answer)
}

async fn timed<T>(what: String, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(ANSWERED_WITHIN, future).await.unwrap_or_else(|_| panic!("{what}: no answer in time"))
}

fn check_http1(answer: &str, row: &EarlyRefusal, what: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {} ", row.status)), "{what}: {answer}");
    assert!(is_documented(row.status, body.as_bytes()), "{what}: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_end_of_its_request_reaches_who_goes_on_sending() {
    let service = Service::start().await;
    let mut client = Http2::over(connect(&service).await).await;
    for size in SIZES {
        for row in EarlyRefusal::of_size(size) {
            for chunked in [false, true] {
                let what = format!("{} {} {size}, chunked: {chunked}", row.method, row.path);
                let answer = timed(what.clone(), over_http1(connect(&service).await, row, size, chunked)).await;
                check_http1(&answer, row, &what);
                let closes = answer.contains("\r\nconnection: close\r\n");
                // A small rest may be left of a body that is read until it is too large.
                let read = row.status == 415 || (row.status == 413 && size < 2 * MIB);
                assert!(closes || size <= 64 * KIB || read, "{what}: {answer}");
            }
            let what = format!("HTTP/2 {} {} {size}", row.method, row.path);
            let (status, body) = timed(what.clone(), over_http2(&mut client, row, size)).await;
            assert_eq!(status, row.status, "{what}");
            assert!(is_documented(status, &body), "{what}: {}", String::from_utf8_lossy(&body));
        }
    }
    serves(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_behind_tls() {
    let authority = tls::Authority::new();
    authority.renew();
    let service = tls::start(&authority, &[]).await;
    let stream = tls::shake_hands(service.address, authority.client("h2", None)).await.unwrap();
    let mut client = Http2::over(stream).await;
    for size in [240, 2 * MIB, 16 * MIB] {
        for row in EarlyRefusal::of_size(size).filter(|row| matches!(row.status, 404 | 413)) {
            for chunked in [false, true] {
                let what = format!("{} {} {size}, chunked: {chunked}", row.method, row.path);
                let stream = tls::shake_hands(service.address, authority.client("http/1.1", None)).await.unwrap();
                let answer = timed(what.clone(), over_http1(stream, row, size, chunked)).await;
                check_http1(&answer, row, &what);
            }
            let (status, body) = timed(format!("HTTP/2 {size}"), over_http2(&mut client, row, size)).await;
            assert!(status == row.status && is_documented(status, &body), "{status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_to_who_asks_for_too_much() {
    let service = Service::start_with(&catalog(), &["--requests-per-minute", "1"]).await;
    let row = EarlyRefusal { credentials: "demo:demo", ..refused(429, "POST", PATH, "") };
    let first = over_http1(connect(&service).await, &row, 1, false).await;
    assert!(first.starts_with("HTTP/1.1 400 "), "{first}");
    for size in [240, 16 * MIB] {
        let answer = timed("429".into(), over_http1(connect(&service).await, &row, size, false)).await;
        check_http1(&answer, &row, "429");
        let mut client = Http2::over(connect(&service).await).await;
        assert_eq!(timed("429".into(), over_http2(&mut client, &row, size)).await.0, 429);
    }
}

/// Clients that speak both versions on one port without TLS ask for an upgrade like this.
#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_to_who_asks_for_another_protocol() {
    let service = Service::start().await;
    for _ in 0..4 {
        let mut stream = connect(&service).await;
        let head = format!(
            "POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n",
            4 * MIB
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 4 * MIB]).await.expect("all of it is read");
        let answer = timed("upgrade".into(), until_closed(&mut stream)).await;
        check_http1(&String::from_utf8(answer).unwrap(), &REFUSED[0], "upgrade");
    }
}

#[tokio::test]
async fn a_small_rest_is_waited_for_and_the_connection_stays() {
    let service = Service::start().await;
    let mut stream = connect(&service).await;
    for _ in 0..3 {
        let answer = over_http1(&mut stream, &REFUSED[0], 240, false).await;
        assert!(answer.starts_with("HTTP/1.1 404 ") && !answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn who_waits_to_be_asked_for_its_body_is_asked_or_answered_at_once() {
    let service = Service::start().await;
    let body = one_entry("asked", TEN_OFF, 1).to_string();
    let head_of = |call: &str, content_type: &str, length: usize| {
        let credentials = basic("demo:demo");
        format!(
            "{call} HTTP/1.1\r\nhost: x\r\nauthorization: {credentials}\r\n{content_type}content-length: {length}\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    let head =
        |path: &str, length: usize| head_of(&format!("POST {path}"), "content-type: application/json\r\n", length);
    let mut stream = connect(&service).await;
    stream.write_all(head(PATH, body.len()).as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    let token = "/v3/oauth/token/generate";
    let activate = format!("PUT /api_gateway/v1/promotions/{TEN_OFF}/activate");
    let post = |path: &str| format!("POST {path}");
    let (json, text) = ("content-type: application/json\r\n", "content-type: text/plain\r\n");
    for (call, content_type, length, begins) in [
        (post("/nowhere"), json, 240, "HTTP/1.1 404"),
        (post(PATH), json, 2 * MIB, "HTTP/1.1 413"),
        (post(PATH), text, 2 * MIB, "HTTP/1.1 413"),
        (post(PATH), text, 240, "HTTP/1.1 415"),
        (post(PATH), "", 240, "HTTP/1.1 415"),
        (post(token), text, 240, "HTTP/1.1 415"),
        (post(token), text, 9 * KIB, "HTTP/1.1 413"),
        (post(BULK_EARN), text, 240, "HTTP/1.1 415"),
        // The body of this method does not count.
        (activate, text, 240, "HTTP/1.1 100"),
    ] {
        let mut stream = connect(&service).await;
        stream.write_all(head_of(&call, content_type, length).as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        timed(call.clone(), stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), begins, "{call} {content_type:?} {length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_behind_an_answer_has_a_limit() {
    let service = Service::start().await;
    let mut stream = connect(&service).await;
    let head = "POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (piece, mut sent) = (vec![b' '; 64 * KIB], 0);
    let sending = async {
        while stream.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
    };
    timed("HTTP/1.1".into(), sending).await;
    // The systems on both sides buffer a part.
    assert!((16 * MIB..64 * MIB).contains(&sent), "{sent}");

    let mut client = Http2::over(connect(&service).await).await;
    let (response, mut body) = client.begin(&head_of_post("/nowhere")).await;
    assert_eq!(response.await.unwrap().status(), 404);
    let sending = async {
        let mut sent = 0;
        loop {
            body.reserve_capacity(64 * KIB);
            match std::future::poll_fn(|context| body.poll_capacity(context)).await {
                Some(Ok(room)) if body.send_data(vec![b' '; room].into(), false).is_ok() => sent += room,
                _ => return sent,
            }
        }
    };
    let sent = timed("HTTP/2".into(), sending).await;
    assert!((16 * MIB..64 * MIB).contains(&sent), "{sent}");
    // The error is of the call, not of the connection.
    assert_eq!(client.earn("after").await.unwrap().code, 0);
}

fn head_of_post(path: &str) -> http::Request<()> {
    head("POST", path, &[])
}
