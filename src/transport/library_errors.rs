//! Errors that the gRPC library itself produced, completed with the details that every refusal has.

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::refusal::Refusal;
use super::refusal_form::DOMAIN;
use crate::proto::Reason;
use crate::wire::Violations;

/// Header in which gRPC names the message encodings that are accepted.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// Completes an error that the gRPC library produced with the details that every refusal has.
pub fn explain(response: Response<Body>, path: &str) -> Response<Body> {
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
    // Reading a status copies the headers, and nearly every call succeeds.
    if headers.get(Status::GRPC_STATUS)? == "0" || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return None;
    }
    let status = Status::from_header_map(headers)?;
    let documented = match status.code() {
        Code::Ok => return None,
        // The library reports bytes that are not a gRPC frame, and an empty body, as an internal error.
        Code::Internal => return Some(Refusal::Invalid(Violations::of("", status.message())).into()),
        Code::NotFound => Reason::UnknownPath.code(),
        Code::Unimplemented | Code::InvalidArgument => Reason::InvalidRequest.code(),
        _ => Reason::Internal.code(),
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
