//! Clocks that start with the first byte: a peer that takes nothing or almost nothing of its response is cut in time at
//! any window, gives way to others, and does not delay a stopping service.

use tokio::io::AsyncWriteExt;

use super::http2::PREFACE;
use super::*;

const WRITE_TIMEOUT_MS: &str = "700";
const LIST: &str = "/api_gateway/v1/promotions?limit=1";

/// Returns an HTTP/2 header that is not indexed, by its number in the static table.
fn field(name: u8, value: &str) -> Vec<u8> {
    let mut field = if name < 15 { vec![name] } else { vec![15, name - 15] };
    // Longer values need another form.
    field.push(u8::try_from(value.len()).ok().filter(|length| *length < 127).unwrap());
    field.extend(value.bytes());
    field
}

/// Returns the beginning of a connection whose streams have this window, with a GET on it.
fn get(window: u32, path: &str, credentials: Option<&str>) -> Vec<u8> {
    let settings = frame(4, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat());
    let mut block = [&[0x82, 0x86][..], &field(4, path), &field(1, "x")].concat();
    if let Some(credentials) = credentials {
        block.extend(field(23, &basic(credentials)));
    }
    [PREFACE, &settings, &frame(1, 5, 1, &block)].concat()
}

/// Opens a connection, sends these bytes and waits for the first response bytes. Then it answers pings until the server
/// closes the connection.
async fn polite(service: &Service, bytes: &[u8]) -> tokio::task::JoinHandle<usize> {
    let mut stream = connect(service).await;
    stream.write_all(bytes).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let staying = tokio::spawn(async move {
        let (mut head, mut data) = ([0; 9], 0);
        loop {
            if read.read_exact(&mut head).await.is_err() {
                return data;
            }
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            if read.read_exact(&mut payload).await.is_err() {
                return data;
            }
            if let (1, Some(tell)) = (head[3], tell.take_if(|_| head[3] == 1)) {
                let _ = tell.send(());
            }
            if head[3] == 0 {
                data += payload.len();
            }
            if head[3] == 6 && head[4] & 1 == 0 {
                let _ = write.write_all(&frame(6, 1, 0, &payload)).await;
            }
        }
    });
    let _ = tokio::time::timeout(NOTICED_WITHIN, told).await.expect("an answer begins");
    staying
}

/// Returns windows from zero to less than a response, with responses of one part and of many.
fn unread() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for window in [0, 1, 40, 20_000] {
        for (path, credentials) in
            [("/nowhere", None), (LIST, None), (LIST, Some("demo:demo")), ("/openapi.json", None)]
        {
            // The responses of other paths fit the larger windows.
            if window <= 40 || path == "/openapi.json" {
                all.push((format!("{path} at {window}"), get(window, path, credentials)));
            }
        }
    }
    // The window of the connection has its initial size.
    all.push(("the connection's window".to_owned(), get(1 << 30, "/openapi.json", None)));
    all
}

#[tokio::test]
async fn whoever_takes_nothing_of_an_answer_is_hung_up_on_at_any_window() {
    let options = ["--write-timeout-ms", WRITE_TIMEOUT_MS, "--requests-per-minute", "0"];
    let service = Service::start_with(&catalog(), &options).await;
    let mut staying = Vec::new();
    for (what, bytes) in unread() {
        staying.push((what, polite(&service, &bytes).await));
    }
    serves(&service).await;
    for (what, staying) in staying {
        tokio::time::timeout(NOTICED_WITHIN, staying).await.unwrap_or_else(|_| panic!("{what}: it stays")).unwrap();
    }
}

#[tokio::test]
async fn an_answer_comes_whole_through_the_smallest_windows() {
    let service = Service::start_with(&catalog(), &["--write-timeout-ms", "5000"]).await;
    let expected = service.http().get(service.url("/openapi.json")).send().await.unwrap().bytes().await.unwrap();
    for window in [1, 16, 1_000] {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (mut sender, connection) = builder.handshake::<_, bytes::Bytes>(connect(&service).await).await.unwrap();
        let connection = tokio::spawn(connection);
        let path = if window == 1 { "/readyz" } else { "/openapi.json" };
        let (response, _) = sender.send_request(head_of_get(path), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut all = Vec::new();
        while let Some(part) = body.data().await {
            let part = part.expect("it is not closed");
            all.extend(&part);
            body.flow_control().release_capacity(part.len()).unwrap();
        }
        assert_eq!(all == expected, window > 1, "{} bytes", all.len());
        assert!(!all.is_empty());
        connection.abort();
    }
}

#[tokio::test]
async fn peers_that_wait_make_room_for_others() {
    let half = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{{",
        basic("demo:demo")
    );
    let kinds: [(&str, Option<Vec<u8>>); 2] =
        [("answers that are not taken", Some(get(0, LIST, Some("demo:demo")))), ("bodies that do not come", None)];
    for (what, bytes) in kinds {
        let options = ["--max-connections", "8", "--write-timeout-ms", "60000", "--body-timeout-ms", "60000"];
        let service = Service::start_with(&catalog(), &options).await;
        let mut kept = Vec::new();
        for _ in 0..8 {
            if let Some(bytes) = &bytes {
                drop(polite(&service, bytes).await);
            } else {
                let mut stream = connect(&service).await;
                stream.write_all(half.as_bytes()).await.unwrap();
                kept.push(stream);
            }
        }
        let served = async {
            while !answers(&mut connect(&service).await).await {
                tokio::time::sleep(DRIP).await;
            }
        };
        tokio::time::timeout(NOTICED_WITHIN, served).await.unwrap_or_else(|_| panic!("{what}: nobody else is let in"));
    }
}

#[tokio::test]
async fn nobody_holds_up_a_service_that_stops() {
    let half_tls: &[u8] = &[0x16, 3, 1, 2];
    let get_only: &[u8] = b"GET / HTTP/1.1\r\nx:";
    let watch = [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 4, 1, &[0x83])[..5]].concat();
    let half_body = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: 9\r\n\r\n",
        basic("demo:demo")
    );
    let upload = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n".to_vec();
    let mut states: Vec<(String, Vec<u8>)> = vec![
        ("nothing".into(), vec![]),
        ("half a handshake".into(), half_tls.to_vec()),
        ("half a preface".into(), PREFACE[..7].to_vec()),
        ("half of the headers".into(), get_only.to_vec()),
        ("half a frame".into(), watch),
        ("half a body".into(), half_body.into_bytes()),
        ("an upload that nobody wants".into(), upload),
    ];
    states.extend(unread());
    // These time-outs are longer than the test, except the limit of stopping.
    let options = ["--write-timeout-ms", "60000", "--body-timeout-ms", "60000", "--drain-timeout-ms", "10000"];
    let mut service = Service::start_with(&catalog(), &options).await;
    let mut kept = Vec::new();
    for (_, bytes) in &states {
        let mut stream = connect(&service).await;
        stream.write_all(bytes).await.unwrap();
        kept.push(stream);
    }
    // The server has processed the last of them, and therefore all.
    serves(&service).await;
    let begun = std::time::Instant::now();
    service.tell_to_stop();
    service.stopped().await.expect("nobody who reads lost an answer");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn every_connection_is_told_at_the_beginning_of_draining() {
    let mut service = Service::start().await;
    let mut busy = Http2::over(connect(&service).await).await;
    assert_eq!(busy.earn("warm").await.unwrap().code, 0);
    let mut idle = Http2::over(connect(&service).await).await;
    assert_eq!(idle.earn("warm").await.unwrap().code, 0);
    let mut idle_http1 = connect(&service).await;
    assert!(answers(&mut idle_http1).await);

    let blocker = service.database().block_writers().await;
    let (response, mut body) = busy.begin(&grpc_head(&[])).await;
    body.send_data(grpc_message("under way"), true).unwrap();
    busy.reached().await;
    let mut busy_http1 = connect(&service).await;
    let content = one_entry("under way too", TEN_OFF, 1).to_string();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        basic("demo:demo"),
        content.len()
    );
    busy_http1.write_all(&[head.as_bytes(), content.as_bytes()].concat()).await.unwrap();
    tokio::time::sleep(ACCEPTED_WITHIN).await;
    service.tell_to_stop();

    // The connection is told while both calls are under way.
    let ended = tokio::time::timeout(NOTICED_WITHIN, idle.ended()).await.expect("it is told");
    assert!(ended.is_ok(), "{ended:?}");
    tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut idle_http1)).await.expect("it is closed");
    let told = async {
        while busy.try_begin(&grpc_head(&[])).await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    };
    tokio::time::timeout(NOTICED_WITHIN, told).await.expect("it is told");
    // A new connection gets a response, which tells it to end.
    let mut late = connect(&service).await;
    late.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let late = tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut late)).await.expect("it is closed");
    let late = String::from_utf8(late).unwrap();
    assert!(late.starts_with("HTTP/1.1 503 ") && late.contains("\r\nconnection: close\r\n"), "{late}");

    blocker.release().await;
    assert_eq!(Http2::status(response).await.unwrap().code, 0);
    let answer = tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut busy_http1)).await.expect("it is closed");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    service.stopped().await.expect("a clean stop");
}
