//! The outermost layer: a request id for every request, one log line for every answer, and the last word on gRPC
//! errors that the transport library makes by itself.

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use axum::middleware::Next;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::Instrument;

use super::refusal::{DOMAIN, Refusal};

/// Names one request in answers and logs: the caller's, else ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken from a caller: bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Whether a request, or an answer, is one of gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Layer: see the top of this file.
pub async fn observe(request: Request<Body>, next: Next) -> Response<Body> {
    let request_id = request_id(request.headers());
    let grpc = is_grpc(request.headers());
    let span = tracing::info_span!(
        "request",
        request_id = request_id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = %request.uri().path(),
        client = tracing::field::Empty,
        refusal = tracing::field::Empty,
    );
    let begun = Instant::now();
    let probe = is_probe(request.uri().path());
    async move {
        let mut response = next.run(request).await;
        if grpc {
            response = explain(response);
        }
        response.headers_mut().insert(REQUEST_ID, request_id);
        log(&response, grpc, probe, begun);
        response
    }
    .instrument(span)
    .await
}

fn log(response: &Response<Body>, grpc: bool, probe: bool, begun: Instant) {
    let elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let http = response.status();
    let status = if grpc {
        // Absent on success: then it is in the trailers, behind the message.
        response.headers().get("grpc-status").and_then(|status| status.to_str().ok()).unwrap_or("0")
    } else {
        http.as_str()
    };
    // Probes come every second from every side; they are no news.
    if probe {
        tracing::debug!(status, elapsed_us, "answered");
    } else {
        tracing::info!(status, elapsed_us, "answered");
    }
}

fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz") || path.starts_with("/grpc.health.v1.Health/")
}

/// The caller's id when it is fit for a header and a log line, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fit = |id: &&HeaderValue| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(fit).cloned().unwrap_or_else(|| {
        let id = format!("{:032x}", rand::random::<u128>());
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    })
}

/// Gives an error of the transport library itself (a message above the limit, an unknown method) the details that all
/// of ours have.
fn explain(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if headers.contains_key("grpc-status-details-bin") {
        return response;
    }
    let Some(status) = Status::from_header_map(headers) else { return response };
    match status.code() {
        Code::Ok => response,
        Code::OutOfRange => Status::from(Refusal::TooLarge).into_http(),
        code => {
            let metadata = [("code".to_owned(), "500".to_owned())];
            let reason = format!("{code:?}");
            let mut details = ErrorDetails::new();
            details.set_error_info(screaming(&reason), DOMAIN, metadata);
            Status::with_error_details(code, status.message(), details).into_http()
        }
    }
}

/// `NotFound` as `NOT_FOUND`.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(character.to_ascii_uppercase());
    }
    out
}
