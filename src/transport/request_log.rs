//! The outermost layer of every request: sets the request id, writes one log line per answer, applies the deadline, and
//! completes gRPC errors that the library itself produced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::Instrument;

pub use super::content::is_grpc;
use super::content::{refuse_form, settle_form};
use super::deadline;
use super::refusal::Refusal;
use super::refusal_form::DOMAIN;
use crate::access::Caller;
use crate::wire::Violations;

/// Header that identifies a request in answers and logs. The id of the caller is kept; otherwise one is generated.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header in which gRPC names the message encodings that are accepted.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// Limits the request id that is taken from a caller: bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Request id of a call, in the extensions of its request.
#[derive(Debug, Clone)]
struct RequestId(HeaderValue);

/// Returns the request id of a call.
pub fn id_of<T>(request: &tonic::Request<T>) -> Option<Arc<str>> {
    let RequestId(id) = request.extensions().get()?;
    id.to_str().ok().map(Arc::from)
}

/// Limits of one call.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// Time in which the call must be answered.
    pub timeout: Duration,
    /// Limits the headers, counted as HTTP/2 does: bytes.
    pub max_header_bytes: usize,
}

/// Passes a request on, and answers it within its limits.
pub async fn observe<A: Future<Output = Response<Body>>>(
    limits: CallLimits,
    mut request: Request<Body>,
    then: impl FnOnce(Request<Body>) -> A,
) -> Response<Body> {
    let request_id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let grpc = settle_form(&mut request);
    let span = tracing::info_span!(
        "request",
        request_id = request_id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = %request.uri().path(),
        refusal = tracing::field::Empty,
        // Recorded only if authentication fails.
        address = tracing::field::Empty,
    );
    let begun = Instant::now();
    let path = request.uri().path().to_owned();
    let probe = is_probe(&path);
    let (timeout, refused_timeout) = match deadline::of(request.headers(), limits.timeout) {
        Ok(timeout) => (timeout, None),
        Err(refusal) => (limits.timeout, Some(refusal)),
    };
    async move {
        let unanswered = Unanswered(begun);
        let answer = async {
            match (refuse_form(&request, grpc, limits.max_header_bytes), refused_timeout) {
                (Some(refused), _) => refused,
                (None, Some(refusal)) => refusal.into_response(grpc),
                // With a timeout of zero, the work would begin before the timeout is checked.
                (None, None) if timeout.is_zero() => Refusal::DeadlineExceeded.into_response(grpc),
                (None, None) => then(request).await,
            }
        };
        let answered = tokio::time::timeout(timeout, answer).await;
        let mut response = answered.unwrap_or_else(|_| Refusal::DeadlineExceeded.into_response(grpc));
        // The call is answered, so the log line of `Drop` must not be written. The value owns no memory.
        std::mem::forget(unanswered);
        if grpc {
            response = explain(response, &path);
        }
        response.headers_mut().insert(REQUEST_ID, request_id);
        log(&response, grpc, probe, begun);
        response
    }
    .instrument(span)
    .await
}

/// Logs a call that its caller abandoned; its work may still be done.
struct Unanswered(Instant);

impl Drop for Unanswered {
    fn drop(&mut self) {
        tracing::info!(elapsed_us = elapsed_us(self.0), "the caller abandoned the call");
    }
}

fn elapsed_us(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn log(response: &Response<Body>, grpc: bool, probe: bool, begun: Instant) {
    let elapsed_us = elapsed_us(begun);
    let http = response.status();
    let status = if grpc {
        // On success the status is absent here: the trailers carry it, after the message.
        response.headers().get("grpc-status").and_then(|status| status.to_str().ok()).unwrap_or("0")
    } else {
        http.as_str()
    };
    // Not a field of the span, because recording one later costs as much as the rest of the line.
    let client = response.extensions().get::<Arc<Caller>>().map(|caller| &*caller.username);
    // Probes arrive every second, and would fill the log.
    if probe {
        tracing::debug!(status, elapsed_us, "answered");
    } else {
        tracing::info!(status, client, elapsed_us, "answered");
    }
}

fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz") || path.starts_with("/grpc.health.v1.Health/")
}

/// Returns the request id of the caller if it is fit for a header and a log line, or else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fit = |id: &&HeaderValue| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(fit).cloned().unwrap_or_else(|| {
        let id = format!("{:032x}", rand::random::<u128>());
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    })
}

/// Completes an error that the gRPC library produced with the details that every refusal has.
fn explain(response: Response<Body>, path: &str) -> Response<Body> {
    match documented(response.headers()) {
        Some(status) if status.code() == Code::Unimplemented && status.message().is_empty() => {
            Status::from(Refusal::UnknownPath(path.to_owned())).into_http()
        }
        Some(status) => status.into_http(),
        None => response,
    }
}

/// Returns the status with its details for the headers or trailers of an error that the gRPC library produced, or
/// `None` for any others.
pub fn documented(headers: &HeaderMap) -> Option<Status> {
    let of_library = headers.get(Status::GRPC_STATUS).is_some_and(|status| status != "0")
        && !headers.contains_key(Status::GRPC_STATUS_DETAILS);
    let status = Status::from_header_map(headers).filter(|_| of_library)?;
    let documented = match status.code() {
        Code::Ok => return None,
        // The library reports bytes that are not a gRPC frame, and an empty body, as an internal error.
        Code::Internal => return Some(Refusal::Invalid(Violations::of("", status.message())).into()),
        Code::NotFound => 404,
        Code::Unimplemented | Code::InvalidArgument => 400,
        _ => 500,
    };
    let metadata = [("code".to_owned(), documented.to_string())];
    let mut details = ErrorDetails::new();
    details.set_error_info(format!("GRPC_{}", i32::from(status.code())), DOMAIN, metadata);
    let mut explained = Status::with_error_details(status.code(), status.message(), details);
    // The accepted encodings are kept: the client needs them after it sent another one.
    if let Some(accepted) = status.metadata().get(ACCEPT_ENCODING) {
        explained.metadata_mut().insert(ACCEPT_ENCODING, accepted.clone());
    }
    Some(explained)
}
