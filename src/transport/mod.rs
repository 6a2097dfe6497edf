//! The doors: gRPC and JSON on one port, through the same service traits, and what stands around them.
//!
//! From the outside in: `edge` (connections, TLS, HTTP), `request_log` (request id, one log line, deadline), `admission`
//! (for every route: only while serving, `auth` (who, and how often), `body` (all of it, in time), and how much memory the
//! call and its `answer` may hold), then the gRPC service or the JSON door, then `wire`. Knows neither the rules nor the
//! database.

mod admission;
mod answer;
pub mod auth;
mod body;
mod catalog_service;
pub mod codec;
mod content;
mod customer_service;
mod deadline;
mod docs;
mod earn_service;
mod health;
mod json_door;
mod json_response;
mod large_read;
mod lifecycle;
mod messages;
mod parameters;
pub mod rate_limit;
pub mod refusal;
mod refused;
mod request_log;
mod shares;
mod token_door;
mod wallet_service;

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use chrono_tz::Tz;
use tonic_health::pb::health_server::HealthServer;
use tower_service::Service;

pub use admission::AdmissionLimits;
pub use body::MAX_BODY_BYTES;
pub use health::Health;
pub use lifecycle::{Lifecycle, Phase};
pub use request_log::CallLimits;

use crate::app::App;
use crate::printable::Printable;
use crate::proto::DESCRIPTOR_SET;
use crate::proto::catalog_service_server::CatalogServiceServer;
use crate::proto::customer_service_server::CustomerServiceServer;
use crate::proto::earn_service_server::EarnServiceServer;
use crate::proto::wallet_service_server::WalletServiceServer;
use crate::wire::bulk_earn::RequestLimits;
use admission::{Admission, REFLECTION_MESSAGE_BYTES, SMALL_BODY_BYTES};
use auth::{AccessSettings, Gatekeeper};
use refusal::Refusal;

/// Longest path that an answer repeats: bytes.
const MAX_ECHOED_BYTES: usize = 200;

/// What the doors are told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Zone in which times are written.
    pub time_zone: Tz,
    /// How much one request may ask for.
    pub limits: RequestLimits,
    /// Who is let in, and how often.
    pub access: AccessSettings,
    /// Limits of all calls.
    pub admission: AdmissionLimits,
}

/// Every service behind both doors.
#[derive(Debug)]
struct Api {
    app: App,
    settings: Settings,
}

/// What is served, and around all of it what every request gets.
#[derive(Debug, Clone)]
pub struct Doors {
    /// What answers.
    pub router: Router,
    /// What one call may take.
    pub limits: CallLimits,
}

impl Doors {
    /// Answers one request, whatever it is.
    pub async fn answer(mut self, request: Request) -> Response {
        request_log::observe(self.limits, request, async |request| match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        })
        .await
    }
}

/// Both doors to `app`, and what tells of the service itself.
///
/// # Errors
/// When the descriptor set cannot be read by the reflection service.
pub fn router(
    app: App,
    settings: Settings,
    lifecycle: &Arc<Lifecycle>,
    health: &Health,
) -> Result<Router, tonic_reflection::server::Error> {
    let gatekeeper = Gatekeeper::new(app.clone(), settings.access.clone());
    let admission = Admission::new(settings.admission, Arc::clone(lifecycle), Arc::clone(&gatekeeper));
    let api = Arc::new(Api { app, settings });
    let earn = EarnServiceServer::from_arc(Arc::clone(&api)).max_decoding_message_size(MAX_BODY_BYTES);
    let wallet = WalletServiceServer::from_arc(Arc::clone(&api)).max_decoding_message_size(MAX_BODY_BYTES);
    let catalog = CatalogServiceServer::from_arc(Arc::clone(&api)).max_decoding_message_size(MAX_BODY_BYTES);
    let customers = CustomerServiceServer::from_arc(Arc::clone(&api)).max_decoding_message_size(MAX_BODY_BYTES);

    let grpc = tonic::service::Routes::new(earn)
        .add_service(wallet)
        .add_service(catalog)
        .add_service(customers)
        .add_service(HealthServer::new(health.service()).max_decoding_message_size(SMALL_BODY_BYTES))
        .add_service(reflection().build_v1()?.max_decoding_message_size(REFLECTION_MESSAGE_BYTES))
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(REFLECTION_MESSAGE_BYTES))
        .into_axum_router()
        .reset_fallback();

    Ok(grpc
        .merge(json_door::earn_service(&api))
        .merge(json_door::wallet_service(&api))
        .merge(json_door::catalog_service(&api))
        .merge(json_door::customer_service(&api))
        .merge(token_door::routes(&gatekeeper))
        .merge(health.routes())
        .merge(docs::routes())
        // Around every route that there is. What follows answers without the body.
        .route_layer(from_fn_with_state(admission, Admission::admit))
        .fallback(|request: Request| async move {
            // Echoed: nobody needs a long one back.
            let mut path = String::new();
            let _ = Printable::new(&mut path, MAX_ECHOED_BYTES).write_str(request.uri().path());
            Refusal::UnknownPath(path).into_response(request_log::is_grpc(request.headers()))
        })
        .method_not_allowed_fallback(|| async { Refusal::MethodNotAllowed.into_json() }))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
