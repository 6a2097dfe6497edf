//! A connection of HTTP/1.1 by hand, for tests that make thousands of calls: a client library costs more processor time
//! than the server that it calls.

#![allow(dead_code, reason = "each suite uses its part of it")]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that stays open between calls.
pub struct PlainHttp(TcpStream);

impl PlainHttp {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends a request without a body. Returns the status and the body of the response, which has a length.
    pub async fn get(&mut self, path: &str) -> (u16, String) {
        self.call(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
    }

    /// Posts JSON with these credentials, the value of the header `authorization`. Returns like [`Self::get`].
    pub async fn post(&mut self, path: &str, authorization: Option<&str>, body: &str) -> (u16, String) {
        let authorization = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\n{authorization}content-type: application/json\r\ncontent-length: {length}"
        );
        self.call(&format!("{head}\r\n\r\n{body}")).await
    }

    async fn call(&mut self, request: &str) -> (u16, String) {
        self.0.write_all(request.as_bytes()).await.unwrap();
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let read = self.0.read(&mut part).await.unwrap();
            assert!(read > 0, "the connection ends after {:?}", String::from_utf8_lossy(&answer));
            answer.extend(&part[..read]);
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            if body.len() >= length.parse().unwrap() {
                return (head[9..12].parse().unwrap(), body.to_owned());
            }
        }
    }
}
