//! Responses of refused operations: one per HTTP status.
//!
//! A status with which every call can be refused, for the same reasons, is a component. Where a call has reasons of its own
//! the response lists them.

use std::collections::BTreeMap;

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use crate::PACKAGE;
use crate::facts::{FieldRules, Reason, Scope};

/// Names of the components, by status.
const NAMES: [(u16, &str); 12] = [
    (400, "BadRequest"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (408, "RequestTimeout"),
    (413, "ContentTooLarge"),
    (414, "UriTooLong"),
    (415, "UnsupportedMediaType"),
    (429, "TooManyRequests"),
    (431, "RequestHeaderFieldsTooLarge"),
    (500, "InternalError"),
    (503, "Unavailable"),
    (504, "GatewayTimeout"),
];

/// Returns the responses that operations refer to, by name.
pub fn components(reasons: &[Reason]) -> Value {
    let mut responses = Map::new();
    let common: Vec<_> = reasons.iter().filter(|reason| is_common(reason)).collect();
    for (status, reasons) in by_status(&common) {
        responses.insert(name(status).to_owned(), response(status, &reasons));
    }
    responses.into()
}

/// Returns true for a reason for which every call over JSON can be refused.
pub fn is_common(reason: &Reason) -> bool {
    matches!(reason.scope, Scope::EveryCall | Scope::JsonBody)
}

fn name(status: u16) -> &'static str {
    let named = NAMES.iter().find(|(known, _)| *known == status);
    named.unwrap_or_else(|| panic!("the response of status {status} has no name")).1
}

fn by_status<'a>(reasons: &[&'a Reason]) -> BTreeMap<u16, Vec<&'a Reason>> {
    let mut statuses = BTreeMap::<_, Vec<_>>::new();
    for reason in reasons {
        statuses.entry(reason.http).or_default().push(*reason);
    }
    statuses
}

/// Returns the responses of a call that can be refused for these reasons, by status.
pub fn refusals(reasons: &[&Reason]) -> Map<String, Value> {
    let responses = by_status(reasons).into_iter().map(|(status, reasons)| {
        let response = if reasons.iter().all(|reason| is_common(reason)) {
            json!({"$ref": format!("#/components/responses/{}", name(status))})
        } else {
            response(status, &reasons)
        };
        (status.to_string(), response)
    });
    responses.collect()
}

/// Returns the response of one status; its example is of the last reason, which is the most particular one.
fn response(status: u16, reasons: &[&Reason]) -> Value {
    let listed: Vec<_> = reasons.iter().map(|reason| format!("`{}`: {}", reason.code, reason.when)).collect();
    let description = match &listed[..] {
        [one] => one.clone(),
        _ => format!("One of:\n\n- {}", listed.join("\n- ")),
    };
    let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}});
    if status == 401 {
        headers["WWW-Authenticate"] = json!({"$ref": "#/components/headers/WWW-Authenticate"});
    }
    if matches!(status, 429 | 503) {
        headers["Retry-After"] = json!({"$ref": "#/components/headers/Retry-After"});
    }
    let example = reasons.iter().rev().find(|reason| reason.scope == Scope::Listed).or(reasons.first());
    let (code, message) = example.map_or((0, ""), |reason| (reason.code, reason.example.as_str()));
    assert!(!message.is_empty(), "status {status}: a reason without an example");
    json!({"description": description, "headers": headers, "content": {"application/json": {
        "schema": {"$ref": "#/components/schemas/Errors"},
        "example": {"errors": [{"code": code, "message": message}]},
    }}})
}

/// Returns the headers that responses refer to. A request id has the limit that it has in recorded changes.
pub fn headers(pool: &DescriptorPool) -> Value {
    let recorded = pool.get_message_by_name(&format!("{PACKAGE}.RecordedChange"));
    let request_id = recorded.and_then(|message| message.get_field_by_name("request_id"));
    let longest = request_id.and_then(|field| FieldRules::of(&field).max_len);
    let longest = longest.unwrap_or_else(|| panic!("no limit of request ids"));
    json!({
        "X-Request-Id": {
            "description": format!("Names the request in the log: the caller's own `X-Request-Id` (1 to {longest} visible ASCII \
                characters), or a new one."),
            "schema": {"type": "string", "minLength": 1, "maxLength": longest},
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
