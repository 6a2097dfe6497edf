//! Connections by hand: HTTP/2 through h2, frames as bytes, and the end of a connection.

use std::future::poll_fn;

use bytes::{BufMut, Bytes, BytesMut};
use cart_promotions::proto;
use cart_promotions::wire::json::{UnknownFields, from_slice};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use prost::Message;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic_types::StatusExt;

pub use crate::frame::frame;
use crate::support::*;

pub const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];
pub const BULK_EARN: &str = "/cartpromotions.v1.EarnService/BulkEarn";

pub async fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Returns all bytes until the server closes the connection.
pub async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset and an orderly close are both the end.
    let _ = stream.read_to_end(&mut all).await;
    all
}

/// Returns true if a call over HTTP/1.1 is answered on this connection, which stays open.
pub async fn answers(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 4096];
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok()
        && matches!(stream.read(&mut answer).await, Ok(1..))
        && answer.starts_with(b"HTTP/1.1 200")
}

pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://localhost{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

pub fn head_of_get(path: &str) -> Request<()> {
    head("GET", path, &[])
}

/// Returns the head of a bulk earning with credentials and further headers.
pub fn grpc_head(more: &[(&str, &str)]) -> Request<()> {
    let basic = basic("demo:demo");
    let headers: Vec<_> = GRPC.iter().chain(more).copied().chain([("authorization", basic.as_str())]).collect();
    head("POST", BULK_EARN, &headers)
}

/// Returns the message of a bulk earning of one entry, as a gRPC frame.
pub fn grpc_message(event: &str) -> Bytes {
    framed(0, &one_message(&one_entry(event, TEN_OFF, 1)))
}

fn one_message(request: &Value) -> Vec<u8> {
    let (message, _) =
        from_slice::<proto::BulkEarnRequest>(request.to_string().as_bytes(), UnknownFields::Refuse).unwrap();
    message.encode_to_vec()
}

pub fn framed(compressed: u8, message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(compressed);
    bytes.put_u32(u32::try_from(message.len()).unwrap());
    bytes.put_slice(message);
    bytes.freeze()
}

/// Sends these bytes as the window allows. Returns true if the server took all of them.
pub async fn send(body: &mut SendStream<Bytes>, mut bytes: Bytes) -> bool {
    while !bytes.is_empty() {
        body.reserve_capacity(bytes.len());
        let Some(Ok(room)) = poll_fn(|context| body.poll_capacity(context)).await else { return false };
        if body.send_data(bytes.split_to(room.min(bytes.len())), false).is_err() {
            return false;
        }
    }
    true
}

/// The outcome of a call over gRPC.
#[derive(Debug)]
pub struct GrpcStatus {
    pub code: i32,
    /// The reason of the `ErrorInfo`.
    pub reason: String,
}

/// A connection of HTTP/2.
pub struct Http2 {
    sender: SendRequest<Bytes>,
    ping: h2::PingPong,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self::try_over(stream).await.expect("a connection")
    }

    pub async fn try_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, h2::Error> {
        let (sender, mut connection) = h2::client::handshake(stream).await?;
        let ping = connection.ping_pong().unwrap();
        Ok(Self { sender, ping, connection: tokio::spawn(connection) })
    }

    pub async fn try_begin(&mut self, head: &Request<()>) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.try_begin_with(head, head.method() != "GET").await
    }

    /// Sends the head of a call of any method, with a body that follows or without one.
    pub async fn try_begin_with(
        &mut self,
        head: &Request<()>,
        body: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        let mut request = Request::new(());
        request.method_mut().clone_from(head.method());
        request.uri_mut().clone_from(head.uri());
        request.headers_mut().clone_from(head.headers());
        self.sender.send_request(request, !body)
    }

    /// Sends the head of a call.
    pub async fn begin(&mut self, head: &Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        self.try_begin(head).await.expect("a stream")
    }

    /// Waits until the server has everything that was sent: it answers a later ping.
    pub async fn reached(&mut self) {
        self.ping.ping(h2::Ping::opaque()).await.expect("an answer to a ping");
    }

    /// Waits like [`Self::reached`]. Returns false if the connection has ended.
    pub async fn try_reached(&mut self) -> bool {
        self.ping.ping(h2::Ping::opaque()).await.is_ok()
    }

    /// Makes a bulk earning of one entry.
    pub async fn earn(&mut self, event: &str) -> Result<GrpcStatus, h2::Error> {
        let (response, mut body) = self.try_begin(&grpc_head(&[])).await?;
        body.send_data(grpc_message(event), true)?;
        Self::status(response).await
    }

    pub async fn status(response: ResponseFuture) -> Result<GrpcStatus, h2::Error> {
        let response: Response<RecvStream> = response.await?;
        let headers = response.headers().clone();
        assert_eq!(response.status(), 200, "{headers:?}");
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        Ok(Self::grpc_status(&body.trailers().await?.unwrap_or(headers)))
    }

    fn grpc_status(headers: &HeaderMap) -> GrpcStatus {
        let status = tonic::Status::from_header_map(headers).unwrap_or_else(|| panic!("no status: {headers:?}"));
        let reason = status.get_details_error_info().map_or_else(String::new, |info| info.reason);
        GrpcStatus { code: status.code() as i32, reason }
    }

    /// Waits until the server ends the connection. Returns no error if the server announced the end.
    pub async fn ended(&mut self) -> Result<(), h2::Error> {
        (&mut self.connection).await.unwrap()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
