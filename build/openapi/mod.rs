//! The OpenAPI document of the JSON endpoint, from the HTTP rules, messages and comments of `proto/`, the table of errors, and
//! the examples.

mod form;
mod operation;
mod responses;
mod scalar;
mod schema;
mod tokens;

use std::env;

use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use crate::facts::Method;
use crate::http_rule::rules;
use form::Form;
pub use operation::ApiFacts;
use schema::Schemas;

/// Facts that hold for all operations.
const INTRODUCTION: &str = include_str!("introduction.md");

/// Elements that come first in the document; the others follow in the order of their files.
const FIRST: [&str; 2] = ["EarnService", "WalletService"];

/// Fields that hold the number of a failed entry, each with the method that lists the reasons.
const ENTRY_CODES: [(&str, &str, &str); 2] =
    [("EarnErrorDetails", "errorCode", "BulkEarn"), ("RevokeError", "code", "RevokeEarnedPromotions")];

/// Returns the document.
pub fn document(pool: &DescriptorPool, services: &[ServiceDescriptor], facts: &ApiFacts<'_>) -> Value {
    let ApiFacts { comments, reasons } = facts;
    let mut services = services.to_vec();
    services.sort_by_key(|service| FIRST.iter().position(|name| *name == service.name()).unwrap_or(FIRST.len()));
    let methods: Vec<MethodDescriptor> =
        services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let mut schemas = Schemas::new(comments, &methods);
    let mut paths = Map::new();
    for method in &methods {
        for rule in &rules(method) {
            let operation = operation::operation(method, rule, facts, &mut schemas);
            let path = paths.entry(operation::path(method, rule)).or_insert_with(|| json!({}));
            path[rule.verb] = operation;
        }
    }
    paths.extend(probes());
    paths.extend(tokens::path(reasons));
    schemas.error(pool);
    schemas.add("ProbeStatus", probe_status());
    tokens::schemas(&mut schemas);
    for (schema, field, method) in ENTRY_CODES {
        let method = methods.iter().find(|one| one.name() == method).map(Method::of);
        let listed = method.map(|method| method.entry_reasons).unwrap_or_default();
        let listed = listed.iter().filter_map(|number| reasons.iter().find(|reason| reason.number == *number));
        let listed: Vec<_> = listed.map(|reason| format!("- `{}`: {}", reason.code, reason.when)).collect();
        schemas.describe(schema, field, &listed.join("\n"));
    }
    let mut tags: Vec<_> = services
        .iter()
        .map(|service| {
            let text = comments.text(&service.parent_file(), service.path());
            json!({"name": operation::tag(service), "description": text})
        })
        .collect();
    tags.push(json!({"name": "Tokens", "description": "Access tokens for API clients."}));
    tags.push(json!({"name": "Service", "description": "The state and the description of the service. No credentials are needed."}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Cart promotions",
            "version": env::var("CARGO_PKG_VERSION").unwrap_or_default(),
            "summary": env::var("CARGO_PKG_DESCRIPTION").unwrap_or_default(),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this document is from."}],
        "security": [{"basic": []}, {"token": []}, {"bearer": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.written(),
            "responses": responses::components(reasons),
            "headers": responses::headers(pool),
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
    /// Returns the schema of what a refused call answers; see `transport/refusal.rs`.
    fn error(&mut self, pool: &DescriptorPool) {
        let error = pool.get_message_by_name("cartpromotions.v1.CallError");
        let error = error.map(|error| self.message(&error, Form::Response, &[]));
        self.add(
            "Errors",
            json!({
                "type": "object",
                "description": "Why a call is refused: one element for each violation. All have the same number.",
                "properties": {"errors": {"type": "array", "items": error, "minItems": 1}},
                "required": ["errors"],
            }),
        );
    }
}

/// Paths that are served beside the calls.
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
        let mut answer = answer(description, "application/json", json!({"$ref": "#/components/schemas/ProbeStatus"}));
        answer["content"]["application/json"]["example"] = json!({"status": status});
        answer
    };
    let ready = json!({
        "200": status("Calls are answered.", "SERVING"),
        "503": status("The service is starting or stopping, or its database does not answer.", "NOT_SERVING"),
    });
    let document = answer("The document.", "application/json", json!({"type": "object", "additionalProperties": true}));
    let page = answer("The page.", "text/html", json!({"type": "string"}));
    Map::from_iter([
        (
            "/healthz".to_owned(),
            get("Healthz", "Check that the process runs", json!({"200": status("The process runs.", "ALIVE")})),
        ),
        ("/readyz".to_owned(), get("Readyz", "Check that calls are answered", ready)),
        ("/openapi.json".to_owned(), get("OpenApi", "Get the OpenAPI document", json!({"200": document}))),
        ("/docs".to_owned(), get("Docs", "Read the API reference", json!({"200": page}))),
    ])
}

/// Returns the schema of the answers of the probes.
fn probe_status() -> Value {
    json!({
        "type": "object",
        "description": "State of the service.",
        "properties": {"status": {
            "type": "string",
            "enum": ["ALIVE", "SERVING", "NOT_SERVING"],
            "description": "`ALIVE` from `/healthz`, `SERVING` or `NOT_SERVING` from `/readyz`.",
        }},
        "required": ["status"],
    })
}
