//! The routes of a service that waits for its database or migrates it: probes are told its health, and every other call is
//! refused.

use axum::Router;
use axum::extract::Request;
use tonic_health::pb::health_server::HealthServer;

use super::body::SMALL_BODY_BYTES;
use super::content::is_grpc;
use super::health::Health;
use super::refusal::Refusal;

/// Path of the gRPC call that probes send. Watchers are refused, and try again.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Returns the routes.
pub(super) fn routes(health: &Health) -> Router {
    let check = HealthServer::new(health.service()).max_decoding_message_size(SMALL_BODY_BYTES);
    health
        .routes()
        .route_service(CHECK, check)
        .fallback(|request: Request| async move { Refusal::NotServing.into_response(is_grpc(request.headers())) })
        .method_not_allowed_fallback(|| async { Refusal::MethodNotAllowed.into_json() })
}
