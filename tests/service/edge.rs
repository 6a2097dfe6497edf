//! Attacks on the edge: a peer that keeps a connection, a handshake, a body or a response for too long is disconnected,
//! and well-behaved callers are served meanwhile.

mod age;
mod clocks;
mod early;
mod http2;
mod large;
mod malformed;
mod memory;
mod routes;
mod strangers;
mod tls;
mod wire;

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::wire::*;
use crate::support::*;

/// Time in which the service ends an overdue connection, under the limits of these tests.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);
/// Time between two bytes of a slow peer.
const DRIP: Duration = Duration::from_millis(50);

/// Checks that a well-behaved caller gets responses over gRPC and JSON.
async fn serves(service: &Service) {
    for endpoint in ENDPOINTS {
        let answer = service.earn(endpoint, &documented_request()).await;
        assert_eq!(answer.code, 0, "{endpoint:?}: {answer:?}");
    }
}

/// Sends `beginning` at once, then `unread` byte by byte, repeatedly, until the server closes the connection.
async fn drip(mut stream: TcpStream, beginning: &[u8], rest: &[u8]) {
    stream.write_all(beginning).await.unwrap();
    let dripped = async {
        let mut answer = [0; 4096];
        let mut bytes = rest.iter().cycle();
        loop {
            tokio::select! {
                read = stream.read(&mut answer) => if !matches!(read, Ok(1..)) { return },
                () = tokio::time::sleep(DRIP) => {
                    let byte = bytes.next().map(std::slice::from_ref);
                    if stream.write_all(byte.unwrap_or_default()).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    tokio::time::timeout(NOTICED_WITHIN, dripped).await.expect("it is closed");
}

#[tokio::test]
async fn whoever_is_slow_to_say_what_it_wants_is_hung_up_on() {
    let service = Service::start_with(&catalog(), &["--header-timeout-ms", "300"]).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // HEADERS of stream 1 without END_HEADERS, and a CONTINUATION of one byte without it.
    let settings = frame(4, 0, 0, &[]);
    let open_headers = [&preface[..], &settings, &frame(1, 0, 1, &[0x82, 0x86])].concat();
    let half_a_frame = [&preface[..], &settings, &frame(1, 4, 1, &[0x82; 200])[..60]].concat();
    let after_a_call = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET {PATH} HTTP/1.1\r\n");
    let slow: [(&[u8], &[u8]); 7] = [
        (b"", b"GET / HTTP/1.1\r\nx: "),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", b"x: y\r\n"),
        (after_a_call.as_bytes(), b"x: y\r\n"),
        (b"", b""),
        (&preface[..5], b""),
        (&open_headers, &frame(9, 0, 1, &[0x86])),
        (&half_a_frame, &[0x82]),
    ];
    let mut all = tokio::task::JoinSet::new();
    for (beginning, rest) in slow {
        let (stream, beginning, rest) = (connect(&service).await, beginning.to_vec(), rest.to_vec());
        all.spawn(async move { drip(stream, &beginning, &rest).await });
    }
    serves(&service).await;
    all.join_all().await;
    serves(&service).await;
}

#[tokio::test]
async fn a_body_that_drips_is_refused_when_its_time_is_over() {
    let service = Service::start_with(&catalog(), &["--body-timeout-ms", "300"]).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n",
        basic("demo:demo")
    );
    let mut stream = connect(&service).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    });
    serves(&service).await;
    let mut answer = vec![0; 12];
    let answered = tokio::time::timeout(NOTICED_WITHIN, read.read_exact(&mut answer)).await;
    answered.expect("its time is over").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    dripping.abort();

    let mut connection = Http2::over(connect(&service).await).await;
    let (response, mut body) = connection.begin(&grpc_head(&[])).await;
    let dripping = tokio::spawn(async move {
        while body.send_data(bytes::Bytes::from_static(b"\0"), false).is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    });
    serves(&service).await;
    let status = tokio::time::timeout(NOTICED_WITHIN, Http2::status(response)).await;
    let status = status.expect("its time is over").unwrap();
    assert_eq!((status.code, status.reason.as_str()), (4, "TOO_SLOW"));
    dripping.abort();
}

#[tokio::test]
async fn a_connection_without_a_call_is_ended_in_good_manner_and_one_with_a_call_stays() {
    let service = Service::start_with(&catalog(), &["--idle-timeout-ms", "400"]).await;
    // Two connections stay in use: a call whose body has not arrived, and a `Watch`.
    let mut sending = Http2::over(connect(&service).await).await;
    let (response, mut body) = sending.begin(&grpc_head(&[])).await;
    let mut watching = Http2::over(connect(&service).await).await;
    let (watch, mut watch_body) = watching.begin(&head("POST", "/grpc.health.v1.Health/Watch", GRPC)).await;
    watch_body.send_data(bytes::Bytes::from_static(&[0; 5]), true).unwrap();
    let mut watched = watch.await.unwrap().into_body();
    assert!(watched.data().await.unwrap().is_ok());

    let mut called = Http2::over(connect(&service).await).await;
    assert_eq!(called.earn("idle").await.unwrap().code, 0);
    let mut http1 = connect(&service).await;
    http1.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let ended = tokio::time::timeout(NOTICED_WITHIN, called.ended()).await.expect("it is ended");
    // The connection is told to end, not cut.
    assert!(ended.is_ok(), "{ended:?}");
    let answer = tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut http1)).await.expect("it is ended");
    assert!(String::from_utf8(answer).unwrap().starts_with("HTTP/1.1 200"));

    // A channel reconnects by itself.
    serves(&service).await;
    body.send_data(grpc_message("busy"), true).unwrap();
    assert_eq!(Http2::status(response).await.unwrap().code, 0);
    assert!(tokio::time::timeout(DRIP, watched.data()).await.is_err(), "it goes on watching");
}

#[tokio::test]
async fn a_new_connection_takes_the_place_of_the_one_that_is_idle_the_longest() {
    let service = Service::start_with(&catalog(), &["--max-connections", "4"]).await;
    let mut authenticated = Http2::over(connect(&service).await).await;
    assert_eq!(authenticated.earn("first").await.unwrap().code, 0);
    let blocker = service.database().block_writers().await;
    let mut busy = Http2::over(connect(&service).await).await;
    let (response, mut body) = busy.begin(&grpc_head(&[])).await;
    body.send_data(grpc_message("busy"), true).unwrap();
    busy.reached().await;
    // A caller without credentials cannot keep its connection by watching.
    let mut watching = Http2::over(connect(&service).await).await;
    let (watch, mut watch_body) = watching.begin(&head("POST", "/grpc.health.v1.Health/Watch", GRPC)).await;
    watch_body.send_data(bytes::Bytes::from_static(&[0; 5]), true).unwrap();
    let mut watched = watch.await.unwrap().into_body();
    assert!(watched.data().await.unwrap().is_ok());
    let mut kept = connect(&service).await;
    assert!(answers(&mut kept).await);

    let mut last = connect(&service).await;
    assert!(answers(&mut last).await);
    let cut = tokio::time::timeout(NOTICED_WITHIN, watched.data()).await.expect("it is idle the longest");
    assert!(!matches!(cut, Some(Ok(_))), "{cut:?}");
    for round in 0..10 {
        assert!(answers(&mut kept).await, "round {round}: it is not idle the longest");
        let mut newer = connect(&service).await;
        assert!(answers(&mut newer).await, "round {round}: a new connection is let in");
        tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut last)).await.expect("it is idle the longest");
        last = newer;
    }
    blocker.release().await;
    assert_eq!(Http2::status(response).await.unwrap().code, 0);
    assert_eq!(authenticated.earn("second").await.unwrap().code, 0);
}

#[tokio::test]
async fn when_every_connection_is_busy_a_new_one_is_closed_and_those_go_on() {
    let service = Service::start_with(&catalog(), &["--max-connections", "3"]).await;
    let blocker = service.database().block_writers().await;
    let mut calls = Vec::new();
    for index in 0..3 {
        let mut busy = Http2::over(connect(&service).await).await;
        let (response, mut body) = busy.begin(&grpc_head(&[])).await;
        body.send_data(grpc_message(&format!("event {index}")), true).unwrap();
        busy.reached().await;
        calls.push((busy, response));
    }
    for _ in 0..5 {
        let mut refused = connect(&service).await;
        assert!(!answers(&mut refused).await);
    }
    blocker.release().await;
    for (busy, response) in calls {
        assert_eq!(Http2::status(response).await.unwrap().code, 0);
        drop(busy);
    }
    let recovered = async {
        while !answers(&mut connect(&service).await).await {
            tokio::time::sleep(DRIP).await;
        }
    };
    tokio::time::timeout(RECOVERED_WITHIN, recovered).await.expect("there is room again");
}

#[tokio::test]
async fn a_call_ends_at_its_callers_deadline_or_at_ours_and_says_so() {
    let service = Service::start_with(&catalog(), &["--call-timeout-ms", "2000"]).await;
    serves(&service).await;
    let mut connection = Http2::over(connect(&service).await).await;
    for none in ["0H", "0S", "0m", "0n"] {
        // With wrong credentials the call would be refused for another reason.
        let head = grpc_head(&[("grpc-timeout", none), ("authorization", "Basic eDp5")]);
        let (response, _body) = connection.begin(&head).await;
        assert_eq!(Http2::status(response).await.unwrap().reason, "DEADLINE_EXCEEDED", "{none}: nothing is begun");
    }
    let blocker = service.database().block_writers().await;
    let begun = std::time::Instant::now();
    let (response, mut body) = connection.begin(&grpc_head(&[("grpc-timeout", "150m")])).await;
    body.send_data(grpc_message("late"), true).unwrap();
    let status = Http2::status(response).await.unwrap();
    assert_eq!((status.code, status.reason.as_str()), (4, "DEADLINE_EXCEEDED"));
    assert!(begun.elapsed() < Duration::from_millis(1_950), "{:?}", begun.elapsed());
    // A longer time-out has no effect.
    let (response, mut body) = connection.begin(&grpc_head(&[("grpc-timeout", "1H")])).await;
    body.send_data(grpc_message("late"), true).unwrap();
    assert_eq!(Http2::status(response).await.unwrap().reason, "DEADLINE_EXCEEDED");
    let answer = service.earn(Endpoint::Json, &one_entry("late", TEN_OFF, 1)).await;
    assert_eq!((answer.status, answer.code), (504, 504), "{answer:?}");
    blocker.release().await;
    // The call may have been recorded or not; the repeat is safe in both cases.
    let answer = service.earn_once_recovered(Endpoint::Grpc, &one_entry("late", TEN_OFF, 1)).await;
    assert_eq!(earn_ids(&answer.body).len(), 1, "{answer:?}");
}

/// Returns a request with a response of nine megabytes.
fn long_answer() -> serde_json::Value {
    let mut request = one_entry("long", TEN_OFF, 1_000);
    request["eventDetails"]["eventPayload"] = json!({"text": "x".repeat(8_000)});
    request
}

#[tokio::test]
async fn whoever_does_not_read_its_answer_is_hung_up_on() {
    let options = ["--write-timeout-ms", "400", "--max-response-bytes", "100000000"];
    let service = Service::start_with(&catalog(), &options).await;
    assert_eq!(service.earn(Endpoint::Json, &long_answer()).await.code, 0);

    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut http1 = socket.connect(service.address).await.unwrap();
    let body = long_answer().to_string();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        basic("demo:demo"),
        body.len()
    );
    http1.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
    // This client reads its connection, but takes only as much of a response as fits the window, and never enlarges the
    // window.
    let mut http2 = Http2::over(connect(&service).await).await;
    let (answer, _) = http2.begin(&head_of_get("/openapi.json")).await;
    let unread = answer.await.unwrap();
    serves(&service).await;
    let ended = tokio::time::timeout(NOTICED_WITHIN, http2.ended()).await;
    assert!(ended.is_ok(), "it is closed");
    drop(unread);
    // The server distinguishes it from a slow client by what it can still read: the whole response was ready to be
    // sent.
    tokio::time::sleep(Duration::from_millis(800)).await;
    let read = tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut http1)).await.expect("it is closed");
    assert!(read.len() < 8_000_000, "{} bytes", read.len());

    // A client that reads slowly gets the whole response.
    let mut slow = Http2::over(connect(&service).await).await;
    let (answer, _) = slow.begin(&head_of_get("/openapi.json")).await;
    let mut body = answer.await.unwrap().into_body();
    let mut length = 0;
    while let Some(part) = body.data().await {
        let part = part.expect("it is not closed");
        length += part.len();
        tokio::time::sleep(DRIP).await;
        body.flow_control().release_capacity(part.len()).unwrap();
    }
    assert!(length > 64 * 1024, "{length} bytes fit the window");
    serves(&service).await;
}
