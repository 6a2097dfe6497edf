//! Calls over gRPC, directly on HTTP/2, because the callers share the machine with the server that they measure.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::header::{AUTHORIZATION, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use tokio::net::TcpStream;

use crate::catalog;
use crate::load::{ExpectedContent, LoadCaller};
use crate::requests::MeasuredCall;

/// Number of connections that callers share, about that of a few busy clients.
const CONNECTIONS: usize = 4;
/// Number of callers on a connection at most: a server allows 200 calls under way on one.
const MAX_CALLERS_PER_CONNECTION: usize = 200;
/// The gRPC status of a call that is refused because too many wait.
const UNAVAILABLE: &str = "14";
/// Window of a call and of a connection, in bytes, large enough that no response waits for it.
const CALL_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// A caller that makes one call at a time on a shared connection.
#[derive(Clone)]
pub struct GrpcCaller {
    connection: SendRequest<Bytes>,
    uri: Uri,
    headers: HeaderMap,
}

/// Opens connections and returns `count` callers on them.
pub async fn callers(address: SocketAddr, call: MeasuredCall, count: usize) -> Vec<GrpcCaller> {
    callers_as(catalog::AUTHORIZATION, address, call, count).await
}

/// Returns callers like [`callers`], with other credentials.
pub async fn callers_as(
    authorization: &'static str,
    address: SocketAddr,
    call: MeasuredCall,
    count: usize,
) -> Vec<GrpcCaller> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS.max(count.div_ceil(MAX_CALLERS_PER_CONNECTION)) {
        connections.push(connect(address).await);
    }
    let uri: Uri = format!("http://{address}{}", call.path()).parse().unwrap();
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
        (TE, HeaderValue::from_static("trailers")),
        (AUTHORIZATION, HeaderValue::from_static(authorization)),
    ]);
    let caller = |connection: &SendRequest<Bytes>| GrpcCaller {
        connection: connection.clone(),
        uri: uri.clone(),
        headers: headers.clone(),
    };
    connections.iter().cycle().take(count).map(caller).collect()
}

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(CALL_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(async move { connection.await.expect("a connection") });
    sender
}

impl LoadCaller for GrpcCaller {
    async fn call(&mut self, request: Bytes, expected: Option<ExpectedContent>) -> bool {
        poll_fn(|context| self.connection.poll_ready(context)).await.unwrap();
        let mut head = Request::new(());
        *head.method_mut() = Method::POST;
        *head.uri_mut() = self.uri.clone();
        head.headers_mut().clone_from(&self.headers);
        let (response, mut body) = self.connection.send_request(head, false).unwrap();
        body.send_data(request, true).unwrap();

        let response = response.await.unwrap();
        if response.headers().get("grpc-status").is_some_and(|status| status == UNAVAILABLE) {
            return false;
        }
        let mut body = response.into_body();
        let mut message = Vec::new();
        while let Some(part) = body.data().await {
            let part = part.unwrap();
            body.flow_control().release_capacity(part.len()).unwrap();
            if expected.is_some() {
                message.extend_from_slice(&part);
            }
        }
        let trailers = body.trailers().await.unwrap().unwrap_or_default();
        assert_eq!(trailers.get("grpc-status").map(HeaderValue::as_bytes), Some(&b"0"[..]), "{trailers:?}");
        if let Some(expected) = expected {
            // The message begins after the five bytes of its prefix.
            expected.check_message(&message[5..]);
        }
        true
    }
}
