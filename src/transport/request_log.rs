//! The outermost layer of every request: sets the request id, applies the deadline, and has each call logged and counted.

use std::net::IpAddr;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

use super::auth;
use super::call_name::CallName;
use super::content::{refuse_form, settle_form};
use super::deadline;
use super::library_errors::explain;
use super::observed_call::{ObservedCall, Observer, Unanswered};
use super::refusal::Refusal;
use crate::earning::limits::recorded_change;
use crate::telemetry::call::{self, CallRecord};

/// Header that identifies a request in answers and logs. The id of the caller is kept; otherwise one is generated.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header of the caller's span (W3C Trace Context), on both endpoints.
const TRACEPARENT: &str = "traceparent";
/// Limits the request id that is taken from a caller: bytes, each of which is a character.
const MAX_REQUEST_ID_BYTES: usize = recorded_change::REQUEST_ID_MAX_LEN;

/// A response, and what the edge needs to know of its call.
#[derive(Debug)]
pub struct ObservedResponse {
    /// The response.
    pub response: Response<Body>,
    /// True if the call presented the credentials of an API client.
    pub is_authenticated: bool,
}

/// Passes a request on, and answers it within its limits.
pub async fn observe<A: Future<Output = Response<Body>>>(
    observer: &Observer,
    mut request: Request<Body>,
    then: impl FnOnce(Request<Body>) -> A,
) -> ObservedResponse {
    let limits = observer.limits;
    let request_id = request_id(request.headers());
    let grpc = settle_form(&mut request);
    let path = request.uri().path().to_owned();
    let (timeout, refused_timeout) = match deadline::of(request.headers(), limits.timeout) {
        Ok(timeout) => (timeout, None),
        Err(refusal) => (limits.timeout, Some(refusal)),
    };
    let trace = observer.traces.begin(request.headers().get(TRACEPARENT).and_then(|parent| parent.to_str().ok()));
    let record = CallRecord {
        request_id: Some(request_id.clone()),
        trace,
        // Admission replaces it where the peer is a proxy, but some calls are refused before.
        peer: auth::peer(request.extensions()),
        ..CallRecord::default()
    };
    let call = ObservedCall { name: CallName::of(&request, grpc), grpc, begun: Instant::now(), observer };
    let answering = async move {
        let unanswered = Unanswered { call, path: &path };
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
        identify(&mut response, request_id);
        let is_authenticated = call::is_authenticated();
        call.log(&response, Some(&path));
        ObservedResponse { response, is_authenticated }
    };
    call::recorded(record, answering).await
}

/// Answers a head that is no request with this refusal, and logs and counts it like a call.
pub async fn refuse(observer: &Observer, refusal: Refusal, peer: Option<IpAddr>) -> Response<Body> {
    let request_id = request_id(&HeaderMap::new());
    let record = CallRecord {
        request_id: Some(request_id.clone()),
        trace: observer.traces.begin(None),
        peer,
        ..CallRecord::default()
    };
    let call = ObservedCall { name: CallName::OF_NO_REQUEST, grpc: false, begun: Instant::now(), observer };
    let answering = async move {
        let mut response = refusal.into_json();
        identify(&mut response, request_id);
        call.log(&response, None);
        response
    };
    call::recorded(record, answering).await
}

/// Returns the request id of the caller if it is fit for a header and a log line, or else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fit = |id: &&HeaderValue| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(fit).cloned().unwrap_or_else(|| {
        let id = Bytes::from(format!("{:032x}", rand::random::<u128>()));
        HeaderValue::from_maybe_shared(id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    })
}

/// Puts the request id into an answer.
fn identify(response: &mut Response<Body>, mut id: HeaderValue) {
    // HTTP/2 compresses headers with a table of earlier ones, where an id that comes once displaces those that come again.
    id.set_sensitive(true);
    response.headers_mut().insert(REQUEST_ID, id);
}
