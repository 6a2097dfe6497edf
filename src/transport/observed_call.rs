//! A call that is observed: its log line, its metrics and the end of its span.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, Response};
use tonic::{Code, Status};

use super::call_name::{CallName, OTHER};
use crate::telemetry::call::{self, CallRecord, CallResult};
use crate::telemetry::metrics::{HttpCall, Metrics};
use crate::telemetry::traces::{EndedCall, Traces};

/// Statuses of gRPC that are faults of the service, by the semantic conventions for servers.
const FAULTS: [&str; 6] = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
/// Status of a JSON call that its caller abandoned, for logs and metrics: as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

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

/// A call that is observed.
#[derive(Debug, Clone, Copy)]
pub struct ObservedCall<'a> {
    /// Name of the call.
    pub name: CallName,
    /// True for a gRPC call.
    pub grpc: bool,
    /// Time of its beginning.
    pub begun: Instant,
    /// Limits of the call, and what is told of it.
    pub observer: &'a Observer,
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

    /// Logs and counts the call, which is answered by `response`. Takes the record of the running call.
    pub fn log(&self, response: &Response<Body>, path: Option<&str>) {
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
fn grpc_name(code: Code) -> &'static str {
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

/// Logs a call that its caller abandoned, when it is dropped; the work of the call may still be done.
#[derive(Debug)]
pub struct Unanswered<'a> {
    /// The call.
    pub call: ObservedCall<'a>,
    /// Path of its request.
    pub path: &'a str,
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
