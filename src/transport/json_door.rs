//! The JSON door: each HTTP form of a method reads its message from JSON, calls the same service as gRPC, and writes
//! the answer as JSON.
//!
//! `build.rs` writes the routes from the `google.api.http` rules of `proto/`; a new method costs nothing here.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Collected};
use serde::Serialize;
use serde::de::IgnoredAny;
use tonic::Status;

use super::admission::SMALL_BODY_BYTES;
use super::content::is_json;
use super::json_response::json_response;
use super::large_read;
use super::parameters::{Parameters, variables};
use super::refusal::{Refusal, status_to_json};
use crate::wire::Violations;
use crate::wire::json::{InvalidJson, JsonMessage, ReadJson, UnknownFields, document, from_slice, read_parameters};

include!(concat!(env!("OUT_DIR"), "/json_routes.rs"));

/// What of the request message is in the body.
#[derive(Debug, Clone, Copy)]
enum BodyRule {
    /// All that the path does not hold (`body: "*"`).
    Whole,
    /// One field, of this JSON name.
    Field(&'static str),
    /// Nothing: the rest is in the query.
    None,
}

/// What the JSON reader found wrong, for the service to report with what it finds itself.
#[derive(Debug, Clone)]
struct Found(Violations);

/// The faults that reading the request as JSON found; none for a request that came through gRPC.
pub fn found_violations<T>(request: &tonic::Request<T>) -> Violations {
    request.extensions().get::<Found>().map(|found| found.0.clone()).unwrap_or_default()
}

/// Answers one request, to a path that matches `template`, through `call`.
async fn answer<M, R, F, A>((template, rule): (&str, BodyRule), request: Request, call: F) -> Response<Body>
where
    M: JsonMessage + ReadJson,
    R: Serialize,
    F: FnOnce(tonic::Request<M>) -> A,
    A: Future<Output = Result<tonic::Response<R>, Status>>,
{
    let request = match read(template, rule, request).await {
        Ok(request) => request,
        Err(refusal) => return refusal.into_json(),
    };
    match call(request).await {
        Ok(response) => {
            let (metadata, message, extensions) = response.into_parts();
            let mut response = large_read::encode(&extensions, || json_response(StatusCode::OK, &message));
            response.headers_mut().extend(metadata.into_headers());
            response
        }
        Err(status) => status_to_json(&status),
    }
}

async fn read<M: JsonMessage + ReadJson>(
    template: &str,
    rule: BodyRule,
    request: Request,
) -> Result<tonic::Request<M>, Refusal> {
    let (parts, body) = request.into_parts();
    let (mut message, mut violations) = match rule {
        BodyRule::None if body.size_hint().lower() > SMALL_BODY_BYTES as u64 => {
            return Err(Refusal::TooLarge { max_bytes: SMALL_BODY_BYTES });
        }
        BodyRule::None => (M::default(), Violations::default()),
        BodyRule::Whole => read_body(&parts.headers, body, None).await?,
        BodyRule::Field(name) => read_body(&parts.headers, body, Some(name)).await?,
    };
    let path = Parameters::of_path::<M>(template, parts.uri.path(), &mut violations);
    violations.extend(read_parameters(&mut message, path.iter()));
    if !matches!(rule, BodyRule::Whole) {
        let query = Parameters::of_query::<M>(parts.uri.query().unwrap_or_default(), &mut violations);
        // What the path or the body says is not for the query to say otherwise: whoever is in front may go by the path.
        let bound = |name: &str| {
            let field = M::field(name.split('.').next().unwrap_or_default());
            let in_body = matches!(rule, BodyRule::Field(body) if M::field(body) == field);
            in_body || variables(template).any(|variable| M::field(variable) == field)
        };
        violations.extend(read_parameters(&mut message, query.iter().filter(|(name, _)| !bound(name))));
    }
    let mut request = tonic::Request::from_parts(
        tonic::metadata::MetadataMap::from_headers(parts.headers),
        parts.extensions,
        message,
    );
    if !violations.is_empty() {
        request.extensions_mut().insert(Found(violations));
    }
    Ok(request)
}

async fn read_body<M: JsonMessage + ReadJson>(
    headers: &HeaderMap,
    body: Body,
    field: Option<&str>,
) -> Result<(M, Violations), Refusal> {
    if !is_json(headers) {
        return Err(Refusal::NotJson);
    }
    // In memory already: see `body`.
    let body = body.collect().await.map(Collected::to_bytes);
    let mut body = body.map_err(|_| Refusal::Invalid(Violations::of("", "the body ended early")))?;
    let unreadable = |fault: InvalidJson| (M::default(), Violations::of("", format!("the body {fault}")));
    if let Some(name) = field {
        // As if the body stood in a message with nothing else.
        let value = document(&body).and_then(|value| {
            serde_json::from_slice::<IgnoredAny>(value)?;
            Ok(value)
        });
        body = match value {
            Ok(value) => Bytes::from([b"{\"", name.as_bytes(), b"\":", value, b"}"].concat()),
            Err(fault) => return Ok(unreadable(fault)),
        };
    }
    // A body that cannot be read is a fault for the service to report: who may not call is told that first.
    Ok(from_slice(&body, UnknownFields::Ignore).unwrap_or_else(unreadable))
}
