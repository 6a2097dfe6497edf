//! The outermost layer of every request: sets the request id, writes one log line per answer, applies the deadline, and
//! completes gRPC errors that the library itself produced.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::auth;
use super::call_name::{CallName, OTHER};
use super::content::{refuse_form, settle_form};
use super::deadline;
use super::refusal::Refusal;
use super::refusal_form::DOMAIN;
use crate::earning::limits::recorded_change;
use crate::proto::Reason;
use crate::telemetry::call::{self, CallRecord, CallResult};
use crate::telemetry::metrics::{HttpCall, Metrics};
use crate::telemetry::traces::{EndedCall, Traces};
use crate::wire::Violations;

/// Header that identifies a request in answers and logs. The id of the caller is kept; otherwise one is generated.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header in which gRPC names the message encodings that are accepted.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// Header of the caller's span (W3C Trace Context), on both endpoints.
const TRACEPARENT: &str = "traceparent";
/// Statuses of gRPC that are faults of the service, by the semantic conventions for servers.
const FAULTS: [&str; 6] = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
/// Status of a JSON call that its caller abandoned, for logs and metrics: as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;
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

/// Limits of one call, and of its log line.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// Time in which the call must be answered.
    pub timeout: Duration,
    /// Limits the headers, counted as HTTP/2 does: bytes.
    pub max_header_bytes: usize,
    /// The calls that are logged.
    pub logged: LoggedCalls,
    /// Time from which a call is slow. The line of a slow call is a warning.
    pub slow: Duration,
}

/// The calls that get a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoggedCalls {
    /// Slow calls.
    Slow,
    /// Slow calls, and those that were refused or failed.
    Failed,
    /// All calls.
    All,
}

/// The limits of calls, and what is told of them.
#[derive(Debug, Clone)]
pub struct Observer {
    /// Limits of one call, and of its log line.
    pub limits: CallLimits,
    /// Metrics of the service.
    pub metrics: Arc<Metrics>,
    /// Traces of sampled calls.
    pub traces: Traces,
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
    let record = CallRecord { request_id: Some(request_id.clone()), trace, ..CallRecord::default() };
    let call = ObservedCall { name: CallName::of(&request, grpc), grpc, begun: Instant::now(), observer };
    let answering = async move {
        // Admission replaces it where the peer is a proxy, but some calls are refused before.
        call::record(|record| record.peer = auth::peer(request.extensions()));
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

/// A call that is observed.
#[derive(Debug, Clone, Copy)]
struct ObservedCall<'a> {
    name: CallName,
    grpc: bool,
    begun: Instant,
    observer: &'a Observer,
}

/// Writes the log line of a call at a level, with the fields that are there.
macro_rules! line {
    ($level:ident, $line:ident, $message:literal) => {
        tracing::$level!(
            rpc = $line.rpc,
            verb = $line.verb,
            path = $line.path,
            http_status = $line.http_status,
            grpc_status = $line.grpc_status,
            request_id = $line.record.request_id.as_ref().and_then(|id| id.to_str().ok()),
            trace_id = $line.record.trace.trace_id.map(display),
            client = $line.record.client.as_deref(),
            peer = $line.record.peer.map(display),
            duration_ms = $line.duration_ms,
            bytes_in = $line.record.bytes_in,
            bytes_out = $line.bytes_out,
            org = $line.record.subject.as_ref().map(|subject| subject.org),
            customer = $line.record.subject.as_ref().map(|subject| subject.customer),
            event = $line.record.subject.as_ref().and_then(|subject| subject.event.as_deref()),
            transaction = $line.record.subject.as_ref().and_then(|subject| subject.transaction.as_deref()),
            granted = $line.result().and_then(|result| result.granted),
            replayed = $line.result().and_then(|result| result.replayed),
            revoked = $line.result().and_then(|result| result.revoked),
            redeemed = $line.result().and_then(|result| result.redeemed),
            failed = $line.result().and_then(|result| result.failed),
            codes = $line.result().map(|result| &result.codes).filter(|codes| !codes.is_empty()).map(display),
            reason = $line.record.refusal.as_ref().map(|refusal| refusal.reason),
            refusal = $line.record.refusal.as_ref().map(|refusal| &*refusal.message),
            $message
        )
    };
}

/// The fields of the line of a call.
struct CallLine<'a> {
    rpc: Option<&'static str>,
    /// HTTP method and path, where the path is not the name of a method.
    verb: Option<&'static str>,
    path: Option<&'a str>,
    http_status: Option<u16>,
    grpc_status: Option<&'static str>,
    duration_ms: f64,
    bytes_out: Option<u64>,
    record: CallRecord,
}

impl CallLine<'_> {
    fn result(&self) -> Option<&CallResult> {
        self.record.result.as_ref()
    }
}

impl ObservedCall<'_> {
    fn line<'a>(&self, path: Option<&'a str>) -> CallLine<'a> {
        let named_by_path = self.grpc && self.name.rpc.is_some();
        CallLine {
            rpc: self.name.rpc,
            verb: (!self.grpc).then_some(self.name.verb),
            path: path.filter(|_| !named_by_path),
            http_status: None,
            grpc_status: None,
            duration_ms: self.begun.elapsed().as_secs_f64() * 1_000.0,
            bytes_out: None,
            record: call::take(),
        }
    }

    fn count(&self, line: &CallLine<'_>) {
        let seconds = line.duration_ms / 1_000.0;
        let CallName { rpc, route, verb } = self.name;
        if let Some(status) = line.grpc_status {
            self.observer.metrics.calls.rpc(rpc.unwrap_or(OTHER), status, seconds);
        }
        if let Some(status) = line.http_status {
            self.observer.metrics.calls.http(HttpCall { route, verb, status }, seconds);
        }
        if let Some(sampled) = line.record.trace.sampled {
            self.observer.traces.end(sampled, self.span(line));
        }
        if let Some(refusal) = &line.record.refusal {
            self.observer.metrics.calls.refused(refusal.reason);
        }
    }

    /// Returns the end of the span of the call.
    fn span(&self, line: &CallLine<'_>) -> EndedCall {
        let CallName { rpc, route, verb } = self.name;
        let mut attributes = Vec::new();
        let (name, is_error) = if let Some(status) = line.grpc_status {
            attributes
                .extend([("rpc.system.name", "grpc".to_owned()), ("rpc.response.status_code", status.to_owned())]);
            (rpc.unwrap_or(OTHER).to_owned(), FAULTS.contains(&status))
        } else {
            let status = line.http_status.unwrap_or_default();
            attributes.extend([("http.request.method", verb.to_owned()), ("http.route", route.to_owned())]);
            attributes.push(("http.response.status_code", status.to_string()));
            (format!("{verb} {route}"), status >= 500)
        };
        attributes.extend(rpc.map(|rpc| ("rpc.method", rpc.to_owned())));
        EndedCall { name, attributes, is_error, duration: self.begun.elapsed() }
    }

    fn log(&self, response: &Response<Body>, path: Option<&str>) {
        let mut line = self.line(path);
        let failed = if self.grpc {
            let code = grpc_code(response.headers());
            line.grpc_status = Some(grpc_name(code));
            code != Code::Ok
        } else {
            line.http_status = Some(response.status().as_u16());
            !response.status().is_success()
        };
        self.count(&line);
        line.bytes_out = Some(response.body().size_hint().lower());
        let slow = self.begun.elapsed() >= self.observer.limits.slow;
        let level = if failed { LoggedCalls::Failed } else { LoggedCalls::All };
        if slow {
            line!(warn, line, "answered slowly");
        } else if path.is_some_and(is_probe) {
            // Probes arrive every second, and would fill the log.
            line!(debug, line, "answered");
        } else if level <= self.observer.limits.logged {
            line!(info, line, "answered");
        }
    }
}

/// Returns the status of an answer. On success it is absent here: the trailers carry it, after the message.
fn grpc_code(headers: &HeaderMap) -> Code {
    headers.get(Status::GRPC_STATUS).map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}

/// Returns the name of a status, as the protocol's documentation spells it.
pub fn grpc_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Logs a call that its caller abandoned; its work may still be done.
struct Unanswered<'a> {
    call: ObservedCall<'a>,
    path: &'a str,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let mut line = self.call.line(Some(self.path));
        if self.call.grpc {
            line.grpc_status = Some(grpc_name(Code::Cancelled));
        } else {
            line.http_status = Some(CLIENT_CLOSED_REQUEST);
        }
        self.call.count(&line);
        line!(info, line, "the caller abandoned the call");
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
