//! Takes a call's whole body before anything else is done for it, on both doors: every call here is one message.
//!
//! A call is accepted once its body is here. Before that it may be refused: as too large, too slow, or because the
//! service stops.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, Version, header};
use axum::middleware::Next;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::lifecycle::{Lifecycle, Phase};
use super::refusal::Refusal;
use super::request_log::is_grpc;
use crate::wire::Violations;

/// Longest request body: bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// What gRPC puts before a message: bytes.
const GRPC_PREFIX_BYTES: usize = 5;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much, and for how long, the body of a call that is refused anyway is read on HTTP/2, where many clients lose an
/// answer that comes before they are done sending.
const MAX_DISCARDED_BYTES: usize = 4 * MAX_BODY_BYTES;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Layer: hands the request on with its body in memory.
pub async fn take_body(State(lifecycle): State<Arc<Lifecycle>>, request: Request<Body>, next: Next) -> Response<Body> {
    let (parts, mut body) = request.into_parts();
    let grpc = is_grpc(&parts.headers);
    match collect(&parts.headers, &mut body, &lifecycle).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(refusal) => {
            discard(parts.version, body).await;
            refusal.into_response(grpc)
        }
    }
}

async fn collect(headers: &HeaderMap, body: &mut Body, lifecycle: &Lifecycle) -> Result<Bytes, Refusal> {
    let most = MAX_BODY_BYTES + if is_grpc(headers) { GRPC_PREFIX_BYTES } else { 0 };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > most) {
        return Err(Refusal::TooLarge);
    }
    let mut phase = lifecycle.watch();
    let all = Limited::new(body, most).collect();
    tokio::select! {
        biased;
        all = all => match all {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
            // Nobody reads this: the connection broke.
            Err(_) => Err(Refusal::Invalid(Violations::of("", "the body ended early"))),
        },
        _ = phase.wait_for(|phase| *phase == Phase::Draining) => Err(Refusal::NotServing),
        () = tokio::time::sleep(BODY_TIMEOUT) => Err(Refusal::TooSlow),
    }
}

/// Reads what is left of the body of a call that is refused, within limits.
pub async fn discard(version: Version, body: Body) {
    // HTTP/1.1 clients read the answer, and the connection is closed.
    if version == Version::HTTP_2 {
        let mut left = Limited::new(body, MAX_DISCARDED_BYTES);
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, async { while let Some(Ok(_)) = left.frame().await {} }).await;
    }
}
