//! Calls over JSON, on HTTP/1.1 that is written and read by hand, because the callers share the machine with the server
//! that they measure.

use std::net::SocketAddr;

use bytes::Bytes;
use cart_promotions::proto::BulkEarnResponse;
use cart_promotions::wire::json::{UnknownFields, from_slice};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::{ExpectedContent, LoadCaller};

/// Size of the buffer of a response, in bytes; responses here are shorter.
const ROOM: usize = 64 * 1024;

/// A caller that makes one call at a time on a connection of its own.
pub struct JsonCaller {
    connection: TcpStream,
    answer: Vec<u8>,
}

/// Opens `count` connections and returns a caller for each.
pub async fn callers(address: SocketAddr, count: usize) -> Vec<JsonCaller> {
    let mut callers = Vec::with_capacity(count);
    for _ in 0..count {
        let connection = TcpStream::connect(address).await.unwrap();
        connection.set_nodelay(true).unwrap();
        callers.push(JsonCaller { connection, answer: vec![0; ROOM] });
    }
    callers
}

impl LoadCaller for JsonCaller {
    async fn call(&mut self, request: Bytes, expected: Option<ExpectedContent>) -> bool {
        self.connection.write_all(&request).await.unwrap();
        let mut filled = 0;
        let body = loop {
            let read = self.connection.read(&mut self.answer[filled..]).await.unwrap();
            assert_ne!(read, 0, "the server closed the connection");
            filled += read;
            if let Some(body) = body(&self.answer[..filled]) {
                break body;
            }
        };
        if let Some(expected) = expected {
            let (answer, _) = from_slice::<BulkEarnResponse>(body, UnknownFields::Refuse).unwrap();
            expected.check(&answer);
        }
        true
    }
}

/// Returns the body of a response if the response is complete.
fn body(answer: &[u8]) -> Option<&[u8]> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = find(answer, b"\r\n\r\n")? + 4;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(answer));
    let length = &answer[find(&answer[..head], LENGTH).expect("a length") + LENGTH.len()..];
    let length = length.iter().take_while(|byte| byte.is_ascii_digit());
    let length = length.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    answer.get(head..head + length)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
