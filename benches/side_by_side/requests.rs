//! Requests as the bytes that go over the wire, made before a clock starts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use cart_promotions::proto;
use prost::Message;

use crate::catalogue::{AUTHORIZATION, EARNED_FROM_ID};

/// Which way they go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Grpc,
    Json,
}

/// What they ask for.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub door: Door,
    /// Each entry is for the next of these, from a random one on.
    pub promotions: &'static [&'static str],
    pub entries: usize,
    /// Each request is for a random one of the customers 1 to this.
    pub customers: usize,
}

/// Requests one after the other.
#[derive(Debug)]
pub struct Requests {
    bytes: Bytes,
    /// Where each ends.
    ends: Vec<usize>,
    pub entries: usize,
}

impl Requests {
    /// New ones: each is for an event of its own.
    pub fn new(shape: Shape, count: usize) -> Self {
        let now = now_ms();
        let (mut bytes, mut ends) = (BytesMut::new(), Vec::with_capacity(count));
        for _ in 0..count {
            let message = message(shape, now);
            match shape.door {
                Door::Grpc => put_grpc(&mut bytes, &message),
                Door::Json => put_json(&mut bytes, &message),
            }
            ends.push(bytes.len());
        }
        Self { bytes: bytes.freeze(), ends, entries: shape.entries }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// `None` after the last.
    pub fn get(&self, index: usize) -> Option<Bytes> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(self.bytes.slice(start..end))
    }
}

/// Behind the five bytes of a gRPC message: not compressed, and how long it is.
fn put_grpc(bytes: &mut BytesMut, message: &proto::BulkEarnRequest) {
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(bytes).unwrap();
}

fn put_json(bytes: &mut BytesMut, message: &proto::BulkEarnRequest) {
    let body = serde_json::to_vec(message).unwrap();
    let head = format!(
        "POST /api_gateway/v1/promotions/earn/bulk HTTP/1.1\r\nhost: localhost\r\nauthorization: {AUTHORIZATION}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    bytes.put_slice(head.as_bytes());
    bytes.put_slice(&body);
}

fn message(shape: Shape, now_ms: i64) -> proto::BulkEarnRequest {
    let event_type = proto::EarnedFromType::BulkIssue as i32;
    let first = rand::random_range(0..shape.promotions.len());
    let entry = |index: usize| proto::PromotionToEarn {
        promotion_id: shape.promotions[(first + index) % shape.promotions.len()].to_owned(),
        earn_count: 1,
        earned_from_id: EARNED_FROM_ID.to_owned(),
    };
    proto::BulkEarnRequest {
        customer_id: i64::try_from(rand::random_range(1..=shape.customers)).unwrap(),
        event_time: Some(now_ms),
        earned_from_type: event_type,
        event_details: Some(proto::EventDetails { id: next_event_id(now_ms), r#type: event_type, event_payload: None }),
        earned_promotions: (0..shape.entries).map(entry).collect(),
        ..Default::default()
    }
}

/// Shaped as an `ObjectId`: seconds, process, counter.
fn next_event_id(now_ms: i64) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed) & 0xff_ffff;
    format!("{:08x}{:010x}{counter:06x}", now_ms / 1000, std::process::id())
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
