//! Attacks on HTTP/2 and on headers: each ends the attacker's connection or call, and no other.

use tokio::io::AsyncWriteExt;

use super::*;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ENHANCE_YOUR_CALM: u32 = 11;
/// Number of frames of an attack at most; the server ends the connection earlier.
const MAX_ATTACK_FRAMES: usize = 200_000;

/// Returns true if these frames include a GOAWAY with this error. The last frame may be cut.
fn says_goaway(mut frames: &[u8], error: u32) -> bool {
    while frames.len() >= 9 {
        let length = usize::from(frames[0]) << 16 | usize::from(frames[1]) << 8 | usize::from(frames[2]);
        if frames[3] == 7 && frames.get(13..17) == Some(&error.to_be_bytes()) {
            return true;
        }
        frames = frames.get(9 + length..).unwrap_or_default();
    }
    false
}

/// Sends a frame repeatedly until the server closes the connection. Returns the bytes that it received.
async fn flood(service: &Service, beginning: &[u8], again: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = connect(service).await.into_split();
    let told = tokio::spawn(async move { until_closed(&mut read).await });
    let settings = frame(4, 0, 0, &[]);
    let _ = write.write_all(&[PREFACE, &settings, beginning].concat()).await;
    for _ in 0..MAX_ATTACK_FRAMES {
        if write.write_all(again).await.is_err() {
            break;
        }
    }
    tokio::time::timeout(NOTICED_WITHIN, told).await.expect("it is closed").unwrap()
}

#[tokio::test]
async fn calls_that_are_given_up_again_and_again_end_the_connection_of_who_does_it() {
    let service = Service::start_with(&catalog(), &["--max-resets", "20"]).await;
    serves(&service).await;
    let blocker = service.database().block_writers().await;
    let mut attacker = Http2::over(connect(&service).await).await;
    let mut given_up = 0;
    let attack = async {
        // Each call reaches the service before it is cancelled, so the library does not count it.
        while let Ok((response, mut body)) = attacker.try_begin(&grpc_head(&[])).await {
            if body.send_data(grpc_message(&format!("event {given_up}")), true).is_err()
                || !attacker.try_reached().await
            {
                break;
            }
            drop((response, body));
            given_up += 1;
        }
    };
    tokio::time::timeout(NOTICED_WITHIN, attack).await.expect("it is ended");
    assert!((21..=23).contains(&given_up), "after {given_up} calls");
    blocker.release().await;
    serves(&service).await;

    // The limit is relative to the completed calls: a client may cancel half of its calls, however many.
    let mut client = Http2::over(connect(&service).await).await;
    for index in 0..60 {
        let (response, body) = client.begin(&grpc_head(&[])).await;
        client.reached().await;
        drop((response, body));
        assert_eq!(client.earn(&format!("kept {index}")).await.unwrap().code, 0);
    }
}

#[tokio::test]
async fn calls_that_are_given_up_before_anybody_takes_them_end_the_connection_too() {
    let service = Service::start().await;
    let block = [0x82, 0x86, 0x84, 0x41, 1, b'x'];
    let mut rapid = Vec::new();
    for index in 0..500 {
        rapid.extend(frame(1, 5, 2 * index + 1, &block));
        rapid.extend(frame(3, 0, 2 * index + 1, &8_u32.to_be_bytes()));
    }
    let told = flood(&service, &rapid, &[]).await;
    assert!(says_goaway(&told, ENHANCE_YOUR_CALM), "{} bytes", told.len());
    serves(&service).await;
}

/// Returns the frames before a flood, which bring its stream into a state.
fn states() -> Vec<(&'static str, u32, Vec<u8>)> {
    // The requests are a POST to /x, a complete GET of it, and a GET of a response that takes long.
    let open = frame(1, 4, 1, &[0x83, 0x86, 4, 2, b'/', b'x', 1, 1, b'x']);
    let whole = frame(1, 5, 1, &[0x82, 0x86, 4, 2, b'/', b'x', 1, 1, b'x']);
    let path = b"/grpc.health.v1.Health/Watch";
    let watch = [&[0x83, 0x86, 4, 28][..], path, &[1, 1, b'x', 0x0f, 0x10, 16], b"application/grpc"].concat();
    let watch = [frame(1, 4, 1, &watch), frame(0, 1, 1, &[0; 5])].concat();
    vec![
        ("the connection", 0, vec![]),
        ("an open stream", 1, open.clone()),
        ("a half closed stream", 1, watch),
        ("a closed stream", 1, whole),
        ("a reset stream", 1, [open, frame(3, 0, 1, &[0, 0, 0, 8])].concat()),
        ("a stream that never was", 101, vec![]),
    ]
}

/// Returns a frame of each kind of HTTP/2, and of some unknown kinds.
fn kinds(stream: u32) -> Vec<Vec<u8>> {
    let headers = [0x82, 0x86, 0x84];
    let payloads: [(u8, u8, &[u8]); 16] = [
        (0, 0, &[]),
        (0, 0, &[7]),
        (0, 1, &[]),
        (1, 4, &headers),
        (1, 5, &headers),
        (2, 0, &[0; 5]),
        (3, 0, &[0, 0, 0, 8]),
        (4, 0, &[0, 3, 0, 0, 0, 9]),
        (4, 1, &[]),
        (5, 4, &[0, 0, 0, 2, 0x82]),
        (6, 0, &[0; 8]),
        (6, 1, &[0; 8]),
        (7, 0, &[0; 8]),
        (8, 0, &[0, 0, 0, 1]),
        (9, 4, &headers),
        (16, 0, &[0; 5]),
    ];
    let unknown = [10, 12, 13, 100, 255].map(|kind| frame(kind, 0, stream, &[0; 5]));
    payloads.map(|(kind, flags, payload)| frame(kind, flags, stream, payload)).into_iter().chain(unknown).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_any_kind_of_frame_in_any_state_of_its_stream_ends_the_connection() {
    let service = Service::start().await;
    for (state, stream, beginning) in states() {
        for again in kinds(stream) {
            let again = again.repeat(100);
            let attack = tokio::time::timeout(NOTICED_WITHIN, flood(&service, &beginning, &again)).await;
            attack.unwrap_or_else(|_| panic!("{state}, {:?}: it goes on", &again[..9]));
        }
        serves(&service).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_behaves_is_served_beside_floods() {
    let service = Service::start().await;
    let alone = median_of_calls(&service).await;
    let (address, stop) = (service.address, std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let mut attackers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let stop = std::sync::Arc::clone(&stop);
        attackers.spawn(async move {
            let beginning = [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 4, 1, &[0x83, 0x86, 0x84])].concat();
            let again = [frame(8, 0, 1, &[0, 0, 0, 1]), frame(8, 0, 0, &[0, 0, 0, 1])].concat().repeat(500);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                if stream.write_all(&beginning).await.is_ok() {
                    while stream.write_all(&again).await.is_ok() {}
                }
                // The attacker reconnects, but not at once.
                tokio::time::sleep(DRIP).await;
            }
        });
    }
    let beside = median_of_calls(&service).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    attackers.shutdown().await;
    assert!(beside < 20 * alone + Duration::from_millis(50), "alone {alone:?}, beside floods {beside:?}");
}

async fn median_of_calls(service: &Service) -> Duration {
    let mut times = Vec::new();
    for _ in 0..41 {
        let begun = std::time::Instant::now();
        assert!(answers(&mut connect(service).await).await);
        times.push(begun.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
async fn headers_that_unpack_to_more_than_they_may_end_the_connection() {
    let service = Service::start().await;
    let headers = frame(1, 0, 1, &[0x82, 0x86, 0x84]);
    let indexed = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4_000]].concat();
    let bomb = [&indexed[..], &[0xbe; 12_000]].concat();
    let floods: [(&str, Vec<u8>, Vec<u8>); 2] = [
        ("headers without end", headers, frame(9, 0, 1, &[])),
        ("headers that unpack to 48 MB", vec![], frame(1, 5, 1, &bomb)),
    ];
    for (name, beginning, again) in floods {
        let attack = tokio::time::timeout(NOTICED_WITHIN, flood(&service, &beginning, &again)).await;
        attack.unwrap_or_else(|_| panic!("{name}: it goes on"));
    }
    serves(&service).await;
}

#[tokio::test]
async fn headers_that_are_too_long_or_too_many_are_431_on_both_versions() {
    let service = Service::start().await;
    let long = "x".repeat(20_000);
    let mut client = Http2::over(connect(&service).await).await;
    let (response, _) = client.begin(&head("GET", "/healthz", &[("x-long", &long)])).await;
    assert_eq!(response.await.unwrap().status(), 431);
    // The error is of the call, not of the connection.
    assert_eq!(client.earn("after").await.unwrap().code, 0);

    let many = (0..200).map(|index| format!("x-{index}: y\r\n")).collect::<Vec<_>>().concat();
    for headers in [format!("x: {}\r\n", "x".repeat(400_000)), many] {
        let (mut read, mut write) = connect(&service).await.into_split();
        let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let writing = tokio::spawn(async move { write.write_all(head.as_bytes()).await });
        let answer = until_closed(&mut read).await;
        assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
        writing.abort();
    }
    serves(&service).await;
}

#[tokio::test]
async fn no_more_calls_than_allowed_are_under_way_on_one_connection() {
    let service = Service::start_with(&catalog(), &["--max-streams", "3"]).await;
    let mut client = Http2::over(connect(&service).await).await;
    assert_eq!(client.earn("first").await.unwrap().code, 0);
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(client.begin(&grpc_head(&[])).await);
    }
    let fourth = tokio::time::timeout(4 * DRIP, client.earn("fourth")).await;
    assert!(fourth.is_err(), "the client was told to wait");
    drop(calls);
    assert_eq!(client.earn("last").await.unwrap().code, 0);
}
