//! The answers to large reads: encoding one takes a processor for milliseconds, in which a thread that serves calls would
//! serve none. They are encoded while another thread takes the place of this one, and hold the slot of their client until
//! they are JSON, or handed to the library of gRPC.

use std::sync::Arc;

use axum::http::Extensions;
use tokio::runtime::{Handle, RuntimeFlavor};
use tonic::Response;

use crate::app::ReadSlot;

/// The slot of an answer.
#[derive(Debug, Clone)]
struct Held(#[expect(dead_code, reason = "it is held")] Arc<ReadSlot>);

/// Makes an answer, that of a large read if there is a slot.
pub fn response<T>(slot: Option<ReadSlot>, encode: impl FnOnce() -> T) -> Response<T> {
    let Some(slot) = slot else { return Response::new(encode()) };
    let mut response = Response::new(beside_calls(encode));
    response.extensions_mut().insert(Held(Arc::new(slot)));
    response
}

/// Encodes an answer that has these extensions.
pub fn encode<T>(extensions: &Extensions, encode: impl FnOnce() -> T) -> T {
    if extensions.get::<Held>().is_some() { beside_calls(encode) } else { encode() }
}

/// Does what takes long while another thread serves calls, where there are several.
fn beside_calls<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
