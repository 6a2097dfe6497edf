//! What tells of the JSON door: the OpenAPI document for programs, and a page of it for people. `build.rs` writes both.
//!
//! The page needs nothing but itself, and browsers are told to fetch nothing for it.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};
use axum::routing::get;

/// The document.
const OPENAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));
/// The page.
const PAGE: &str = include_str!(concat!(env!("OUT_DIR"), "/docs.html"));
/// Nothing is loaded or run, nor the page shown within another; its style is in it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /openapi.json` and `GET /docs`: for everybody.
pub fn routes() -> Router {
    Router::new()
        .route("/openapi.json", get(|| async { answer("application/json", OPENAPI, []) }))
        .route("/docs", get(|| async { answer("text/html; charset=utf-8", PAGE, [policy()]) }))
}

fn policy() -> (HeaderName, HeaderValue) {
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
}

fn answer<const N: usize>(
    media_type: &'static str,
    body: &'static str,
    more: [(HeaderName, HeaderValue); N],
) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // What it says is of the build that answers.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(more);
    response
}
