//! Health of the service, for probes on both endpoints: the process is alive, and calls are served.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde::Serialize;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use super::json_response::json_response;
use crate::proto::SERVICES;

/// Returns the names that gRPC probes ask for: the whole server, and each service.
fn probed() -> impl Iterator<Item = &'static str> {
    std::iter::once("").chain(SERVICES)
}

/// The health that probes are told.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    ready: watch::Sender<Option<bool>>,
}

impl Health {
    /// Returns the health of a service that is not ready yet.
    pub async fn new() -> Self {
        let health = Self { reporter: HealthReporter::new(), ready: watch::Sender::new(None) };
        health.set_ready(false).await;
        health
    }

    /// Records whether calls are served, and returns true if this has changed.
    pub async fn set_ready(&self, ready: bool) -> bool {
        // A repeated status would be sent again to every watcher.
        if self.ready.send_replace(Some(ready)) == Some(ready) {
            return false;
        }
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in probed() {
            self.reporter.set_service_status(service, status).await;
        }
        true
    }

    /// Ends the streams of watchers, because the service stops.
    pub async fn end_watches(&mut self) {
        for service in probed() {
            self.reporter.clear_service_status(service).await;
        }
    }

    /// Returns the gRPC health service.
    pub fn service(&self) -> HealthService {
        HealthService::from_health_reporter(self.reporter.clone())
    }

    /// Returns the routes `GET /healthz` (the process is alive) and `GET /readyz` (calls are served).
    pub fn routes(&self) -> Router {
        #[derive(Serialize)]
        struct HealthStatus {
            status: &'static str,
        }

        let ready = self.ready.subscribe();
        let readyz = move || {
            let serving = *ready.borrow() == Some(true);
            async move {
                if serving {
                    json_response(StatusCode::OK, &HealthStatus { status: "SERVING" })
                } else {
                    json_response(StatusCode::SERVICE_UNAVAILABLE, &HealthStatus { status: "NOT_SERVING" })
                }
            }
        };
        Router::new()
            .route("/healthz", get(|| async { json_response(StatusCode::OK, &HealthStatus { status: "ALIVE" }) }))
            .route("/readyz", get(readyz))
    }
}
