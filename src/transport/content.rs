//! Checks the form of a request before any work is done for it: gRPC or JSON, and the headers that HTTP requires.
//!
//! A call is answered in the form it came in, and never carried out if its caller could not read the answer.

use axum::body::Body;
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header};
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use super::refusal::Refusal;
use crate::proto::SERVICES;
use crate::wire::Violations;

/// gRPC services that the libraries implement.
const STOCK_SERVICES: [&str; 3] = [
    <HealthServer<HealthService> as NamedService>::NAME,
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];
/// Media types of gRPC that are accepted.
const GRPC: [&str; 2] = ["application/grpc", "application/grpc+proto"];
/// Names of UTF-8, and of ASCII, which is a part of it.
const CHARSETS: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];
/// Bytes that each header counts beyond its name and value, as in HTTP/2 (RFC 9113, section 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;

/// Returns true if the request has exactly one content type, and it is gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|(media_type, _)| GRPC.iter().any(|grpc| media_type.eq_ignore_ascii_case(grpc)))
}

/// Returns true if the body is declared as JSON without compression.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some((media_type, parameters)) = content_type(headers) else { return false };
    let mut parameters = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let unicode = parameters.all(|(name, value)| {
        let value = value.trim().trim_matches('"');
        !name.trim().eq_ignore_ascii_case("charset") || CHARSETS.iter().any(|each| value.eq_ignore_ascii_case(each))
    });
    let coding = match one(headers, &header::CONTENT_ENCODING) {
        Ok(coding) => coding.unwrap_or_default(),
        Err(Doubled) => return false,
    };
    let plain = coding.split(',').map(str::trim).all(|coding| coding.is_empty() || is_same(coding, "identity"));
    plain && unicode && is_same(media_type, "application/json")
}

/// Returns the media type and its parameters, or `None` if there is no content type or more than one.
fn content_type(headers: &HeaderMap) -> Option<(&str, &str)> {
    let value = one(headers, &header::CONTENT_TYPE).ok()??;
    let (media_type, parameters) = value.split_once(';').unwrap_or((value, ""));
    Some((media_type.trim(), parameters))
}

/// A header that is repeated or is not ASCII text.
struct Doubled;

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Doubled> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Doubled),
        (Some(_), Some(_)) => Err(Doubled),
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Returns true if the request is answered as gRPC. Removes a gRPC content type from any other request, so that
/// [`is_grpc`] agrees from here on.
pub fn settle_form(request: &mut Request<Body>) -> bool {
    if !is_grpc(request.headers()) {
        return false;
    }
    let called = request.method() == Method::POST && method_of(request.uri().path()).is_some();
    let grpc = called && request.version() == Version::HTTP_2;
    if !grpc {
        request.headers_mut().remove(header::CONTENT_TYPE);
    }
    grpc
}

/// Returns the service of a path of the form `/service/method`.
fn method_of(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some(service)
}

/// Returns the answer to a request that is refused for its form alone. `grpc` is the result of [`settle_form`].
pub fn refuse_form(request: &Request<Body>, grpc: bool, max_header_bytes: usize) -> Option<Response<Body>> {
    if request.version() <= Version::HTTP_11 && header_bytes(request.headers()) > max_header_bytes {
        // The library answers HTTP/2 requests, with the same status and no body.
        return Some(Refusal::HeadersTooLarge { max_bytes: max_header_bytes }.into_response(grpc));
    }
    if let Some(problem) = http_violation(request) {
        return Some(Refusal::Invalid(Violations::of("", problem)).into_response(grpc));
    }
    let service = request.uri().path().split('/').nth(1).unwrap_or_default();
    let is_service = SERVICES.contains(&service) || STOCK_SERVICES.contains(&service);
    (is_service && !grpc).then(|| Refusal::NotGrpc.into_json())
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES).sum()
}

/// Returns the violation of RFC 9112 or RFC 9113 in the target and the headers of a request, where the library accepts
/// it.
fn http_violation(request: &Request<Body>) -> Option<&'static str> {
    if !request.uri().path().starts_with(['/', '*']) {
        return Some("the target of the request must be a path, which begins with a slash; CONNECT is not served");
    }
    let headers = request.headers();
    let host = one(headers, &header::HOST);
    if request.version() == Version::HTTP_2 {
        return http_2_violation(request.uri(), host);
    }
    match host {
        Ok(Some(host)) if is_host(host) => {}
        Ok(None) if request.version() < Version::HTTP_11 => {}
        _ => return Some("HTTP/1.1 needs one header Host, with a host and perhaps a port"),
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| coding.to_str().is_ok_and(|coding| is_same(coding.trim(), "chunked"));
    match (codings.next(), codings.next()) {
        (None, _) => None,
        (Some(coding), None) if chunked(coding) => None,
        _ => Some("the Transfer-Encoding must be chunked alone, or absent"),
    }
}

/// Returns the violation of RFC 9113, section 8.3.1, in the authority and the `Host` of a request.
fn http_2_violation(uri: &Uri, host: Result<Option<&str>, Doubled>) -> Option<&'static str> {
    match (uri.authority(), host) {
        (_, Err(Doubled)) => Some("HTTP/2 allows one header Host at most"),
        (Some(authority), Ok(None)) if is_host_and_port(authority) => None,
        (None, Ok(Some(host))) if !host.is_empty() && is_host(host) => None,
        (Some(authority), Ok(Some(host))) if is_host_and_port(authority) && is_host(host) => {
            let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
            (!is_same_host(authority, host, default)).then_some("the header Host must name the same host as :authority")
        }
        _ => Some("HTTP/2 needs :authority, or a header Host, with a host and perhaps a port"),
    }
}

/// Returns true if both name one host and port. A missing port is `default`.
fn is_same_host(authority: &Authority, host: &str, default: u16) -> bool {
    let same = |host: Authority| {
        is_same(authority.host(), host.host())
            && authority.port_u16().unwrap_or(default) == host.port_u16().unwrap_or(default)
    };
    // Most clients that send both send the same text.
    authority == host || Authority::try_from(host).is_ok_and(same)
}

/// Returns true if `host` is empty (a target without an authority), or is a name or address with an optional port.
fn is_host(host: &str) -> bool {
    host.is_empty() || Authority::try_from(host).is_ok_and(|authority| is_host_and_port(&authority))
}

/// Returns true if an authority is a name or address with an optional port.
fn is_host_and_port(authority: &Authority) -> bool {
    let text = authority.as_str();
    let port = text.strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
    let has_port = port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok());
    has_port && !authority.host().is_empty() && !text.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn names_of_types_charsets_and_codings_have_no_case() {
        for value in [
            "application/json",
            "Application/JSON; Charset=UTF-8",
            "application/json;charset=utf8",
            "application/json ; charset = \"us-ascii\"",
            "application/json; version=1; charset=Utf-8",
        ] {
            assert!(is_json(&headers(&[("content-type", value)])), "{value}");
            for coding in ["identity", "Identity", "", "identity, IDENTITY"] {
                assert!(is_json(&headers(&[("content-type", value), ("content-encoding", coding)])), "{coding}");
            }
            for coding in ["gzip", "identity, gzip", "identityx"] {
                assert!(!is_json(&headers(&[("content-type", value), ("content-encoding", coding)])), "{coding}");
            }
            let twice = [("content-type", value), ("content-encoding", "identity"), ("content-encoding", "identity")];
            assert!(!is_json(&headers(&twice)), "two codings");
            assert!(!is_json(&headers(&[("content-type", value), ("content-type", value)])), "two types");
        }
        for value in ["", "text/plain", "application/jsonx", "application/json; charset=utf-16", "application/grpc"] {
            assert!(!is_json(&headers(&[("content-type", value)])), "{value}");
        }
        assert!(!is_json(&headers(&[])));
    }

    #[test]
    fn two_content_types_are_of_grpc_and_no_others() {
        for value in ["application/grpc", "Application/GRPC", "application/grpc+proto; x=1", " APPLICATION/grpc+PROTO;"]
        {
            assert!(is_grpc(&headers(&[("content-type", value.trim())])), "{value}");
        }
        for value in
            ["application/grpc-web", "application/grpc-web+proto", "application/grpc+json", "application/grpcfoo"]
        {
            assert!(!is_grpc(&headers(&[("content-type", value)])), "{value}");
        }
        assert!(!is_grpc(&headers(&[("content-type", "application/grpc"), ("content-type", "application/grpc")])));
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in ["", "x", "example.com:80", "127.0.0.1:8080", "[::1]:8080", "a_b", "x:"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["a b", "a/b", "user@x", "x:80:80", "x:http", "x:99999", "a,b/c", "[::1", "x?y", ":80", "\u{ff}"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
