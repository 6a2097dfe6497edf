//! The doors: gRPC and JSON on one port, through the same service traits, and what stands around them.
//!
//! From the outside in: `edge` (connections, TLS, HTTP), `request_log` (request id, one log line, deadline), `lifecycle` (only while serving), `auth` (who, and
//! how often), `body` (all of it, in time), then the gRPC service or the JSON door, then `wire`. Knows neither the rules
//! nor the database.

pub mod auth;
mod body;
mod catalogue_service;
pub mod codec;
mod content;
mod customer_service;
mod deadline;
mod docs;
mod earn_service;
pub mod edge;
mod health;
mod json_door;
mod json_response;
mod lifecycle;
mod parameters;
pub mod rate_limit;
pub mod refusal;
mod refused;
mod request_log;
mod token_door;
mod wallet_service;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use chrono_tz::Tz;
use tonic_health::pb::health_server::HealthServer;
use tower_service::Service;

pub use body::{BodyLimits, MAX_BODY_BYTES};
pub use health::Health;
pub use lifecycle::{Lifecycle, Phase};
pub use request_log::CallLimits;

use crate::app::App;
use crate::proto::DESCRIPTOR_SET;
use crate::proto::catalog_service_server::CatalogServiceServer;
use crate::proto::customer_service_server::CustomerServiceServer;
use crate::proto::earn_service_server::EarnServiceServer;
use crate::proto::wallet_service_server::WalletServiceServer;
use crate::wire::bulk_earn::RequestLimits;
use auth::{AccessSettings, Gatekeeper};
use body::Bodies;
use refusal::Refusal;

/// What the doors are told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Zone in which times are written.
    pub time_zone: Tz,
    /// How much one request may ask for.
    pub limits: RequestLimits,
    /// Who is let in, and how often.
    pub access: AccessSettings,
    /// Of bodies.
    pub body: BodyLimits,
}

/// Every service behind both doors.
#[derive(Debug)]
struct Api {
    app: App,
    settings: Settings,
}

/// What stands before every call. Two ways in, each one layer: every layer costs a call as much as what they do.
#[derive(Debug)]
struct Entrance {
    lifecycle: Arc<Lifecycle>,
    gatekeeper: Arc<Gatekeeper>,
    bodies: Bodies,
}

impl Entrance {
    async fn let_in(State(entrance): State<Arc<Self>>, request: Request, next: Next) -> Response {
        entrance.admit(request, |request| next.run(request)).await
    }

    async fn admit<A: Future<Output = Response>>(&self, request: Request, then: impl FnOnce(Request) -> A) -> Response {
        let Self { lifecycle, gatekeeper, bodies } = self;
        let take = |request| bodies.take(request, then);
        lifecycle::while_serving(lifecycle, request, |request| gatekeeper.admit(request, take)).await
    }

    /// Who has no token yet.
    async fn let_anybody_in(State(entrance): State<Arc<Self>>, request: Request, next: Next) -> Response {
        let Self { lifecycle, bodies, .. } = &*entrance;
        let take = |request| bodies.take(request, |request| next.run(request));
        lifecycle::while_serving(lifecycle, request, take).await
    }
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
    let bodies = Bodies::new(settings.body, Arc::clone(lifecycle));
    let entrance = Arc::new(Entrance { lifecycle: Arc::clone(lifecycle), gatekeeper, bodies });
    let api = Arc::new(Api { app, settings });
    let earn = EarnServiceServer::from_arc(Arc::clone(&api)).max_decoding_message_size(MAX_BODY_BYTES);
    let wallet = WalletServiceServer::from_arc(Arc::clone(&api)).max_decoding_message_size(MAX_BODY_BYTES);
    let catalogue = CatalogServiceServer::from_arc(Arc::clone(&api)).max_decoding_message_size(MAX_BODY_BYTES);
    let customers = CustomerServiceServer::from_arc(Arc::clone(&api)).max_decoding_message_size(MAX_BODY_BYTES);

    let calls = tonic::service::Routes::new(earn)
        .add_service(wallet)
        .add_service(catalogue)
        .add_service(customers)
        .into_axum_router()
        .reset_fallback()
        .route_layer(from_fn_with_state(Arc::clone(&entrance), Entrance::let_in))
        .merge(
            json_door::earn_service(&api)
                .merge(json_door::wallet_service(&api))
                .merge(json_door::catalog_service(&api))
                .merge(json_door::customer_service(&api))
                .route_layer(from_fn_with_state(Arc::clone(&entrance), Entrance::let_in)),
        );

    let tokens = token_door::routes(&entrance.gatekeeper)
        .route_layer(from_fn_with_state(Arc::clone(&entrance), Entrance::let_anybody_in));

    let open = tonic::service::Routes::new(HealthServer::new(health.service()))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .into_axum_router()
        .reset_fallback()
        .merge(health.routes())
        .merge(docs::routes());

    Ok(calls
        .merge(tokens)
        .merge(open)
        .fallback(|request: Request| async move {
            // Echoed: nobody needs a long one back.
            let path = request.uri().path().chars().take(200).collect();
            Refusal::UnknownPath(path).into_response(request_log::is_grpc(request.headers()))
        })
        .method_not_allowed_fallback(|| async { Refusal::MethodNotAllowed.into_json() }))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
