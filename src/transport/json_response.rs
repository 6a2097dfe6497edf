//! JSON responses over HTTP.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// Returns a response with `body` as JSON.
pub fn json_response(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    // Serialization fails for no message of this service. An empty body is safer than a panic.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
