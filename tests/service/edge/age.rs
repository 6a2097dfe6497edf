//! Connections of a limited age: told in order to send no further calls, while the calls under way finish.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::tls::{Authority, shake_hands};
use super::*;

const MAX_AGE: Duration = Duration::from_millis(700);
const OPTION: [&str; 2] = ["--max-connection-age-ms", "700"];
/// The least age at which a connection is told: the limit less its spread.
const FROM: Duration = Duration::from_millis(630);

/// Holds a call over HTTP/2 until the connection takes no other, finishes it, and waits for the end of the connection.
async fn over_http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, begun: Instant) {
    let mut connection = Http2::over(stream).await;
    let (response, mut body) = connection.begin(&grpc_head(&[])).await;
    let mut calls = 0;
    let told = async {
        while let Ok((answer, _)) = connection.try_begin(&head_of_get("/healthz")).await {
            if answer.await.is_err() {
                break;
            }
            calls += 1;
            tokio::time::sleep(DRIP).await;
        }
    };
    tokio::time::timeout(NOTICED_WITHIN, told).await.expect("it is told to leave");
    assert!(begun.elapsed() >= FROM, "{:?}", begun.elapsed());
    assert!(calls > 1, "calls are answered before");
    body.send_data(grpc_message(&format!("old {begun:?}")), true).unwrap();
    assert_eq!(Http2::status(response).await.unwrap().code, 0, "a call under way finishes");
    let ended = tokio::time::timeout(NOTICED_WITHIN, connection.ended()).await.expect("it ends");
    assert!(ended.is_ok(), "{ended:?}");
}

/// Returns the head of the next response without a body beyond it.
async fn response_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&head)));
        head.push(byte);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

/// Calls over HTTP/1.1 until a response says that it is the last one, and waits for the end of the connection.
async fn over_http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, begun: Instant) {
    let mut calls = 0;
    let told = async {
        loop {
            stream.write_all(b"HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let head = response_head(&mut stream).await;
            assert!(head.starts_with("http/1.1 200"), "{head}");
            calls += 1;
            if head.contains("connection: close") {
                return;
            }
            tokio::time::sleep(DRIP).await;
        }
    };
    tokio::time::timeout(NOTICED_WITHIN, told).await.expect("it is told to leave");
    assert!(begun.elapsed() >= FROM, "{:?}", begun.elapsed());
    assert!(calls > 1, "calls are answered before");
    tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut stream)).await.expect("it ends");
}

/// Begins a call over HTTP/1.1, finishes it after the age of its connection, and waits for the end of the connection.
async fn late_over_http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, begun: Instant) {
    let body = one_entry(&format!("late {begun:?}"), TEN_OFF, 1).to_string();
    let (beginning, rest) = body.split_at(10);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{beginning}",
        basic("demo:demo"),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Longer than the age with its spread, and the time between two looks at all connections.
    tokio::time::sleep(2 * MAX_AGE).await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    let head = tokio::time::timeout(NOTICED_WITHIN, response_head(&mut stream)).await.expect("an answer");
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close"), "{head}");
    tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut stream)).await.expect("it ends");
}

#[tokio::test]
async fn an_old_connection_is_told_to_leave_and_its_calls_finish() {
    let plain = Service::start_with(&catalog(), &OPTION).await;
    let authority = Authority::new();
    authority.renew();
    let secure = tls::start(&authority, &OPTION).await;
    let over_tls = async |alpn: &str| shake_hands(secure.address, authority.client(alpn, None)).await.unwrap();
    let begun = Instant::now();
    tokio::join!(
        over_http2(connect(&plain).await, begun),
        over_http1(connect(&plain).await, begun),
        late_over_http1(connect(&plain).await, begun),
        over_http2(over_tls("h2").await, begun),
        over_http1(over_tls("http/1.1").await, begun),
        late_over_http1(over_tls("http/1.1").await, begun),
    );
    // Every connection starts anew, however old the service is.
    serves(&plain).await;
}

#[tokio::test]
async fn without_a_limit_of_age_a_connection_goes_on() {
    let service = Service::start_with(&catalog(), &["--max-connection-age-ms", "0"]).await;
    let mut http2 = Http2::over(connect(&service).await).await;
    let mut http1 = connect(&service).await;
    for round in 0..4 {
        assert_eq!(http2.earn(&format!("round {round}")).await.unwrap().code, 0);
        http1.write_all(b"HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let head = response_head(&mut http1).await;
        assert!(head.starts_with("http/1.1 200") && !head.contains("connection: close"), "{head}");
        tokio::time::sleep(MAX_AGE / 2).await;
    }
    let limits = |more: &[&str]| options("sqlite://x.db", more).edge.limits(10, Duration::from_secs(1)).max_age;
    assert_eq!(limits(&[]), Some(Duration::from_mins(5)), "by default there is one");
    assert_eq!((limits(&OPTION), limits(&["--max-connection-age-ms", "0"])), (Some(MAX_AGE), None));
}
