//! The JSON endpoint: for each HTTP binding of a method, parses the message from JSON, calls the same service as gRPC,
//! and encodes the response as JSON.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Collected};
use serde::Serialize;
use serde::de::IgnoredAny;
use tonic::Status;

use super::body::SMALL_BODY_BYTES;
use super::content::is_json;
use super::json_response::json_response;
use super::large_read;
use super::parameters::{Parameters, variables};
use super::refusal::Refusal;
use super::refusal_form::status_to_json;
use crate::wire::Violations;
use crate::wire::json::{InvalidJson, JsonMessage, ReadJson, UnknownFields, document, from_slice, read_parameters};

/// The part of the request message that the body holds.
#[derive(Debug, Clone, Copy)]
pub enum BodyRule {
    /// Every field that the path does not hold (`body: "*"`).
    Whole,
    /// One field, named by its JSON name.
    Field(&'static str),
    /// No field: the query holds those that the path does not.
    None,
}

/// Violations found while the JSON was parsed, which the service reports along with those it finds itself.
#[derive(Debug, Clone)]
struct Found(Violations);

/// Returns the violations found while the request was parsed as JSON, or no violations for a gRPC request.
pub fn found_violations<T>(request: &tonic::Request<T>) -> Violations {
    request.extensions().get::<Found>().map(|found| found.0.clone()).unwrap_or_default()
}

/// An HTTP binding of a method: the template of its path, and the part of the message that the body holds.
pub struct Binding {
    /// Template of the path.
    pub template: &'static str,
    /// Part of the message that the body holds.
    pub rule: BodyRule,
}

/// Answers one request to a path that matches the binding, through `call`.
pub async fn answer<M, R, F, A>(binding: Binding, request: Request, call: F) -> Response<Body>
where
    M: JsonMessage + ReadJson,
    R: Serialize,
    F: FnOnce(tonic::Request<M>) -> A,
    A: Future<Output = Result<tonic::Response<R>, Status>>,
{
    let request = match read(binding, request).await {
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

async fn read<M: JsonMessage + ReadJson>(binding: Binding, request: Request) -> Result<tonic::Request<M>, Refusal> {
    let Binding { template, rule } = binding;
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
        // The query cannot override a field of the path or the body, because a proxy may decide access by the path.
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
    // The body is in memory already, read by `body`.
    let body = body.collect().await.map(Collected::to_bytes);
    let mut body = body.map_err(|_| Refusal::Invalid(Violations::of("", "the body ended early")))?;
    let unreadable = |problem: InvalidJson| (M::default(), Violations::of("", format!("the body {problem}")));
    if let Some(name) = field {
        // The value is wrapped as the only field of a message, so that the same reader applies.
        let value = document(&body).and_then(|value| {
            serde_json::from_str::<IgnoredAny>(value)?;
            Ok(value)
        });
        body = match value {
            Ok(value) => Bytes::from([b"{\"", name.as_bytes(), b"\":", value.as_bytes(), b"}"].concat()),
            Err(problem) => return Ok(unreadable(problem)),
        };
    }
    // An unreadable body is a violation that the service reports, after it has refused callers without access.
    Ok(from_slice(&body, UnknownFields::Ignore).unwrap_or_else(unreadable))
}
