//! Authentication and rate limits of calls on both endpoints, applied before the body of a request is read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ipnet::IpNet;
use tonic::transport::server::TcpConnectInfo;

use super::content::is_grpc;
use super::rate_limit::{Charge, RateLimit, RateLimitSettings, RateLimits};
use super::refusal::{Refusal, Unauthenticated};
use crate::access::Caller;
use crate::access::credentials::{CheckError, Presented, UsernameSecret};
use crate::access::groups::{Access, AccessGroup};
use crate::access::secret::Secret;
use crate::access::tokens::IssuedToken;
use crate::app::App;
use crate::earning::OrgId;
use crate::telemetry::call;

/// Base64 with or without padding, because clients send both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Header in which the documented API carries the access token.
const TOKEN: HeaderName = HeaderName::from_static("x-cap-api-oauth-token");
/// Header in which a proxy names the address it calls for.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Username under which calls run where the service requires no credentials.
const ANYBODY: &str = "anybody";

/// Access checks and rate limits.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Rate limits of API clients.
    pub rate_limit: RateLimitSettings,
    /// Proxies whose `x-forwarded-for` header is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Organization of every caller, where the service requires no credentials.
    pub anybody_as: Option<OrgId>,
}

/// An issued token, and the caller that it was issued to.
#[derive(Debug)]
pub(super) struct GivenToken {
    pub caller: Arc<Caller>,
    pub limit: Option<Arc<RateLimit>>,
    /// A token, or a refusal if the client is beyond its rate limit.
    pub token: Result<IssuedToken, Refusal>,
}

/// Authenticates requests and charges them to the rate limits.
#[derive(Debug)]
pub(super) struct Gatekeeper {
    app: App,
    limits: RateLimits,
    trusted_proxies: Vec<IpNet>,
    anybody: Option<Arc<Caller>>,
}

impl Gatekeeper {
    /// Returns the gatekeeper of a service.
    pub fn new(app: App, settings: AccessSettings) -> Arc<Self> {
        let anybody = settings.anybody_as.map(|org_id| {
            Arc::new(Caller {
                username: ANYBODY.into(),
                org_id,
                org_recorded: true,
                access: Access::All,
                requests_per_minute: None,
            })
        });
        let (limits, trusted_proxies) = (RateLimits::new(settings.rate_limit), settings.trusted_proxies);
        Arc::new(Self { app, limits, trusted_proxies, anybody })
    }

    async fn check(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<Arc<Caller>, Refusal> {
        let address = self.address(headers, extensions);
        if let Some(anybody) = &self.anybody {
            return Ok(Arc::clone(anybody));
        }
        let checked = match presented(headers) {
            Some(presented) => self.app.credentials().check(&presented, address).await,
            None => Err(CheckError::Wrong),
        };
        checked.map_err(Refusal::from)
    }

    /// Passes the request on with its [`Caller`], or refuses it.
    pub async fn admit<A: Future<Output = Response<Body>>>(
        &self,
        mut request: Request<Body>,
        then: impl FnOnce(Request<Body>) -> A,
    ) -> Response<Body> {
        let caller = match self.check(request.headers(), request.extensions()).await {
            Ok(caller) => caller,
            Err(refusal) => return refusal.into_response(is_grpc(request.headers())),
        };
        call::record(|record| record.client = Some(Arc::clone(&caller.username)));
        let limit = self.limits.of(&caller);
        let mut response = match limit.clone().map(Charge::begin).transpose() {
            Ok(charge) => {
                let grpc = is_grpc(request.headers());
                request.extensions_mut().insert(caller);
                if let Some(charge) = &charge {
                    request.extensions_mut().insert(Arc::clone(charge));
                }
                let response = then(request).await;
                // A call that was refused before its cost was known costs 1, because no work was done for it.
                match charge.map_or(Ok(()), |charge| charge.make(1)) {
                    Ok(()) => response,
                    Err(refusal) => refusal.into_response(grpc),
                }
            }
            Err(refusal) => refusal.into_response(is_grpc(request.headers())),
        };
        if let Some(limit) = limit {
            limit.tell(response.headers_mut());
        }
        response
    }

    /// Issues a token to the API client with these credentials.
    pub async fn give_token(
        &self,
        pair: UsernameSecret,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<GivenToken, Refusal> {
        let address = self.address(headers, extensions);
        let given = self.app.credentials().give_token(pair, address).await;
        let (caller, token) = given?;
        call::record(|record| record.client = Some(Arc::clone(&caller.username)));
        let limit = self.limits.of(&caller);
        let charged = limit.as_ref().map_or(Ok(()), |limit| limit.charge(1));
        Ok(GivenToken { caller, limit, token: charged.map(|()| token) })
    }

    /// Returns the address a request comes from, and puts it into the log line: the nearest address in
    /// `x-forwarded-for` that is not a trusted proxy, or else the peer of the connection.
    pub fn address(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        let nearest = peer(extensions)?;
        let origin = origin(headers, nearest, &self.trusted_proxies);
        call::record(|record| record.peer = Some(origin));
        Some(origin)
    }
}

/// Returns the peer of the connection of a request.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    Some(extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip().to_canonical())
}

/// Returns the address a request comes from, starting at its peer `nearest`.
fn origin(headers: &HeaderMap, nearest: IpAddr, trusted_proxies: &[IpNet]) -> IpAddr {
    let trusted = |address: &IpAddr| trusted_proxies.iter().any(|network| network.contains(address));
    let mut address = nearest;
    let forwarded: Vec<_> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    // The entries are read from the nearest one. A malformed entry ends the search, because entries before it are not
    // trusted.
    for before in forwarded.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        let Some(before) = forwarded_address(before) else { break };
        if !trusted(&address) {
            break;
        }
        address = before.to_canonical();
    }
    address
}

/// Parses an address as proxies write it: alone, with a port, or an IPv6 address in brackets.
fn forwarded_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let alone = text.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    alone.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6))
}

/// Returns the caller that admission has authenticated.
fn authenticated<T>(request: &tonic::Request<T>) -> Result<&Arc<Caller>, Refusal> {
    request.extensions().get().ok_or(Refusal::Unauthenticated(Unauthenticated::Credentials))
}

/// Returns the organization of the caller, which must have the `needed` access and name no other organization. Charges
/// the call to the rate limit of its client, unless it earns: such a call is charged by its instances.
pub fn authorize<T>(request: &tonic::Request<T>, needed: AccessGroup, given: Option<i64>) -> Result<OrgId, Refusal> {
    let caller = authenticated(request)?;
    if !caller.org_recorded {
        return Err(Refusal::UnknownOrganization(caller.org_id));
    }
    if !caller.access.includes(needed) {
        return Err(Refusal::AccessDenied(needed));
    }
    if let Some(given) = given.filter(|given| *given != caller.org_id.0) {
        return Err(Refusal::OrgMismatch { given });
    }
    // A request that earns is charged once its number of instances is known.
    if needed != AccessGroup::EarnWrite
        && let Some(charge) = charge(request)
    {
        charge.make(1)?;
    }
    Ok(caller.org_id)
}

/// Returns the username of the API client that calls, which names its client queue.
pub fn client<T>(request: &tonic::Request<T>) -> Result<Arc<str>, Refusal> {
    let caller = authenticated(request)?;
    Ok(Arc::clone(&caller.username))
}

/// Returns the charge of the call, if its client has a rate limit.
pub(super) fn charge<T>(request: &tonic::Request<T>) -> Option<Arc<Charge>> {
    request.extensions().get().cloned()
}

/// Returns the credentials that a request presents. The header of the access token takes precedence over
/// `Authorization`. A repeated header counts as absent.
fn presented(headers: &HeaderMap) -> Option<Presented> {
    if headers.contains_key(TOKEN) {
        let token = only(headers, &TOKEN)?.trim();
        return Some(Presented::Token(Secret::new(token.to_owned())));
    }
    let (scheme, credentials) = only(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Presented::Token(Secret::new(credentials.trim().to_owned())));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok()?;
    let (username, secret) = pair.split_once(':')?;
    let (username, secret) = (username.to_owned(), Secret::new(secret.to_owned()));
    Some(Presented::Pair(UsernameSecret { username, secret }))
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mutate::damaged;

    /// Returns the username (empty for a token) and the secret.
    fn read_from(name: HeaderName, value: &[u8]) -> Option<(String, Vec<u8>)> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).ok()?);
        presented(&headers).map(|presented| match presented {
            Presented::Pair(pair) => (pair.username, pair.secret.expose().to_vec()),
            Presented::Token(token) => (String::new(), token.expose().to_vec()),
        })
    }

    fn read(value: &[u8]) -> Option<(String, Vec<u8>)> {
        read_from(header::AUTHORIZATION, value)
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
    fn a_token_is_read_from_either_header() {
        let token = Some((String::new(), b"a.b.c".to_vec()));
        assert_eq!(read(b"Bearer a.b.c"), token);
        assert_eq!(read(b"bearer  a.b.c "), token);
        assert_eq!(read_from(TOKEN, b"a.b.c"), token);
    }

    #[test]
    fn anything_else_is_no_credentials() {
        for value in
            ["", "Basic", "Basic ", "Basic !!!", "Basic ZGVtbw==", "Digest ZGVtbzpkZW1v", "Basic gICA", "Bearer"]
        {
            assert_eq!(read(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_header_that_comes_twice_says_nothing_and_the_token_goes_before() {
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Basic ZGVtbzpkZW1v"));
        headers.append(TOKEN, HeaderValue::from_static("a.b.c"));
        assert!(matches!(presented(&headers), Some(Presented::Token(_))));
        headers.append(TOKEN, HeaderValue::from_static("d.e.f"));
        assert!(presented(&headers).is_none());
        headers.remove(TOKEN);
        assert!(matches!(presented(&headers), Some(Presented::Pair(..))));
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Basic ZGVtbzpkZW1v"));
        assert!(presented(&headers).is_none());
    }

    #[test]
    fn the_nearest_address_that_is_not_a_proxy_counts_in_every_form_that_proxies_write() {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
        let nearest = IpAddr::from([10, 0, 0, 3]);
        for (lines, expected) in [
            (&[&b"203.0.113.9"[..]][..], "203.0.113.9"),
            (&[b"203.0.113.9:4711"], "203.0.113.9"),
            (&[b"[2001:db8::1]:80"], "2001:db8::1"),
            (&[b"[2001:db8::1]"], "2001:db8::1"),
            (&[b"2001:db8::1"], "2001:db8::1"),
            (&[b"::ffff:203.0.113.9"], "203.0.113.9"),
            (&[b"198.51.100.1, 203.0.113.9 , 10.1.1.1:80,[2001:db8:1::7]:9"], "203.0.113.9"),
            (&[b"198.51.100.1, 203.0.113.9", b"10.1.1.1"], "203.0.113.9"),
            (&[b"\xff, 203.0.113.9"], "203.0.113.9"),
            (&[b"caf\xc3\xa9", b"\xff\xfe,203.0.113.9:1, 10.9.9.9"], "203.0.113.9"),
            // An entry that a proxy wrote without an address ends the search.
            (&[b"203.0.113.9, \xff"], "10.0.0.3"),
            (&[b"203.0.113.9, unknown, 10.1.1.1"], "10.1.1.1"),
            (&[b"203.0.113.9:99999"], "10.0.0.3"),
            (&[b""], "10.0.0.3"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
            }
            assert_eq!(origin(&headers, nearest, &proxies), expected.parse::<IpAddr>().unwrap(), "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(value in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&value);
            for scheme in [&b"Basic "[..], b"Bearer "] {
                read(&[scheme, value.as_slice()].concat());
            }
            read_from(TOKEN, &value);
        }

        #[test]
        fn every_list_of_proxies_gives_an_address(
            value in damaged(vec![b"203.0.113.9, ::ffff:10.0.0.2,10.0.0.1".to_vec(), b"2001:db8::1 , 10.9.9.9".to_vec()]),
        ) {
            let nearest = IpAddr::from([10, 0, 0, 3]);
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(FORWARDED_FOR, value);
            }
            prop_assert_eq!(origin(&headers, nearest, &[]), nearest, "no proxy is trusted");
            let proxies = ["10.0.0.0/8".parse().unwrap()];
            let address = origin(&headers, nearest, &proxies);
            let mut said = value.split(|byte| *byte == b',').filter_map(forwarded_address);
            let among_them = said.any(|each| each.to_canonical() == address);
            prop_assert!(address == nearest || among_them);
        }
    }
}
