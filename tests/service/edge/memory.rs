//! Memory of bodies and responses: limited in all, and shared so that no caller is refused for the memory that others
//! hold.

use bytes::Bytes;
use tokio::net::TcpSocket;

use super::http2::PREFACE;
use super::routes::routes;
use super::*;
use crate::server_process::Process;

/// Size of each memory in the tests of shares, in MiB.
const MEMORY_MIB: &str = "8";
/// Number of calls that a connection may have at a time.
const STREAMS: usize = 200;
/// Number of half-sent calls of each route: in all, fewer than those for which connections of strangers give way.
const HALF_SENT_CALLS: usize = 50;
/// Size of each half-sent body at most, in bytes: together more than the share of one client.
const HALF_SENT_BYTES: usize = 160 * 1024;
/// Number of addresses of callers without credentials.
const ADDRESSES: u8 = 10;
/// Resident memory of a server under these attacks at most, in MiB.
const MAX_RESIDENT_MIB: u64 = 150;
/// Resident memory beyond that at rest that a server keeps after these attacks at most, in MiB.
const MAX_KEPT_MIB: u64 = 40;
/// Number of earnings within which a server returns the memory of these attacks.
const RETURNED_WITHIN_CALLS: usize = 10_000;

const TOKEN: &str = "/v3/oauth/token/generate";

/// Calls that are held open.
#[derive(Default)]
struct HeldCalls {
    connections: Vec<Http2>,
    calls: Vec<(h2::client::ResponseFuture, h2::SendStream<Bytes>)>,
}

impl HeldCalls {
    /// Begins this number of calls on a connection, each with these bytes of a body that continues.
    async fn begin(&mut self, stream: TcpStream, head: &http::Request<()>, bodies: Vec<Bytes>) {
        let mut connection = Http2::over(stream).await;
        for bytes in bodies {
            let (response, mut body) = connection.try_begin_with(head, true).await.unwrap();
            send(&mut body, bytes).await;
            self.calls.push((response, body));
        }
        connection.reached().await;
        self.connections.push(connection);
    }
}

async fn connect_from(address: u8, to: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 1, address], 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Checks that a modest client is served over gRPC and JSON: with a body of 64 KiB, a token, and a probe.
async fn serves_a_modest_client(service: &Service, round: &str) {
    for endpoint in ENDPOINTS {
        let mut request = one_entry(&format!("{round} {endpoint:?}"), OTHERS, 1);
        request["orgId"] = 3.into();
        let answer = match endpoint {
            Endpoint::Grpc => service.earn_as(endpoint, Some("other:other"), &request).await,
            Endpoint::Json => {
                request["note"] = "x".repeat(64_000).into();
                service.post(Some("other:other"), request.to_string()).await
            }
        };
        assert_eq!(answer.code, 0, "{round}, {endpoint:?}: {answer:?}");
    }
    let mut health = tonic_health::pb::health_client::HealthClient::new(service.channel());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
    let pair = r#"{"key": "other", "secret": "other"}"#;
    let token = service.http().post(service.url(TOKEN)).header("content-type", "application/json").body(pair);
    assert_eq!(token.send().await.unwrap().status(), 200, "{round}");
}

/// Returns the code of the next earning of `demo`.
async fn demo_is_told(service: &Service, event: &str) -> i64 {
    service.post(Some("demo:demo"), one_entry(event, TEN_OFF, 1).to_string()).await.status
}

/// Checks that `demo` is served again once the held memory is returned.
async fn demo_recovers(service: &Service) {
    let recovered = async {
        while demo_is_told(service, "again").await != 200 {
            tokio::time::sleep(DRIP).await;
        }
    };
    tokio::time::timeout(RECOVERED_WITHIN, recovered).await.expect("there is room again");
}

#[tokio::test]
async fn bodies_of_a_greedy_client_and_of_strangers_leave_room_for_a_modest_one() {
    let service = Service::start_with(&catalog(), &["--max-body-memory-mib", MEMORY_MIB]).await;
    serves_a_modest_client(&service, "before").await;
    let mut greedy = HeldCalls::default();
    // The bodies get smaller until none fits.
    for length in [900 * 1024, 200 * 1024, 60 * 1024, 1_000] {
        greedy.begin(connect(&service).await, &grpc_head(&[]), vec![Bytes::from(vec![0; length]); 20]).await;
    }
    greedy.begin(connect(&service).await, &grpc_head(&[]), vec![Bytes::from(vec![0; 1]); STREAMS]).await;
    assert_eq!(demo_is_told(&service, "greedy").await, 503);
    serves_a_modest_client(&service, "beside a greedy client").await;

    let mut strangers = HeldCalls::default();
    let generate = head("POST", TOKEN, &[("content-type", "application/json")]);
    for address in 1..=ADDRESSES {
        // More than there is memory for, and fewer than the calls for which connections give way.
        let stream = connect_from(address, service.address).await;
        strangers.begin(stream, &generate, vec![vec![b' '; 8_000].into(); STREAMS / 2]).await;
    }
    let mut refused = Http2::over(connect_from(1, service.address).await).await;
    let (response, mut body) = refused.begin(&generate).await;
    body.send_data(Bytes::from_static(b"{}"), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 503, "strangers hold their part");
    serves_a_modest_client(&service, "beside strangers, too").await;
    drop((greedy, strangers));
    demo_recovers(&service).await;
}

/// Returns a request whose response is `count` times eight kilobytes.
fn with_payload(event: &str, count: i64) -> serde_json::Value {
    let mut request = one_entry(event, TEN_OFF, count);
    request["eventDetails"]["eventPayload"] = json!({"text": "x".repeat(8_000)});
    request
}

#[tokio::test]
async fn answers_that_a_greedy_client_does_not_take_leave_room_for_a_modest_one() {
    let service = Service::start_with(&catalog(), &["--max-answer-memory-mib", MEMORY_MIB]).await;
    for count in [7, 300] {
        assert_eq!(service.earn(Endpoint::Json, &with_payload(&format!("of {count}"), count)).await.code, 0);
    }
    let authorization = basic("demo:demo");
    let headers = [("content-type", "application/json"), ("authorization", &*authorization)];
    let mut connection = Http2::over(connect(&service).await).await;
    let (mut unread, mut refused) = (Vec::new(), 0);
    // Large responses come until one is refused; then small ones, until no new call is admitted.
    for count in [300, 7] {
        for _ in 0..STREAMS - 10 {
            let (response, mut body) = connection.begin(&head("POST", PATH, &headers)).await;
            // A call that is refused before its body is read takes no body.
            if send(&mut body, with_payload(&format!("of {count}"), count).to_string().into()).await {
                let _ = body.send_data(Bytes::new(), true);
            }
            let response = tokio::time::timeout(NOTICED_WITHIN, response).await.expect("an answer").unwrap();
            if response.status() == 503 {
                refused += 1;
                break;
            }
            unread.push(response);
        }
    }
    assert_eq!(refused, 2, "{} answers wait", unread.len());
    let granted = service.granted().await;
    assert_eq!(demo_is_told(&service, "greedy").await, 503);
    assert_eq!(service.granted().await, granted, "nothing is done for it");
    serves_a_modest_client(&service, "beside answers that nobody takes").await;
    drop((unread, connection));
    demo_recovers(&service).await;
}

/// Returns the resident memory of a process, in MiB.
fn resident_mib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_messages_of_every_route_stay_within_the_memory_of_bodies() {
    let service = Service::start().await;
    let all = routes(&service).await;
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["--demo", "--listen", "127.0.0.1:0"]);
    let rest = resident_mib(&process);
    let mut attacks = tokio::task::JoinSet::new();
    for route in all.into_iter().filter(|route| route.limit.is_some()) {
        let address = process.caller.address;
        attacks.spawn(async move {
            let mut held = HeldCalls::default();
            let body = route.beginning(route.limit.unwrap_or_default().min(HALF_SENT_BYTES));
            held.begin(TcpStream::connect(address).await.unwrap(), &route.head(), vec![body; HALF_SENT_CALLS]).await;
            held
        });
    }
    let mut highest = rest;
    let mut held = Vec::new();
    let begun = async {
        while !attacks.is_empty() {
            tokio::select! {
                Some(begun) = attacks.join_next() => held.push(begun.unwrap()),
                () = tokio::time::sleep(DRIP) => {}
            }
            highest = highest.max(resident_mib(&process));
            assert!(highest <= MAX_RESIDENT_MIB, "{highest} MiB, {rest} at rest");
        }
    };
    tokio::time::timeout(Duration::from_mins(1), begun).await.expect("the server reads");
    println!("{rest} MiB at rest, at most {highest}");
    drop(held);
    process.caller.earn_once_recovered(Endpoint::Json, &one_entry("recovered", TEN_OFF, 1)).await;
    // The allocator returns what is free while a process works, so calls are counted, and no time.
    for call in 0.. {
        let resident = resident_mib(&process);
        if resident <= rest + MAX_KEPT_MIB {
            break;
        }
        assert!(call < RETURNED_WITHIN_CALLS, "{resident} MiB after {call} calls, {rest} at rest");
        let endpoint = ENDPOINTS[call % ENDPOINTS.len()];
        let earned = process.caller.earn(endpoint, &one_entry(&format!("afterwards {call}"), TEN_OFF, 1)).await;
        assert_eq!(earned.code, 0, "{earned:?}");
    }
}

/// Returns the bytes of a connection with a window of zero, and of as many calls as it may have at a time, to a path that
/// does not exist: GET, http, :path, :authority.
fn calls_that_are_not_taken() -> Vec<u8> {
    let block = [&[0x82, 0x86, 0x04, 8][..], b"/nowhere", &[0x01, 1], b"x"].concat();
    let mut greedy = [PREFACE, &frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    for call in 0..u32::try_from(STREAMS).unwrap() - 1 {
        greedy.extend(frame(1, 5, 2 * call + 1, &block));
    }
    greedy
}

#[tokio::test]
async fn connections_of_strangers_with_many_calls_at_a_time_give_way_and_others_stay() {
    let service = Service::start().await;
    let mut known = Http2::over(connect(&service).await).await;
    assert_eq!(known.earn("before").await.unwrap().code, 0);
    let mut modest = connect(&service).await;
    assert!(answers(&mut modest).await);
    let greedy = calls_that_are_not_taken();
    let mut connections = Vec::new();
    // The limit is 2,048 calls beyond eight of each connection, and 4,096 that run.
    for _ in 0..60 {
        let mut stream = connect(&service).await;
        stream.write_all(&greedy).await.unwrap();
        connections.push(stream);
    }
    // Sooner than for a response that is not read.
    let ended = tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut connections[0])).await;
    ended.expect("the one that is idle the longest gives way");
    assert!(answers(&mut modest).await, "a connection of few calls stays");
    assert_eq!(known.earn("after").await.unwrap().code, 0, "one with credentials stays");
}
