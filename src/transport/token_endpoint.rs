//! `POST /v3/oauth/token/generate` issues an access token for the username and secret of an API client. The response
//! has the documented shape: `data` and `errors` are always present, and `null` where they have no value.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use http_body_util::{BodyExt, Collected};
use serde::{Deserialize, Serialize};

use super::auth::{Gatekeeper, GivenToken};
use super::content::is_json;
use super::json_response::json_response;
use super::refusal::Refusal;
use crate::access::credentials::UsernameSecret;
use crate::access::secret::Secret;
use crate::access::tokens::IssuedToken;
use crate::object::Object;
use crate::proto::{CallError, Reason};
use crate::wire::Violations;
use crate::wire::json::document;

#[derive(Deserialize)]
struct TokenRequest {
    key: Option<String>,
    secret: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    access_token: String,
    ttl_seconds: u64,
}

#[derive(Serialize)]
struct TokenResponse {
    data: Option<Token>,
    errors: Option<Vec<CallError>>,
}

/// Returns the route, which requires no credentials.
pub fn routes(gatekeeper: &Arc<Gatekeeper>) -> Router {
    Router::new().route("/v3/oauth/token/generate", post(generate).with_state(Arc::clone(gatekeeper)))
}

async fn generate(State(gatekeeper): State<Arc<Gatekeeper>>, request: Request) -> Response<Body> {
    let mut response = match give(&gatekeeper, request).await {
        Ok(GivenToken { caller, limit, token }) => {
            let mut response = match token {
                Ok(IssuedToken { access_token, ttl_seconds }) => {
                    let data = Some(Token { access_token, ttl_seconds });
                    json_response(StatusCode::OK, &TokenResponse { data, errors: None })
                }
                Err(refusal) => refused(refusal),
            };
            if let Some(limit) = limit {
                limit.tell(response.headers_mut());
            }
            // The log line names the caller.
            response.extensions_mut().insert(caller);
            response
        }
        Err(refusal) => refused(refusal),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn give(gatekeeper: &Gatekeeper, request: Request) -> Result<GivenToken, Refusal> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(Refusal::NotJson);
    }
    // The body is in memory already, read by `body`.
    let body = body.collect().await.map(Collected::to_bytes);
    let body = body.map_err(|_| Refusal::Invalid(Violations::of("", "the body ended early")))?;
    gatekeeper.give_token(read(&body)?, &parts.headers, &parts.extensions).await
}

fn read(body: &Bytes) -> Result<UsernameSecret, Refusal> {
    let invalid = |description| Refusal::Invalid(Violations::of("", description));
    let body = document(body).map_err(|problem| invalid(format!("the body {problem}")))?;
    let Object(request): Object<TokenRequest> = serde_json::from_str(body).map_err(|problem| {
        // The text of the library repeats the unexpected value, which may be the secret.
        let place = format!("line {}, column {}", problem.line(), problem.column());
        invalid(format!("the body is no JSON object with the texts key and secret: {place}"))
    })?;
    let mut violations = Violations::default();
    for (name, value) in [("key", &request.key), ("secret", &request.secret)] {
        if value.as_deref().is_none_or(str::is_empty) {
            violations.add(name, "is required");
        }
    }
    let (username, secret) = (request.key.unwrap_or_default(), Secret::new(request.secret.unwrap_or_default()));
    violations.or_ok(UsernameSecret { username, secret }).map_err(Refusal::Invalid)
}

fn refused(refusal: Refusal) -> Response<Body> {
    let (mut errors, mut response) = (refusal.errors(), refusal.into_json());
    if response.status() == StatusCode::UNAUTHORIZED {
        let code = Reason::WrongKeyOrSecret.code();
        errors = vec![CallError { code, message: "the key or the secret is wrong".to_owned() }];
    }
    let body = json_response(response.status(), &TokenResponse { data: None, errors: Some(errors) }).into_body();
    *response.body_mut() = body;
    response
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mutate::damaged;

    proptest! {
        #[test]
        fn every_body_is_a_pair_or_refused(
            bytes in damaged(vec![br#"{"key":"till","secret":"caf\u00e9","more":[1]}"#.to_vec()]),
        ) {
            match read(&Bytes::from(bytes)) {
                Ok(pair) => prop_assert!(!pair.username.is_empty() && !pair.secret.expose().is_empty()),
                Err(Refusal::Invalid(violations)) => prop_assert!(!violations.is_empty()),
                Err(_) => prop_assert!(false, "refused for another reason"),
            }
        }
    }
}
