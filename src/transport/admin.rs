//! The routes of the admin listener: metrics, and health for probes that have neither TLS nor credentials.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::health::Health;
use crate::telemetry::metrics::Metrics;

/// Sets the metrics that are read from the state of the service.
pub type Refresh = Arc<dyn Fn() + Send + Sync>;

/// Returns the routes `GET /metrics`, `GET /healthz` and `GET /readyz`. `refresh` runs before each scrape.
pub fn admin_routes(health: &Health, metrics: Arc<Metrics>, refresh: Refresh) -> Router {
    let scrape = move || {
        refresh();
        let response = match metrics.scrape() {
            Ok((format, text)) => ([(header::CONTENT_TYPE, format)], text).into_response(),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the metrics cannot be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        };
        std::future::ready::<Response>(response)
    };
    health.routes().route("/metrics", get(scrape))
}
