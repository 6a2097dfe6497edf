//! Every call means exactly what was sent, or is refused before any effect: over all routes, in every form.

use std::collections::BTreeMap;

use bytes::Bytes;
use cart_promotions::proto::{BulkEarnRequest, DESCRIPTOR_SET};
use cart_promotions::wire::json::{UnknownFields, from_slice};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::isolation::{self, places, request};
use crate::support::*;

const BULK_EARN: &str = "/cartpromotions.v1.EarnService/BulkEarn";

/// An HTTP form of a method.
#[derive(Debug, Clone)]
struct HttpForm {
    verb: String,
    /// The path, with its variables by their proto names.
    path: String,
    variables: Vec<String>,
}

/// Returns every HTTP form of the descriptor set.
fn routes() -> Vec<HttpForm> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let read = |method: MethodDescriptor| {
        let options = method.options();
        let rule = options.get_extension(&http);
        let rule = rule.as_message().unwrap();
        let verb = ["get", "put", "post", "delete"].into_iter().find(|verb| rule.has_field_by_name(verb)).unwrap();
        let path = rule.get_field_by_name(verb).unwrap().as_str().unwrap().to_owned();
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let json_name = |name: &str| method.input().get_field_by_name(name).unwrap().json_name().to_owned();
        let variables = names.map(json_name).collect();
        HttpForm { verb: verb.to_uppercase(), path, variables }
    };
    pool.services()
        .filter(|service| service.package_name() == "cartpromotions.v1")
        .flat_map(|service| service.methods().map(&read).collect::<Vec<_>>())
        .collect()
}

/// Sends a request over this version of HTTP. Returns status, headers including trailers, and body.
async fn send(
    caller: &TestCaller,
    version: http::Version,
    request: http::request::Builder,
    body: Vec<u8>,
) -> ExactAnswer {
    let stream = TcpStream::connect(caller.address).await.unwrap();
    // Otherwise each request over HTTP/2 waits for a delayed acknowledgement of the handshake.
    stream.set_nodelay(true).unwrap();
    let io = TokioIo::new(stream);
    let request = request.version(version).body(Full::new(Bytes::from(body))).unwrap();
    let response = if version == http::Version::HTTP_2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let mut headers = parts.headers;
    headers.extend(body.trailers().cloned().unwrap_or_default());
    ExactAnswer { status: parts.status.as_u16(), headers, body: body.to_bytes().to_vec() }
}

#[derive(Debug)]
struct ExactAnswer {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl ExactAnswer {
    fn content_type(&self) -> &str {
        self.headers.get("content-type").map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the messages of a JSON refusal.
    fn messages(&self) -> Vec<String> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        errors.iter().map(|error| error["message"].as_str().unwrap().to_owned()).collect()
    }
}

fn to(caller: &TestCaller, version: http::Version, verb: &str, path: &str) -> http::request::Builder {
    let builder = http::Request::builder().method(verb).header("authorization", basic("demo:demo"));
    if version == http::Version::HTTP_2 {
        builder.uri(caller.url(path))
    } else {
        builder.uri(path).header("host", caller.address.to_string())
    }
}

/// Returns the bytes as a path segment, in one of the possible encodings.
fn encoded(bytes: &[u8], way: u8) -> String {
    let each = bytes.iter().map(|byte| match way {
        0 if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        1 => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    });
    each.collect()
}

#[test]
fn a_variable_of_a_path_is_what_was_sent_or_is_named_and_nothing_speaks_for_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = runtime.block_on(Service::start());
    let routes: Vec<_> = routes().into_iter().filter(|route| !route.variables.is_empty()).collect();
    assert!(routes.len() >= 8, "{routes:?}");
    let recorded = || runtime.block_on(service.database().count("SELECT max(catalog_version) FROM orgs"));
    let before = recorded();
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..12),
        prop::collection::vec(128_u8..=255, 1..4),
        Just(b"\xed\xa0\x80".to_vec()),
        "[\0-\u{9f}\u{202e}/%?#]{1,6}".prop_map(String::into_bytes),
    ];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) };
    let tried = proptest::test_runner::TestRunner::new(config).run(&(bytes, 0_u8..3), |(bytes, way)| {
        // The segment is not an id of anything, whatever its bytes are.
        let segment = format!("{}-", encoded(&bytes, way));
        for route in &routes {
            let variable = &route.variables[0];
            // Query and body both name an active recorded promotion.
            let spoken_for = match variable.as_str() {
                "promotionId" => json!(TEN_OFF),
                "customerId" => json!(CUSTOMER),
                _ => json!("0123456789abcdef01234567"),
            };
            let said = spoken_for.as_str().map_or_else(|| spoken_for.to_string(), str::to_owned);
            let parts = route.path.split('/').map(|part| if part.starts_with('{') { segment.as_str() } else { part });
            let path = parts.collect::<Vec<_>>().join("/");
            let path = format!("{path}?{variable}={said}&{}={said}", route.path.split(['{', '}']).nth(1).unwrap());
            let mut body = json!({"customerId": CUSTOMER, "earnedFromType": "ACTIVITY", "earnedFromId": "a",
                "eventTime": 1_761_750_000_000_i64, "eventDetails": {"id": "e", "type": "x"}, "add": [7],
                "name": "Other", "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64});
            body[variable.as_str()] = spoken_for;
            let request = to(&service, http::Version::HTTP_11, &route.verb, &path);
            let request = request.header("content-type", "application/json");
            let told = runtime.block_on(send(&service, http::Version::HTTP_11, request, body.to_string().into_bytes()));
            prop_assert!((400..500).contains(&told.status), "{} {}: {:?}", route.verb, path, told);
            if String::from_utf8(bytes.clone()).is_err() {
                let named = told
                    .messages()
                    .iter()
                    .any(|message| message.starts_with(&format!("{variable}: cannot be decoded")));
                prop_assert!(told.status == 400 && named, "{} {}: {:?}", route.verb, path, told);
            }
        }
        Ok(())
    });
    tried.unwrap();
    assert_eq!((runtime.block_on(service.granted()), recorded()), (0, before), "nothing is recorded");
    // A value means the same in every encoding.
    for way in 0..3 {
        for (action, active) in [("deactivate", false), ("activate", true)] {
            let path = format!("/api_gateway/v1/promotions/{}/{action}", encoded(TEN_OFF.as_bytes(), way));
            let request = to(&service, http::Version::HTTP_11, "PUT", &path);
            let told = runtime.block_on(send(&service, http::Version::HTTP_11, request, Vec::new()));
            let body: Value = serde_json::from_slice(&told.body).unwrap();
            assert_eq!((told.status, &body["data"]["active"]), (200, &json!(active)), "{path}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_decoded_is_400_and_names_the_parameter() {
    let service = Service::start().await;
    for (query, violation) in [
        ("limit=%ff", "limit: cannot be decoded"),
        ("pageToken=%zz", "pageToken: cannot be decoded"),
        ("promotionIds=%", "promotionIds: cannot be decoded"),
        ("x=%c3", "a parameter of the query: cannot be decoded"),
        ("%ff=1", "the query has a name that cannot be decoded"),
        ("limit=9007199254740993", "limit: must be a 32-bit integer"),
        ("limit=1.5", "limit: must be a 32-bit integer"),
        ("limit=4294967297", "limit: must be a 32-bit integer"),
    ] {
        let request = to(&service, http::Version::HTTP_11, "GET", &format!("/api_gateway/v1/promotions?{query}"));
        let told = send(&service, http::Version::HTTP_11, request, Vec::new()).await;
        assert_eq!(told.status, 400, "{query}: {told:?}");
        assert!(told.messages()[0].starts_with(violation), "{query}: {told:?}");
    }
    let request = to(&service, http::Version::HTTP_11, "GET", "/api_gateway/v1/promotions?limit=1e0&x=%C3%A9");
    assert_eq!(send(&service, http::Version::HTTP_11, request, Vec::new()).await.status, 200);
}

const CONTENT_TYPES: [&str; 14] = [
    "application/grpc",
    "application/grpc+proto",
    "Application/GRPC; x=y",
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc+json",
    "application/grpcfoo",
    "application/json",
    "Application/Json; Charset=\"UTF8\"",
    "application/json; charset=utf-16",
    "text/plain",
    "application/connect+proto",
    "",
];

/// Returns true if a client that sends this content type speaks gRPC.
fn speaks_grpc(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap().to_ascii_lowercase();
    ["application/grpc", "application/grpc+proto"].contains(&&*media_type)
}

#[tokio::test]
async fn whoever_calls_can_read_the_outcome_or_nothing_was_done() {
    let service = Service::start().await;
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let methods = pool.services().filter(|service| service.package_name() == "cartpromotions.v1");
    let methods = methods.flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut paths: Vec<_> =
        methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name())).collect();
    paths.extend(
        ["v1", "v1alpha"].map(|version| format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")),
    );
    paths.push("/grpc.health.v1.Health/Check".to_owned());
    paths.push("/cartpromotions.v1.EarnService/Unknown".to_owned());
    let (message, _) =
        from_slice::<BulkEarnRequest>(documented_request().to_string().as_bytes(), UnknownFields::Refuse).unwrap();
    let mut granted = 0;
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        for content_type in CONTENT_TYPES {
            for path in &paths {
                let message = if path == BULK_EARN { message.encode_to_vec() } else { Vec::new() };
                let frame = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
                let request = to(&service, version, "POST", path).header("te", "trailers");
                let request = request.header("content-type", content_type);
                let told = send(&service, version, request, frame).await;
                if version == http::Version::HTTP_2 && speaks_grpc(content_type) {
                    assert!(told.headers.contains_key("grpc-status"), "{version:?} {content_type} {path}: {told:?}");
                    assert_eq!(told.content_type(), "application/grpc", "{version:?} {content_type} {path}");
                    granted = granted.max(if path == BULK_EARN { 2 } else { 0 });
                } else {
                    assert_eq!(told.status, 415, "{version:?} {content_type} {path}: {told:?}");
                    assert!(told.messages()[0].starts_with("this path speaks gRPC"), "{told:?}");
                }
            }
            assert_eq!(service.granted().await, granted, "{version:?} {content_type}");
        }
    }
    assert_eq!(granted, 2, "the calls that could be answered were carried out");
}

#[tokio::test]
async fn json_paths_answer_in_json_whatever_the_content_type_says() {
    let service = Service::start().await;
    let mut paths: Vec<_> =
        routes().into_iter().map(|route| (route.verb, route.path.replace(['{', '}'], ""))).collect();
    let others = ["/healthz", "/readyz", "/openapi.json", "/nothing", "/api_gateway/v1/nothing/at/all"];
    paths.extend(others.map(|path| ("GET".to_owned(), path.to_owned())));
    paths.push(("POST".to_owned(), "/v3/oauth/token/generate".to_owned()));
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        for content_type in CONTENT_TYPES {
            for (verb, path) in &paths {
                for authorized in [true, false] {
                    let mut request = to(&service, version, verb, path).header("content-type", content_type);
                    if !authorized {
                        request.headers_mut().unwrap().remove("authorization");
                    }
                    let told = send(&service, version, request, b"{}".to_vec()).await;
                    let which = format!("{version:?} {content_type:?} {verb} {path} {authorized}: {told:?}");
                    assert_eq!(told.content_type(), "application/json", "{which}");
                    assert!(!told.headers.contains_key("grpc-status"), "{which}");
                    let probes = ["/healthz", "/readyz", "/openapi.json"].contains(&path.as_str());
                    assert!(probes || told.status >= 400 || authorized, "{which}");
                    assert!(told.status < 500, "{which}");
                }
            }
        }
    }
    assert_eq!(service.granted().await, 0);
}

#[tokio::test]
async fn what_a_grpc_call_may_not_be_is_told_with_what_may() {
    let service = Service::start().await;
    let (message, _) =
        from_slice::<BulkEarnRequest>(documented_request().to_string().as_bytes(), UnknownFields::Refuse).unwrap();
    let message = message.encode_to_vec();
    let frame = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    let call = |body: Vec<u8>, encoding: &'static str| {
        let request = to(&service, http::Version::HTTP_2, "POST", BULK_EARN).header("te", "trailers");
        let request = request.header("content-type", "application/grpc").header("grpc-encoding", encoding);
        send(&service, http::Version::HTTP_2, request, body)
    };
    let told = call(frame.clone(), "gzip").await;
    assert_eq!(
        (&told.headers["grpc-status"], &told.headers["grpc-accept-encoding"]),
        (&"12".parse().unwrap(), &"identity".parse().unwrap())
    );
    for second in [frame.clone(), frame[..frame.len() - 1].to_vec(), vec![0; 5], vec![0]] {
        let told = call([frame.clone(), second].concat(), "identity").await;
        assert_eq!(told.headers["grpc-status"], "3", "{told:?}");
    }
    assert_eq!(service.granted().await, 0);
    assert_eq!(call(frame, "identity").await.headers["grpc-status"], "0");
}

#[tokio::test]
async fn http_1_1_needs_one_host_and_chunked_alone() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let service = Service::start().await;
    let status = async |head: &str| {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    let long = |bytes: usize| format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(bytes));
    // Each of the two headers takes its name, its value and 32 bytes.
    let room = 16_384 - ("host".len() + "x".len() + 32) - ("x".len() + 32);
    for (head, expected) in [
        ("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "200"),
        ("GET /healthz HTTP/1.1\r\nHOST: [::1]:80\r\n\r\n".to_owned(), "200"),
        ("GET /healthz HTTP/1.0\r\n\r\n".to_owned(), "200"),
        ("GET /healthz HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET /healthz HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n".to_owned(), "400"),
        ("GET /healthz HTTP/1.1\r\nhost: x y\r\n\r\n".to_owned(), "400"),
        ("GET /healthz HTTP/1.1\r\nhost: u@x\r\n\r\n".to_owned(), "400"),
        ("POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), "404"),
        ("POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n".to_owned(), "404"),
        ("POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(), "400"),
        ("POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n".to_owned(), "400"),
        (long(room), "200"),
        (long(room + 1), "431"),
        (long(60_000), "431"),
    ] {
        assert_eq!(status(&head).await, expected, "{}", &head[..head.len().min(100)]);
    }
}

#[tokio::test]
async fn http_2_needs_one_host_in_its_authority_or_its_header() {
    let service = Service::start().await;
    let (message, _) =
        from_slice::<BulkEarnRequest>(documented_request().to_string().as_bytes(), UnknownFields::Refuse).unwrap();
    let message = message.encode_to_vec();
    let frame = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    for (authority, hosts, told) in [
        (Some("x:80"), &[][..], None),
        (Some("x"), &["X"], None),
        (Some("x"), &["x:80"], None),
        (Some("[::1]:8080"), &["[::1]:8080"], None),
        (None, &["x"], None),
        (Some("x"), &["y"], Some("the header Host must name the same host")),
        (Some("x"), &["x:8080"], Some("the header Host must name the same host")),
        (Some("x"), &[""], Some("the header Host must name the same host")),
        (Some("x"), &["x", "x"], Some("HTTP/2 allows one header Host at most")),
        (Some("u@x"), &[], Some("HTTP/2 needs :authority")),
        (Some("x"), &["u@x"], Some("HTTP/2 needs :authority")),
        (None, &["x y"], Some("HTTP/2 needs :authority")),
        (None, &[""], Some("HTTP/2 needs :authority")),
        (None, &[], Some("HTTP/2 needs :authority")),
    ] {
        for (verb, path, content_type) in
            [("POST", BULK_EARN, "application/grpc"), ("GET", "/api_gateway/v1/promotions", "application/json")]
        {
            let grpc = verb == "POST";
            let mut request = http::Request::builder().method(verb).header("te", "trailers");
            request = request.header("content-type", content_type).header("authorization", basic("demo:demo"));
            // The client library sends no authority for a path alone of an older version.
            request = match authority {
                Some(authority) => request.uri(format!("http://{authority}{path}")),
                None => request.uri(path).version(http::Version::HTTP_11),
            };
            for host in hosts {
                request = request.header("host", *host);
            }
            let told_as = over_http2(&service, request.body(()).unwrap(), if grpc { &frame } else { &[] }).await;
            let answer = format!("{told_as:?} {}", String::from_utf8_lossy(&told_as.body));
            let which = format!("{authority:?} {hosts:?} {path}: {answer}");
            match told {
                None => assert!(told_as.status == 200 && (!grpc || told_as.headers["grpc-status"] == "0"), "{which}"),
                Some(told) => {
                    let refused = if grpc { told_as.headers["grpc-status"] == "3" } else { told_as.status == 400 };
                    assert!(refused, "{which}");
                    // In gRPC metadata a message is percent-encoded.
                    assert!(answer.replace("%20", " ").contains(told), "{which}");
                }
            }
        }
    }
}

/// Sends a call over HTTP/2 with the headers as they are.
async fn over_http2(caller: &TestCaller, request: http::Request<()>, body: &[u8]) -> ExactAnswer {
    let (mut sender, connection) =
        h2::client::handshake(TcpStream::connect(caller.address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let (response, mut sending) = sender.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        sending.send_data(Bytes::copy_from_slice(body), true).unwrap();
    }
    let (parts, mut answer) = response.await.unwrap().into_parts();
    let (mut headers, mut body) = (parts.headers, Vec::new());
    while let Some(data) = answer.data().await {
        body.extend(data.unwrap());
    }
    headers.extend(answer.trailers().await.unwrap().unwrap_or_default());
    ExactAnswer { status: parts.status.as_u16(), headers, body }
}

#[tokio::test]
async fn a_timeout_of_grpc_that_cannot_be_read_is_refused_and_nothing_is_done() {
    let service = Service::start().await;
    let (message, _) =
        from_slice::<BulkEarnRequest>(documented_request().to_string().as_bytes(), UnknownFields::Refuse).unwrap();
    let message = message.encode_to_vec();
    let frame = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    for timeout in ["soon", "1", "S", "1s", "123456789m", "-1S", "1.5S", ""] {
        let request = to(&service, http::Version::HTTP_2, "POST", BULK_EARN).header("te", "trailers");
        let request = request.header("content-type", "application/grpc").header("grpc-timeout", timeout);
        let told = send(&service, http::Version::HTTP_2, request, frame.clone()).await;
        assert_eq!(told.headers["grpc-status"], "3", "{timeout:?}: {told:?}");
        let request = to(&service, http::Version::HTTP_11, "GET", "/api_gateway/v1/promotions");
        let told = send(&service, http::Version::HTTP_11, request.header("grpc-timeout", timeout), Vec::new()).await;
        assert!(told.status == 400 && told.messages()[0].starts_with("grpc-timeout: must be"), "{told:?}");
    }
    assert_eq!(service.granted().await, 0);
}

#[tokio::test]
async fn every_unary_call_of_grpc_is_one_message() {
    let service = Service::start().await;
    let pool = [DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET].map(|set| DescriptorPool::decode(set).unwrap());
    let methods =
        pool.iter().flat_map(DescriptorPool::services).flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut called = 0;
    for method in methods.filter(|method| !method.is_client_streaming()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        for second in [&[0, 0, 0, 0, 0][..], &[0], &[0, 0, 0, 0, 9]] {
            let request = to(&service, http::Version::HTTP_2, "POST", &path).header("te", "trailers");
            let request = request.header("content-type", "application/grpc");
            let told = send(&service, http::Version::HTTP_2, request, [&[0; 5], second].concat()).await;
            assert_eq!(told.headers["grpc-status"], "3", "{path} {second:?}: {told:?}");
            assert!(told.headers["grpc-message"].to_str().unwrap().contains("more%20than%20one"), "{path}: {told:?}");
        }
        called += 1;
    }
    assert!(called > 15, "{called}");
}

#[tokio::test]
async fn what_is_wrong_with_a_target_or_with_chunks_is_said() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let service = Service::start().await;
    let credentials = basic("demo:demo");
    let post = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {credentials}\r\nconnection: close\r\n");
    let chunks =
        |chunks: &str| format!("{post}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
    for (sent, status, told) in [
        ("CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n".to_owned(), "400", "the target of the request must be a path"),
        ("GET x HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "400", "the target of the request must be a path"),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "404", "* is unknown"),
        ("GET http://x/nothing HTTP/1.1\r\nhost: y\r\n\r\n".to_owned(), "404", "/nothing is unknown"),
        (chunks("zz\r\n{}\r\n0\r\n\r\n"), "400", "the chunks of the body are malformed"),
        (chunks("2\r\n{}x\r\n0\r\n\r\n"), "400", "the chunks of the body are malformed"),
        (chunks("fffffffffffffffff\r\n{}"), "400", "the chunks of the body are malformed"),
        (chunks("2\r\n{}\r\n0\r\n\r\n"), "400", "customerId"),
    ] {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(RECOVERED_WITHIN, stream.read_to_string(&mut answer)).await;
        read.expect("an answer").unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(told), "{sent:?}: {answer}");
    }
}

#[tokio::test]
async fn an_event_too_far_ahead_is_told_with_its_time_and_the_present_one() {
    let service = Service::start().await;
    let mut late = documented_request();
    late["eventTime"] = (NOW_MS + 86_400_001).into();
    late.as_object_mut().unwrap().remove("eventTimeISO");
    for endpoint in ENDPOINTS {
        let answer = service.earn(endpoint, &late).await;
        let told =
            "eventTime: must be at most 24 hours ahead of now, 2025-11-11T06:00:00Z: it is 2025-11-12T06:00:00.001Z";
        assert_eq!(answer.messages, [told], "{answer:?}");
    }
}

#[tokio::test]
async fn integers_of_a_body_are_read_from_their_literals() {
    let service = Service::start().await;
    let granted_to = async |literal: &str, event: &str| {
        let body = one_entry(event, TEN_OFF, 1).to_string().replace("566881933", literal);
        let answer = service.post(Some("demo:demo"), body).await;
        (answer.status, answer.code)
    };
    for (index, literal) in ["566881933.0", "5.66881933e8", "\"566881933\"", "\"56688193300e-2\""].iter().enumerate() {
        assert_eq!(granted_to(literal, &format!("{index}")).await, (200, 0), "{literal}");
    }
    for literal in
        ["566881933.5", "9007199254740991.5", "9223372036854775808", "1e400", "\"0566881933\"", "\"+566881933\""]
    {
        assert_eq!(granted_to(literal, "none").await, (400, 400), "{literal}");
    }
    assert_eq!(service.granted().await, 4);
    // Each 64-bit integer names another customer.
    for literal in ["9007199254740992", "9007199254740993", "9007199254740993.0"] {
        let exact = literal.trim_end_matches(".0");
        let body = one_entry("many", TEN_OFF, 1).to_string().replace("566881933", literal);
        let answer = service.post(Some("demo:demo"), body).await;
        assert_eq!(answer.messages, [format!("customer {exact} not found")], "{literal}");
    }
    let body = json!({"earnedFromType": "ACTIVITY"}).to_string();
    let answer = service.post(Some("demo:demo"), body).await;
    assert!(
        answer.messages.iter().any(|message| message.contains("customerId") && message.contains("missing")),
        "{answer:?}"
    );
    let mut only = documented_request();
    only.as_object_mut().unwrap().remove("customerId");
    for endpoint in ENDPOINTS {
        let answer = service.earn(endpoint, &only).await;
        assert_eq!(answer.code, 1006, "{answer:?}");
        assert!(answer.messages[0].contains("missing"), "{answer:?}");
    }
    // Ignored text must be UTF-8 too.
    let body = documented_request().to_string().replacen('{', "{\"passed over\":\"\u{7f}\",", 1).into_bytes();
    let body: Vec<_> = body.into_iter().map(|byte| if byte == 0x7f { 0xff } else { byte }).collect();
    let answer = service.post(Some("demo:demo"), body).await;
    assert_eq!((answer.status, answer.code), (400, 400), "{answer:?}");
}

/// Texts of every class of characters.
const TEXTS: [&str; 14] = [
    "\0",
    "a\0b",
    "\u{1}",
    "\t",
    "\n\r",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}",
    "\u{9b}",
    "\u{202e}",
    "\u{2028}",
    "\u{feff}",
    "\u{fffe}\u{10ffff}",
    "\u{e000}",
];

#[tokio::test]
async fn every_text_in_every_place_is_answered_as_any_other_or_refused() {
    let service = Service::start().await;
    let places: Vec<_> = places::texts();
    assert!(places.len() >= 25, "{places:?}");
    for (index, place) in places.iter().enumerate() {
        let mut codes = BTreeMap::new();
        for (number, text) in ["nothing"].iter().chain(&TEXTS).enumerate() {
            let mut at_endpoints = Vec::new();
            for endpoint in ENDPOINTS {
                let mut request = request(&service, &place.method, &format!("{endpoint:?} {index} {number}")).await;
                // The text is unique, so that no name is taken.
                place.put(&mut request, &json!(format!("{text}{number}{}", at_endpoints.len())));
                let answer = isolation::send(&service, endpoint, &place.method, &request).await;
                assert!(answer.status < 500 && answer.code != 500, "{endpoint:?} {place:?} {text:?}: {answer:?}");
                at_endpoints.push(answer.code);
            }
            assert_eq!(at_endpoints[0], at_endpoints[1], "{place:?} {text:?}");
            codes.insert(number, at_endpoints[0]);
            let refused = [400, 725].contains(&at_endpoints[0]);
            assert!(
                refused || at_endpoints[0] == codes[&0],
                "{place:?} {text:?}: {}, not {}",
                at_endpoints[0],
                codes[&0]
            );
            assert!(
                refused || !text.contains('\0') || at_endpoints[0] == 404,
                "{place:?} {text:?}: U+0000 is recorded"
            );
        }
    }
}
