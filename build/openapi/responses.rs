//! What operations answer when they refuse: one response per HTTP status, from the table in `docs/errors.md`.

use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};

use crate::comments::{Comments, named_statuses};
use crate::errors;

/// Each status: the name of its response, and an example.
const STATUSES: [(u16, &str, i64, &str); 12] = [
    (400, "BadRequest", 400, "earnedPromotions[1].earnCount: must be 1 or more, not 0"),
    (
        401,
        "Unauthorized",
        401,
        "credentials are missing or wrong: send HTTP Basic with the username and secret of an API client",
    ),
    (403, "Forbidden", 403, "orgId 7 is not the organization of the credentials"),
    (404, "NotFound", 404, "customer 8 not found"),
    (408, "RequestTimeout", 408, "the body did not arrive in time"),
    (409, "Conflict", 716, "\"Ten off\" is the name of active promotion 6912ced9d39e256f754a83f8"),
    (413, "ContentTooLarge", 413, "the body is larger than 1048576 bytes"),
    (
        415,
        "UnsupportedMediaType",
        415,
        "the body must be JSON: send Content-Type: application/json, and no Content-Encoding",
    ),
    (429, "TooManyRequests", 429, "over the rate limit of 600 requests a minute; try again in 1 s"),
    (500, "InternalError", 500, "internal error; the request id names it in the log"),
    (503, "Unavailable", 500, "the service is starting or stopping; try again"),
    (504, "GatewayTimeout", 504, "the call was not answered in time; it may have been recorded: try again"),
];

/// Of a body that is too large or too slow, and of a call that takes too long, whatever the call.
const OF_EVERY_CALL: [u16; 3] = [408, 413, 504];
/// What HTTP itself answers to a head that is too long, before there is any operation: it is in no table of ours.
const TOO_LONG: [(u16, &str, &str); 2] = [
    (414, "UriTooLong", "The path and query are longer than 65,534 bytes. The answer is empty."),
    (431, "RequestHeaderFieldsTooLarge", "The headers are too many or too long. The answer is empty."),
];

/// The responses, by name.
pub fn components() -> Value {
    let rows = errors::rows();
    let mut responses = Map::new();
    for (status, name, code, message) in STATUSES {
        let reasons = rows.iter().filter(|row| row.http == status);
        let reasons: Vec<_> = reasons.map(|row| format!("`{}`: {}", row.code, row.when)).collect();
        let description = match &reasons[..] {
            [reason] => format!("{reason}."),
            _ => format!("One of:\n\n- {}", reasons.join("\n- ")),
        };
        let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}});
        if status == 401 {
            headers["WWW-Authenticate"] = json!({"$ref": "#/components/headers/WWW-Authenticate"});
        }
        if matches!(status, 429 | 503) {
            headers["Retry-After"] = json!({"$ref": "#/components/headers/Retry-After"});
        }
        let content = json!({"application/json": {
            "schema": {"$ref": "#/components/schemas/Errors"},
            "example": {"errors": [{"code": code, "message": message}]},
        }});
        let response = json!({"description": description, "headers": headers, "content": content});
        responses.insert(name.to_owned(), response);
    }
    for (_, name, description) in TOO_LONG {
        responses.insert(name.to_owned(), json!({"description": description}));
    }
    for row in rows {
        assert!(STATUSES.iter().any(|(status, ..)| *status == row.http), "{}: {}", errors::TABLE, row.http);
    }
    responses.into()
}

/// References to those that a method may answer with: what its comment and that of its service name, and what comes before
/// any method.
pub fn of_method(
    method: &MethodDescriptor,
    comments: &Comments,
    has_body: bool,
    has_parameters: bool,
) -> Map<String, Value> {
    let (service, file) = (method.parent_service(), method.parent_file());
    let mut statuses: Vec<_> = named_statuses(comments.raw(&file, service.path()))
        .chain(named_statuses(comments.raw(&file, method.path())))
        .chain(OF_EVERY_CALL)
        .chain(has_body.then_some(415))
        .chain(TOO_LONG.into_iter().filter(|_| has_parameters).map(|(status, ..)| status))
        .collect();
    statuses.sort_unstable();
    statuses.dedup();
    let reference = |status: u16| {
        let ours = STATUSES.iter().map(|(status, name, ..)| (*status, *name));
        let mut all = ours.chain(TOO_LONG.map(|(status, name, _)| (status, name)));
        let named = all.find(|(known, _)| *known == status);
        let (_, response) = named.unwrap_or_else(|| panic!("{}: {status}", method.full_name()));
        (status.to_string(), json!({"$ref": format!("#/components/responses/{response}")}))
    };
    statuses.into_iter().map(reference).collect()
}

/// The headers that they refer to.
pub fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "Names the request in the log: the caller's own `X-Request-Id` (1 to 128 visible ASCII \
                characters), or a new one.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128},
            "required": true,
        },
        "WWW-Authenticate": {
            "description": "How to say who calls.",
            "schema": {"type": "string"},
            "required": true,
        },
        "Retry-After": {
            "description": "When another try is welcome: seconds.",
            "schema": {"type": "integer", "minimum": 1},
            "required": true,
        },
    })
}
