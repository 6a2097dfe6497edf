//! Who calls, and how often: before a request's body is read, on both doors.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, header};
use axum::middleware::Next;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::body::discard;
use super::rate_limit::RateLimit;
use super::refusal::Refusal;
use super::request_log::is_grpc;
use crate::app::App;
use crate::app::access::AccessGroup;
use crate::app::credentials::{Caller, CheckError};
use crate::app::secret::Secret;
use crate::earning::OrgId;

/// With or without padding: clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Lets requests in.
#[derive(Debug, Clone)]
pub struct Gatekeeper {
    app: App,
    rate_limit: Option<Arc<RateLimit>>,
}

impl Gatekeeper {
    pub fn new(app: App, rate_limit: Option<RateLimit>) -> Self {
        Self { app, rate_limit: rate_limit.map(Arc::new) }
    }

    async fn check(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Refusal> {
        let (username, secret) = basic(headers).ok_or(Refusal::Unauthenticated)?;
        let caller = self.app.credentials().check(&username, secret).await;
        let caller = caller.map_err(refuse)?.ok_or(Refusal::Unauthenticated)?;
        if let Some(rate_limit) = &self.rate_limit {
            rate_limit.admit(&caller.username)?;
        }
        Ok(caller)
    }
}

/// Layer: hands the request on with its [`Caller`], or refuses it.
pub async fn admit(State(gatekeeper): State<Gatekeeper>, mut request: Request<Body>, next: Next) -> Response<Body> {
    match gatekeeper.check(request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(Arc::clone(&caller));
            let mut response = next.run(request).await;
            // For the log line.
            response.extensions_mut().insert(caller);
            response
        }
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            discard(parts.version, body).await;
            refusal.into_response(is_grpc(&parts.headers))
        }
    }
}

fn refuse(error: CheckError) -> Refusal {
    match error {
        CheckError::Overloaded => Refusal::Overloaded,
        CheckError::Storage(error) if error.is_unavailable() => Refusal::Unavailable(error),
        CheckError::Storage(error) => Refusal::Internal(error),
    }
}

/// The organization of who calls, who has this access and asks for no other organization.
pub fn caller<T>(request: &tonic::Request<T>, needed: AccessGroup, given: Option<i64>) -> Result<OrgId, Refusal> {
    let caller = request.extensions().get::<Arc<Caller>>().ok_or(Refusal::Unauthenticated)?;
    if !caller.access.includes(needed) {
        return Err(Refusal::AccessDenied(needed));
    }
    match given {
        Some(given) if given != caller.org_id.0 => Err(Refusal::OrgMismatch { given }),
        _ => Ok(caller.org_id),
    }
}

/// The API client that calls: whose turn it is goes by this name.
pub fn client<T>(request: &tonic::Request<T>) -> Result<Arc<str>, Refusal> {
    let caller = request.extensions().get::<Arc<Caller>>().ok_or(Refusal::Unauthenticated)?;
    Ok(Arc::clone(&caller.username))
}

/// Username and secret of an HTTP Basic header.
fn basic(headers: &HeaderMap) -> Option<(String, Secret)> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok()?;
    let (username, secret) = pair.split_once(':')?;
    Some((username.to_owned(), Secret::new(secret.to_owned())))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(value: &[u8]) -> Option<(String, Vec<u8>)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(value).ok()?);
        basic(&headers).map(|(username, secret)| (username, secret.expose().to_vec()))
    }

    #[test]
    fn basic_is_read_with_and_without_padding_and_with_colons_in_the_secret() {
        let pair = |secret: &[u8]| Some(("demo".to_owned(), secret.to_vec()));
        assert_eq!(read(b"Basic ZGVtbzpkZW1v"), pair(b"demo"));
        assert_eq!(read(b"basic ZGVtbzph"), pair(b"a"));
        assert_eq!(read(b"Basic ZGVtbzphOmI="), pair(b"a:b"));
        assert_eq!(read(b"Basic ZGVtbzphOmI"), pair(b"a:b"));
        assert_eq!(read(b"Basic ZGVtbzo="), pair(b""));
    }

    #[test]
    fn anything_else_is_no_credentials() {
        for value in ["", "Basic", "Basic ", "Basic !!!", "Basic ZGVtbw==", "Bearer ZGVtbzpkZW1v", "Basic gICA"] {
            assert_eq!(read(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(value in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&value);
            read(&[b"Basic ", value.as_slice()].concat());
        }
    }
}
