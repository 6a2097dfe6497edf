//! Encoding of answers to large reads, which takes a processor for milliseconds. Meanwhile another thread serves the
//! calls of the encoding one. The answer holds the read slot of its client until it is encoded as JSON, or handed to
//! the gRPC library.

use std::sync::Arc;

use axum::http::Extensions;
use tokio::runtime::{Handle, RuntimeFlavor};
use tonic::Response;

use crate::app::ReadSlot;

/// The read slot that an answer holds.
#[derive(Debug, Clone)]
struct HeldSlot(#[expect(dead_code, reason = "it is held")] Arc<ReadSlot>);

/// Encodes an answer. If there is a slot, the answer is one of a large read and holds the slot.
pub fn response<T>(slot: Option<ReadSlot>, encode: impl FnOnce() -> T) -> Response<T> {
    let Some(slot) = slot else { return Response::new(encode()) };
    let mut response = Response::new(beside_calls(encode));
    response.extensions_mut().insert(HeldSlot(Arc::new(slot)));
    response
}

/// Encodes an answer as JSON, as a large read if its `extensions` hold a slot.
pub fn encode<T>(extensions: &Extensions, encode: impl FnOnce() -> T) -> T {
    if extensions.get::<HeldSlot>().is_some() { beside_calls(encode) } else { encode() }
}

/// Runs long work while another thread serves calls. On a runtime with one thread, runs it directly.
fn beside_calls<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
