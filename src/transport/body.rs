//! Takes a call's whole body before anything else is done for it, on both doors: every call here is one message.
//!
//! A call is accepted once its body is here. Before that it may be refused: as too large, too slow, or because the
//! service stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response, header};
use bytes::BytesMut;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::lifecycle::{Lifecycle, Phase};
use super::refusal::Refusal;
use super::request_log::is_grpc;
use crate::wire::Violations;

/// Longest request body: bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// What gRPC puts before a message: bytes.
const GRPC_PREFIX_BYTES: usize = 5;

/// Limits of bodies.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// How long one may take to arrive.
    pub timeout: Duration,
    /// What those of all calls under way may take together: MiB.
    pub memory_mib: u32,
}

/// The bodies of all calls under way.
#[derive(Debug, Clone)]
pub struct Bodies(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lifecycle: Arc<Lifecycle>,
    timeout: Duration,
    max_bytes: usize,
    bytes: AtomicUsize,
}

impl Bodies {
    /// None yet.
    pub fn new(limits: BodyLimits, lifecycle: Arc<Lifecycle>) -> Self {
        let max_bytes = limits.memory_mib as usize * 1024 * 1024;
        Self(Arc::new(Shared { lifecycle, timeout: limits.timeout, max_bytes, bytes: AtomicUsize::new(0) }))
    }

    /// Hands the request on with its body in memory.
    pub async fn take<A: Future<Output = Response<Body>>>(
        &self,
        request: Request<Body>,
        then: impl FnOnce(Request<Body>) -> A,
    ) -> Response<Body> {
        let (parts, mut body) = request.into_parts();
        let grpc = is_grpc(&parts.headers);
        let mut taken = Taken { bodies: self.clone(), bytes: 0 };
        match collect(&parts.headers, &mut body, &mut taken).await {
            Ok(bytes) => then(Request::from_parts(parts, Body::from(bytes))).await,
            Err(refusal) => {
                drop(taken);
                refusal.into_response(grpc)
            }
        }
    }
}

/// What one body takes of the memory of all, for as long as its call is under way.
struct Taken {
    bodies: Bodies,
    bytes: usize,
}

impl Taken {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let all = &self.bodies.0;
        self.bytes += bytes;
        if all.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > all.max_bytes {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.bodies.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

async fn collect(headers: &HeaderMap, body: &mut Body, taken: &mut Taken) -> Result<Bytes, Refusal> {
    let most = MAX_BODY_BYTES + if is_grpc(headers) { GRPC_PREFIX_BYTES } else { 0 };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        return Err(Refusal::TooLarge);
    }
    let Shared { lifecycle, timeout, .. } = &*Arc::clone(&taken.bodies.0);
    let mut phase = lifecycle.watch();
    tokio::select! {
        biased;
        all = read(Limited::new(body, most), taken) => all,
        _ = phase.wait_for(|phase| *phase == Phase::Draining) => Err(Refusal::NotServing),
        () = tokio::time::sleep(*timeout) => Err(Refusal::TooSlow),
    }
}

async fn read(mut body: Limited<&mut Body>, taken: &mut Taken) -> Result<Bytes, Refusal> {
    let (mut only, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Refusal::TooLarge
            } else {
                // Nobody reads this: the connection broke.
                Refusal::Invalid(Violations::of("", "the body ended early"))
            }
        })?;
        let Ok(data) = frame.into_data() else { continue };
        taken.take(data.len())?;
        // Most bodies come in one piece. Many small ones would each take more than what is in them.
        if only.is_empty() && all.is_empty() {
            only = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut only));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { only } else { all.freeze() })
}
