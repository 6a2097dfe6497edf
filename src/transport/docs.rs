//! The documentation of the JSON endpoint: the OpenAPI document and an HTML page. `build.rs` writes both.
//!
//! The page is self-contained, and its content security policy forbids browsers to load anything for it.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};
use axum::routing::get;

/// The OpenAPI document.
const OPENAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));
/// The HTML page.
const PAGE: &str = include_str!(concat!(env!("OUT_DIR"), "/docs.html"));
/// Content security policy of the page: loads nothing, runs only the script of the page, and allows no framing.
const POLICY: &str = concat!(
    "default-src 'none'; style-src 'unsafe-inline'; script-src '",
    env!("DOCS_SCRIPT_DIGEST"),
    "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Returns the routes `GET /openapi.json` and `GET /docs`, which require no credentials.
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
    // The document belongs to the running build, so caches must revalidate it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(more);
    response
}
