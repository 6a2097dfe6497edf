//! The gRPC and JSON endpoints, on one port and through the same service traits.
//!
//! A request passes, in this order: `edge` (connections, TLS, HTTP), `request_log` (request id, one log line,
//! deadline), `admission` (on every route: phase of the service, `auth` with credentials and rate limits, `body`, and
//! the memory of the call and of its `answer`), then the gRPC service or the JSON endpoint, then `wire`. This module
//! knows neither the rules nor the database.

mod admin;
mod admission;
mod answer;
pub mod auth;
mod body;
mod call_facts;
mod call_name;
mod catalog_service;
pub mod codec;
mod content;
mod customer_service;
mod deadline;
mod docs;
mod earn_service;
mod health;
mod json_endpoint;
mod json_response;
mod large_read;
mod library_errors;
mod lifecycle;
mod messages;
mod observed_call;
mod parameters;
pub mod rate_limit;
mod reflection;
pub mod refusal;
mod refusal_form;
mod refused;
mod request_log;
mod routes;
mod shares;
mod starting;
mod token_endpoint;
mod wallet_service;

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use chrono_tz::Tz;
use tonic_health::pb::health_server::HealthServer;
use tower_service::Service;

pub use admin::{Refresh, admin_routes};
pub use admission::AdmissionLimits;
pub use body::MAX_BODY_BYTES;
pub use health::Health;
pub use lifecycle::{Lifecycle, Phase};
pub use observed_call::{CallLimits, LoggedCalls, Observer};
pub use reflection::SchemaError;
pub use request_log::ObservedResponse;

use crate::app::App;
use crate::printable::Printable;
use crate::wire::Violations;
use crate::wire::bulk_earn::RequestLimits;
use admission::{Admission, REFLECTION_MESSAGE_BYTES};
use auth::{AccessSettings, Gatekeeper};
use body::SMALL_BODY_BYTES;
use content::is_grpc;
use reflection::{OlderName, Reflection};
use refusal::{MAX_ECHOED_BYTES, Refusal};

/// Settings of both endpoints.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Time zone in which responses write times.
    pub time_zone: Tz,
    /// Limits of one bulk request.
    pub limits: RequestLimits,
    /// Access checks and rate limits.
    pub access: AccessSettings,
    /// Memory and time limits of all calls.
    pub admission: AdmissionLimits,
}

/// Implementation of every service, for the gRPC and the JSON endpoint.
#[derive(Debug)]
struct Api {
    app: App,
    settings: Settings,
}

/// The routers of the service, and the limits that apply to every request around them.
#[derive(Debug, Clone)]
pub struct Endpoints(Arc<Routers>);

#[derive(Debug)]
struct Routers {
    /// Router of the time before the service has its database.
    starting: Router,
    /// Router of all endpoints.
    serving: OnceLock<Router>,
    observer: Observer,
}

impl Endpoints {
    /// Returns the endpoints of a service that has no database yet. Until [`Self::serve`] they answer probes only.
    pub fn new(health: &Health, observer: Observer) -> Self {
        Self(Arc::new(Routers { starting: starting::routes(health), serving: OnceLock::new(), observer }))
    }

    /// Answers by this router from now on.
    pub fn serve(&self, router: Router) {
        // The service starts once.
        let _ = self.0.serving.set(router);
    }

    /// Answers one request to any path.
    pub async fn answer(self, request: Request) -> ObservedResponse {
        let Routers { starting, serving, observer } = &*self.0;
        let mut router = serving.get().unwrap_or(starting).clone();
        request_log::observe(observer, request, async |request| match router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        })
        .await
    }

    /// Answers a head that is no request, with the status and the violation that the HTTP library named.
    pub async fn refuse(&self, status: StatusCode, violation: &str, peer: Option<IpAddr>) -> Response {
        let refusal = match status {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge { max_bytes: MAX_BODY_BYTES },
            StatusCode::URI_TOO_LONG => Refusal::TargetTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                Refusal::HeadersTooLarge { max_bytes: self.0.observer.limits.max_header_bytes }
            }
            _ => Refusal::Invalid(Violations::of("", format!("the head of the request is malformed: {violation}"))),
        };
        request_log::refuse(&self.0.observer, refusal, peer).await
    }
}

/// Builds the router of the gRPC endpoint, the JSON endpoint, the token endpoint, health, and documentation.
///
/// # Errors
/// Returns an error if the reflection service cannot read its descriptor sets.
pub fn router(
    app: App,
    settings: Settings,
    lifecycle: &Arc<Lifecycle>,
    health: &Health,
) -> Result<Router, SchemaError> {
    let gatekeeper = Gatekeeper::new(app.clone(), settings.access.clone());
    let admission = Admission::new(settings.admission, Arc::clone(lifecycle), Arc::clone(&gatekeeper));
    let api = Arc::new(Api { app, settings });
    let reflection = Reflection::server(REFLECTION_MESSAGE_BYTES)?;
    let grpc = routes::grpc_routes(&api, MAX_BODY_BYTES)
        .add_service(HealthServer::new(health.service()).max_decoding_message_size(SMALL_BODY_BYTES))
        .add_service(reflection.clone())
        .add_service(OlderName(reflection))
        .into_axum_router()
        .reset_fallback();

    Ok(grpc
        .merge(routes::json_routes(&api))
        .merge(token_endpoint::routes(&gatekeeper))
        .merge(health.routes())
        .merge(docs::routes())
        // Admission wraps every route. The fallbacks below answer without reading the body.
        .route_layer(from_fn_with_state(admission, Admission::admit))
        .fallback(|request: Request| async move {
            // A caller gains nothing from a long path that is repeated whole.
            let mut path = String::new();
            let _ = Printable::new(&mut path, MAX_ECHOED_BYTES).write_str(request.uri().path());
            Refusal::UnknownPath(path).into_response(is_grpc(request.headers()))
        })
        .method_not_allowed_fallback(|| async { Refusal::MethodNotAllowed.into_json() }))
}
