//! The OpenAPI document of the JSON door, from the HTTP rules, messages and comments of `proto/`, the table of errors, and
//! the examples.

mod operation;
mod responses;
mod scalar;
mod schema;
mod tokens;

use std::env;

use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use crate::comments::Comments;
use crate::http_rule::rules;
use schema::{Form, Schemas};

/// What holds for all operations.
const ABOUT: &str = "\
Every call needs credentials of an API client, which belong to one organization: calls see and change what is of this \
organization. They are its username and secret (HTTP Basic), or an access token, got with these and shown in \
`X-CAP-API-OAUTH-TOKEN` or as `Authorization: Bearer`.

In requests, integers and decimals may be written as numbers or as text, enum values by name or by number; `null` \
stands for absent; unknown names are ignored. No text may contain U+0000. In responses, integers are numbers; what is \
absent is left out, never `null`; numbers that are 0 and lists that are empty are written.

Times come in pairs: milliseconds since 1970-01-01T00:00:00Z, and ISO 8601 with an offset.

A call that is refused answers with `errors` and nothing else, one element for each fault. A path that there is not \
answers 404, and a path that takes other methods 405 with `Allow`, in the same form.

A client may spend so much in a minute: every answer to it says what is left in `RateLimit` and `RateLimit-Policy`.

Repeating an earning, a revocation or a redemption is always safe: what is recorded is given back, and nothing is done\
 twice.";

/// What comes first in the document; the others follow in the order of their files.
const FIRST: [&str; 2] = ["EarnService", "WalletService"];

/// The document.
pub fn document(pool: &DescriptorPool, services: &[ServiceDescriptor]) -> Value {
    let comments = Comments::of(pool);
    let mut services = services.to_vec();
    services.sort_by_key(|service| FIRST.iter().position(|name| *name == service.name()).unwrap_or(FIRST.len()));
    let methods: Vec<MethodDescriptor> =
        services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let mut schemas = Schemas::new(&comments, &methods);
    let mut paths = Map::new();
    for method in &methods {
        for (index, rule) in rules(method).iter().enumerate() {
            let id = if index == 0 { method.name().to_owned() } else { format!("{}{}", method.name(), index + 1) };
            let operation = operation::operation(method, (rule, &id), &comments, &mut schemas);
            let path = paths.entry(operation::path(method, rule)).or_insert_with(|| json!({}));
            path[rule.verb] = operation;
        }
    }
    paths.extend(probes());
    paths.extend(tokens::path());
    schemas.error(pool);
    let mut tags: Vec<_> = services
        .iter()
        .map(|service| {
            let text = comments.text(&service.parent_file(), service.path());
            // What follows is of the errors of gRPC.
            json!({"name": service.name(), "description": text.split("\n\n").next()})
        })
        .collect();
    tags.push(json!({"name": "Tokens", "description": "Access tokens. Username and secret are in the request."}));
    tags.push(json!({"name": "Service", "description": "The service itself. No credentials are needed."}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Cart promotions",
            "version": env::var("CARGO_PKG_VERSION").unwrap_or_default(),
            "summary": env::var("CARGO_PKG_DESCRIPTION").unwrap_or_default(),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this document is from."}],
        "security": [{"basic": []}, {"token": []}, {"bearer": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.written(),
            "responses": responses::components(),
            "headers": responses::headers(),
            "securitySchemes": {"basic": {
                "type": "http",
                "scheme": "basic",
                "description": "Username and secret of an API client.",
            }, "token": {
                "type": "apiKey",
                "in": "header",
                "name": "X-CAP-API-OAUTH-TOKEN",
                "description": "An access token.",
            }, "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "An access token.",
            }},
        },
    })
}

impl Schemas<'_> {
    /// The schema of what a refused call answers; see `transport/refusal.rs`.
    fn error(&mut self, pool: &DescriptorPool) {
        let error = pool.get_message_by_name("cartpromotions.v1.CallError");
        let error = error.map(|error| self.message(&error, Form::Response, &[]));
        self.add(
            "Errors",
            json!({
                "type": "object",
                "description": "Why a call is refused: one element for each fault. All have the same number.",
                "properties": {"errors": {"type": "array", "items": error, "minItems": 1}},
                "required": ["errors"],
            }),
        );
    }
}

/// What is served beside the calls.
fn probes() -> Map<String, Value> {
    let get = |id: &str, summary: &str, responses: Value| {
        json!({"get": {
            "operationId": id,
            "tags": ["Service"],
            "summary": summary,
            "description": format!("{summary}."),
            "security": [],
            "responses": responses,
        }})
    };
    let answer = |description: &str, media_type: &str, schema: Value| {
        json!({
            "description": description,
            "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
            "content": {media_type: {"schema": schema}},
        })
    };
    let status = |description: &str, status: &str| {
        let schema = json!({
            "type": "object",
            "properties": {"status": {"type": "string", "const": status}},
            "required": ["status"],
        });
        let mut answer = answer(description, "application/json", schema);
        answer["content"]["application/json"]["example"] = json!({"status": status});
        answer
    };
    let ready = json!({"200": status("It does.", "SERVING"), "503": status("Not yet, or no longer.", "NOT_SERVING")});
    let document = answer("The document.", "application/json", json!({"type": "object"}));
    let page = answer("The page.", "text/html", json!({"type": "string"}));
    Map::from_iter([
        (
            "/healthz".to_owned(),
            get("Healthz", "Tells that the process is alive", json!({"200": status("It is.", "ALIVE")})),
        ),
        ("/readyz".to_owned(), get("Readyz", "Tells whether calls are answered", ready)),
        ("/openapi.json".to_owned(), get("OpenApi", "This description, for programs", json!({"200": document}))),
        ("/docs".to_owned(), get("Docs", "This description, for people", json!({"200": page}))),
    ])
}
