//! The form of a refusal on each endpoint: the details of a gRPC status, and the errors and headers of a JSON response.
//!
//! The cause of an internal refusal is logged here, once.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use super::json_response::json_response;
use super::refusal::Refusal;
use crate::printable::with_causes;
use crate::proto::CallError;
use crate::telemetry::call::{self, CallRefusal};

/// Domain of every `ErrorInfo`, which defines the reasons.
pub const DOMAIN: &str = "cartpromotions";
/// Challenge for a username and a secret (RFC 7617).
const BASIC: &str = r#"Basic realm="cart-promotions", charset="UTF-8""#;
/// Delay before the next try, told to callers when the service is busy, starts or stops.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Limits the violations in the details of a gRPC error: bytes. The details travel in a header, where their encoding
/// makes them a third longer, and stock clients refuse headers above 8 KiB in all. Further violations are left out;
/// `violations` in the metadata gives their number.
const MAX_GRPC_VIOLATION_BYTES: usize = 5_000;

impl Refusal {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::TooManyFailedLogins { retry_after } => Some(*retry_after),
            _ => (self.row().http == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER),
        }
    }

    fn details(&self) -> ErrorDetails {
        let code = ("code".to_owned(), self.row().code.to_string());
        let values = self.values().into_iter().map(|(name, value)| (name.to_owned(), value));
        let metadata = std::iter::once(code).chain(values).collect::<std::collections::HashMap<_, _>>();
        let mut details = ErrorDetails::new();
        details.set_error_info(self.row().reason, DOMAIN, metadata);
        if let Some(delay) = self.retry_after() {
            details.set_retry_info(Some(delay));
        }
        if let Self::Invalid(violations) = self {
            let mut room = MAX_GRPC_VIOLATION_BYTES;
            for violation in violations.as_slice() {
                // Field numbers and lengths take up to 8 bytes for each violation.
                let size = violation.field.len() + violation.description.len() + 8;
                let Some(left) = room.checked_sub(size) else { break };
                room = left;
                details.add_bad_request_violation(&violation.field, &violation.description);
            }
        }
        details
    }

    /// Returns the errors of a JSON response: one for each violation, or else one.
    pub(super) fn errors(&self) -> Vec<CallError> {
        let error = |message| CallError { code: self.row().code, message };
        match self {
            Self::Invalid(violations) => violations.as_slice().iter().map(|each| error(each.to_string())).collect(),
            _ => vec![error(self.to_string())],
        }
    }

    /// Returns the response of the JSON endpoint.
    pub fn into_json(self) -> Response<Body> {
        self.log();
        self.to_json()
    }

    fn to_json(&self) -> Response<Body> {
        #[derive(Serialize)]
        struct Errors {
            errors: Vec<CallError>,
        }

        let mut response = json_response(self.row().http, &Errors { errors: self.errors() });
        let headers = response.headers_mut();
        if let Some(delay) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
        }
        if let Self::Unauthenticated(reason) = self {
            for challenge in [BASIC, reason.bearer()] {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        response
    }

    /// Returns the response of the gRPC endpoint if `grpc` is true, or else of the JSON endpoint.
    pub fn into_response(self, grpc: bool) -> Response<Body> {
        if grpc { Status::from(self).into_http() } else { self.into_json() }
    }

    /// Records the refusal in the log line of the request, and logs its cause.
    fn log(&self) {
        call::record(|record| {
            record.refusal = Some(CallRefusal { reason: self.row().reason, message: self.to_string() });
        });
        if let Some(cause) = self.source() {
            let reason = self.row().reason;
            tracing::error!(reason, cause = %with_causes(cause), "the call failed for an internal reason");
        }
    }
}

/// Converts a refusal to a gRPC status that carries it as its source, for the JSON endpoint.
impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refusal.log();
        let mut status = Self::with_error_details(refusal.row().grpc, refusal.to_string(), refusal.details());
        status.set_source(Arc::new(refusal));
        status
    }
}

/// Returns the response of the JSON endpoint for a status that a service returned.
pub(super) fn status_to_json(status: &Status) -> Response<Body> {
    if let Some(refusal) = status.source().and_then(|source| source.downcast_ref::<Refusal>()) {
        refusal.to_json()
    } else {
        // A service always returns a refusal, so this is a bug.
        tracing::error!(code = ?status.code(), message = status.message(), "a status without a refusal");
        Refusal::Internal(Arc::new(status.clone())).to_json()
    }
}
