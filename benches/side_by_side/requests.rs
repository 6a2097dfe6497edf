//! Requests as the bytes on the wire, made before the measurement starts.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use cart_promotions::proto;
use prost::Message;

use crate::baseline;
use crate::catalog::{AUTHORIZATION, EARNED_FROM_ID};
use crate::clock::now_ms;

/// The API over which requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasuredApi {
    Grpc,
    Json,
}

/// A called method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasuredCall {
    /// Bulk earnings, each for an event of its own.
    BulkEarn,
    /// Earnings, each for an event of its own.
    Earn,
    /// Redemptions, each of another row that SQL made: see [`crate::baseline::fill_sql`].
    Redeem,
    /// Listings of the first page of a wallet.
    List,
}

impl MeasuredCall {
    /// Returns the path of the gRPC method.
    pub fn path(self) -> &'static str {
        match self {
            Self::BulkEarn => "/cartpromotions.v1.EarnService/BulkEarn",
            Self::Earn => "/cartpromotions.v1.EarnService/Earn",
            Self::Redeem => "/cartpromotions.v1.WalletService/Redeem",
            Self::List => "/cartpromotions.v1.WalletService/ListEarnedPromotions",
        }
    }
}

/// The content of the requests.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub endpoint: MeasuredApi,
    pub call: MeasuredCall,
    /// The promotions of the entries, in this order, from a random one on.
    pub promotions: &'static [&'static str],
    pub entries: usize,
    /// The customers, from the first of these to the second. Each request is for a random one; redemptions go through
    /// the customers' rows in order.
    pub customers: (usize, usize),
}

/// The next row to redeem.
static NEXT_ROW: AtomicUsize = AtomicUsize::new(1);

/// Starts again with the first row, after the wallet was filled again.
pub fn redeem_from_the_first() {
    NEXT_ROW.store(1, Ordering::Relaxed);
}

/// Consecutive requests.
#[derive(Debug)]
pub struct Requests {
    bytes: Bytes,
    /// The end of each request.
    ends: Vec<usize>,
    pub entries: usize,
    pub call: MeasuredCall,
}

impl Requests {
    /// Makes new requests, each for an event of its own.
    pub fn new(shape: Shape, count: usize) -> Self {
        let now = now_ms();
        let (mut bytes, mut ends) = (BytesMut::new(), Vec::with_capacity(count));
        for _ in 0..count {
            match (shape.call, shape.endpoint) {
                (MeasuredCall::BulkEarn, MeasuredApi::Grpc) => put_grpc(&mut bytes, &message(shape, now)),
                (MeasuredCall::BulkEarn, MeasuredApi::Json) => put_json(&mut bytes, &message(shape, now)),
                (MeasuredCall::Earn, _) => put_grpc(&mut bytes, &one(message(shape, now))),
                (MeasuredCall::Redeem, _) => {
                    put_grpc(&mut bytes, &redemption(NEXT_ROW.fetch_add(1, Ordering::Relaxed), now));
                }
                (MeasuredCall::List, _) => put_grpc(&mut bytes, &listing(shape)),
            }
            ends.push(bytes.len());
        }
        Self { bytes: bytes.freeze(), ends, entries: shape.entries, call: shape.call }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns a request, or `None` after the last.
    pub fn get(&self, index: usize) -> Option<Bytes> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(self.bytes.slice(start..end))
    }
}

/// Appends a gRPC message after its five bytes: not compressed, and the length.
fn put_grpc(bytes: &mut BytesMut, message: &impl Message) {
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
        customer_id: customer(shape),
        event_time: Some(now_ms),
        earned_from_type: event_type,
        event_details: Some(proto::EventDetails { id: next_event_id(now_ms), r#type: event_type, event_payload: None }),
        earned_promotions: (0..shape.entries).map(entry).collect(),
        ..Default::default()
    }
}

fn customer(shape: Shape) -> i64 {
    i64::try_from(rand::random_range(shape.customers.0..=shape.customers.1)).unwrap()
}

/// Returns the same earning as a request of `Earn`.
fn one(bulk: proto::BulkEarnRequest) -> proto::EarnRequest {
    let (event, entry) = (bulk.event_details.unwrap(), bulk.earned_promotions.into_iter().next().unwrap());
    proto::EarnRequest {
        promotion_id: entry.promotion_id,
        customer_id: bulk.customer_id,
        earned_from_type: bulk.earned_from_type,
        earned_from_id: entry.earned_from_id,
        event_time: bulk.event_time,
        event_details: Some(proto::EarnEventDetails {
            id: event.id,
            r#type: "BULK_ISSUE".to_owned(),
            event_payload: None,
        }),
        ..Default::default()
    }
}

/// Returns a transaction that redeems this row of the filled wallet.
fn redemption(row: usize, now_ms: i64) -> proto::RedeemRequest {
    let (customer_id, promotion_id, earned_promotion_id) = baseline::filled_row(row);
    let transaction = next_event_id(now_ms);
    proto::RedeemRequest {
        customer_id,
        transaction_identifier: transaction.clone(),
        transaction_number: transaction,
        transaction_date: Some(now_ms),
        amount: Some(75.5),
        redemptions: vec![proto::RedemptionLine {
            promotion_id,
            earned_promotion_id,
            redemption_count: 1,
            discount: Some(5.0),
            discount_applied_on_quantity: Some(1.0),
            promotion_applied_on_quantity: Some(1.0),
            sku: None,
        }],
        ..Default::default()
    }
}

fn listing(shape: Shape) -> proto::ListEarnedPromotionsRequest {
    proto::ListEarnedPromotionsRequest { customer_id: customer(shape), ..Default::default() }
}

/// Returns an identifier with the form of an `ObjectId`: seconds, process, counter.
fn next_event_id(now_ms: i64) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed) & 0xff_ffff;
    format!("{:08x}{:010x}{counter:06x}", now_ms / 1000, std::process::id())
}
