//! Limits of every route: the size of its body, the time in which the body arrives, and the lifetime of a stream.

use std::fmt;

use bytes::Bytes;
use cart_promotions::proto::DESCRIPTOR_SET;
use prost_reflect::DescriptorPool;

use super::*;
use crate::openapi::Document;

/// Longest body of a route without one, of a token request, of a reflection message and of a call, in bytes.
const SMALL: usize = 4 * 1024;
const TOKEN: usize = 8 * 1024;
const REFLECTION: usize = 64 * 1024;
const CALL: usize = 1024 * 1024;

/// A route, or a path that does not exist.
#[derive(Clone)]
pub struct Route {
    pub verb: String,
    pub path: String,
    pub grpc: bool,
    /// Longest body, or message, in bytes. `None` if the route reads nothing.
    pub limit: Option<usize>,
    /// True if the request is a stream of messages.
    pub messages: bool,
    /// True if the response is a stream of messages.
    pub stream: bool,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.path)
    }
}

impl Route {
    /// Returns the head of a call of the route, with credentials.
    pub fn head(&self) -> http::Request<()> {
        let authorization = ("authorization", &*basic("demo:demo"));
        let json = [("content-type", "application/json")];
        let headers = if self.grpc { GRPC } else { &json };
        head(&self.verb, &self.path, &[headers, &[authorization]].concat())
    }

    /// Returns a body of this size, or a message.
    fn body(&self, size: usize) -> Bytes {
        if self.grpc { framed(0, &vec![0xff; size]) } else { vec![b' '; size].into() }
    }

    /// Returns the beginning of a body of this size that never ends.
    pub fn beginning(&self, size: usize) -> Bytes {
        self.body(size).slice(..self.body(size).len() - 1)
    }

    /// Returns the reason of a refusal, or another text for other outcomes.
    async fn outcome(&self, response: h2::client::ResponseFuture) -> String {
        let told = async {
            if self.grpc {
                return Http2::status(response).await.map_or_else(|error| error.to_string(), |status| status.reason);
            }
            match response.await.map(|response| response.status().as_u16()) {
                Ok(408) => "TOO_SLOW".to_owned(),
                Ok(413) => "TOO_LARGE".to_owned(),
                Ok(other) => other.to_string(),
                Err(error) => error.to_string(),
            }
        };
        tokio::time::timeout(NOTICED_WITHIN, told).await.unwrap_or_else(|_| panic!("{self:?}: no answer"))
    }
}

/// Returns every route: of the OpenAPI document, of the descriptor sets, and two that do not exist.
pub async fn routes(service: &Service) -> Vec<Route> {
    let document = Document::of(service).await;
    let mut routes: Vec<_> = document
        .operations()
        .into_iter()
        .map(|operation| Route {
            verb: operation.verb.to_uppercase(),
            path: operation.path.replace(['{', '}'], "0"),
            grpc: false,
            limit: Some(match operation.path {
                path if path.contains("token") => TOKEN,
                _ if operation.value["requestBody"].is_object() => CALL,
                _ => SMALL,
            }),
            messages: false,
            stream: false,
        })
        .collect();
    let sets = [
        DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    for set in sets {
        let pool = DescriptorPool::decode(set).unwrap();
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let service = method.parent_service().full_name();
            routes.push(Route {
                verb: "POST".to_owned(),
                path: format!("/{service}/{}", method.name()),
                grpc: true,
                limit: Some(match service {
                    "grpc.health.v1.Health" => SMALL,
                    _ if method.is_client_streaming() => REFLECTION,
                    _ => CALL,
                }),
                messages: method.is_client_streaming(),
                stream: method.is_server_streaming(),
            });
        }
    }
    for (verb, path) in [("POST", "/unknown"), ("PATCH", PATH)] {
        let (verb, path) = (verb.to_owned(), path.to_owned());
        routes.push(Route { verb, path, grpc: false, limit: None, messages: false, stream: false });
    }
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

/// Sends the result of `body` for each route on a connection of its own. Returns the outcomes.
async fn outcomes(service: &Service, ends: bool, body: impl Fn(&Route) -> Option<Bytes>) -> Vec<(Route, String)> {
    let mut calls = tokio::task::JoinSet::new();
    for route in routes(service).await {
        let Some(bytes) = body(&route) else { continue };
        let stream = connect(service).await;
        calls.spawn(async move {
            let mut connection = Http2::over(stream).await;
            let (response, mut body) = connection.try_begin_with(&route.head(), true).await.unwrap();
            let sending = tokio::spawn(async move {
                if send(&mut body, bytes).await && ends {
                    let _ = body.send_data(Bytes::new(), true);
                }
                // The stream stays open, because the caller waits for the response.
                std::future::pending::<()>().await;
            });
            let outcome = route.outcome(response).await;
            sending.abort();
            (route, outcome)
        });
    }
    calls.join_all().await
}

#[tokio::test]
async fn a_body_that_never_ends_is_ended_on_every_route() {
    let service = Service::start_with(&catalog(), &["--body-timeout-ms", "300"]).await;
    for size in [1, 1_000] {
        for (route, outcome) in outcomes(&service, false, |route| Some(route.beginning(size))).await {
            let expected = match (&route.limit, &*route.verb) {
                (Some(_), _) => "TOO_SLOW",
                (None, "POST") => "404",
                (None, _) => "405",
            };
            assert_eq!(outcome, expected, "{route:?}, {size} bytes");
        }
    }
    // The same over HTTP/1.1, where the length is declared.
    let mut calls = tokio::task::JoinSet::new();
    for route in routes(&service).await.into_iter().filter(|route| !route.grpc && route.limit.is_some()) {
        let mut stream = connect(&service).await;
        calls.spawn(async move {
            let Route { verb, path, .. } = &route;
            let authorization = basic("demo:demo");
            let head = format!(
                "{verb} {path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            let read = tokio::time::timeout(NOTICED_WITHIN, stream.read_exact(&mut answer)).await;
            read.unwrap_or_else(|_| panic!("{route:?}: no answer")).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 408", "{route:?}");
        });
    }
    assert!(calls.len() > 15, "{}", calls.len());
    calls.join_all().await;
    serves(&service).await;
}

#[tokio::test]
async fn every_route_takes_a_body_of_its_limit_and_none_of_a_byte_more() {
    let service = Service::start().await;
    for (beyond, refused) in [(0, false), (1, true)] {
        let sent = |route: &Route| route.limit.map(|limit| route.body(limit + beyond));
        for (route, outcome) in outcomes(&service, true, sent).await {
            assert_eq!(outcome == "TOO_LARGE", refused, "{route:?}, {beyond} beyond: {outcome}");
            assert_ne!(outcome, "TOO_SLOW", "{route:?}");
        }
    }
    // A route without a body does not accept a megabyte, and a message of too great a declared length is refused at
    // once.
    let megabyte = |route: &Route| (route.limit == Some(SMALL)).then(|| route.body(CALL));
    let declared = |route: &Route| {
        let length = u32::try_from(route.limit? + 1).unwrap();
        route.grpc.then(|| Bytes::from([&[0][..], &length.to_be_bytes()].concat()))
    };
    let (megabytes, declared) = (outcomes(&service, true, megabyte).await, outcomes(&service, false, declared).await);
    assert!(megabytes.len() > 8 && declared.len() > 16, "{} {}", megabytes.len(), declared.len());
    for (route, outcome) in megabytes.into_iter().chain(declared) {
        assert_eq!(outcome, "TOO_LARGE", "{route:?}");
    }
    serves(&service).await;
}

#[tokio::test]
async fn a_stream_that_is_never_finished_is_ended_in_good_order() {
    let service = Service::start_with(&catalog(), &["--stream-lifetime-ms", "300"]).await;
    // An unknown name gets a response, and so does a question without a name.
    let question = |route: &Route| route.stream.then(|| if route.messages { Bytes::new() } else { framed(0, &[]) });
    let mut streams = 0;
    for route in routes(&service).await {
        let Some(question) = question(&route) else { continue };
        let mut connection = Http2::over(connect(&service).await).await;
        let (response, mut body) = connection.try_begin_with(&route.head(), true).await.unwrap();
        // A `Watch` has sent its whole request.
        body.send_data(question, !route.messages).unwrap();
        let status = tokio::time::timeout(NOTICED_WITHIN, Http2::status(response)).await;
        let status = status.unwrap_or_else(|_| panic!("{route:?} goes on")).unwrap();
        assert_eq!(status.code, 0, "{route:?}: {status:?}");
        streams += 1;
    }
    assert_eq!(streams, 3, "watching, and reflection in both versions");
}

#[tokio::test]
async fn a_question_of_reflection_that_cannot_be_read_is_refused_as_documented() {
    let service = Service::start().await;
    for version in ["v1", "v1alpha"] {
        for (message, compressed, code, reason) in [
            (&[0xff; 3][..], 0, 3, "INVALID_REQUEST"),
            (&[0xff; 3], 1, 3, "INVALID_REQUEST"),
            (&[0xff], 7, 3, "INVALID_REQUEST"),
        ] {
            let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            let mut connection = Http2::over(connect(&service).await).await;
            let (response, mut body) = connection.begin(&head("POST", &path, GRPC)).await;
            body.send_data(framed(compressed, message), true).unwrap();
            let status = Http2::status(response).await.unwrap();
            assert_eq!((status.code, &*status.reason), (code, reason), "{version} {message:?} {compressed}");
        }
        let path = format!("/grpc.reflection.{version}.ServerReflection/Other");
        let mut connection = Http2::over(connect(&service).await).await;
        let (response, mut body) = connection.begin(&head("POST", &path, GRPC)).await;
        body.send_data(framed(0, &[]), true).unwrap();
        let status = Http2::status(response).await.unwrap();
        assert_eq!((status.code, &*status.reason), (12, "UNKNOWN_PATH"), "{version}");
    }
}
