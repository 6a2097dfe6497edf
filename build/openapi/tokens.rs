//! The path of access tokens, which is no RPC: see `transport/token_endpoint.rs`.

use serde_json::{Map, Value, json};

use super::responses;
use super::schema::Schemas;
use crate::facts::{PRESENTED_MAX_BYTES, Reason};

/// Adds the schemas of the request and the answers.
pub fn schemas(schemas: &mut Schemas<'_>) {
    let text = |description: &str| json!({"type": "string", "minLength": 1, "maxLength": PRESENTED_MAX_BYTES, "description": description});
    let object = |description: &str, properties: Value| {
        let required: Vec<_> = properties.as_object().into_iter().flat_map(Map::keys).cloned().collect();
        json!({"type": "object", "description": description, "properties": properties, "required": required})
    };
    schemas.add(
        "GenerateTokenRequest",
        object(
            "Credentials of an API client.",
            json!({"key": text("Username of the API client."), "secret": text("Secret of the API client.")}),
        ),
    );
    schemas.add(
        "AccessToken",
        object(
            "An access token.",
            json!({
                "accessToken": {"type": "string", "description": "The token."},
                "ttlSeconds": {"type": "integer", "format": "int32", "minimum": 1, "description": "Seconds for which the token is valid."},
            }),
        ),
    );
    schemas.add(
        "GenerateTokenResponse",
        object("The token.", json!({"data": {"$ref": "#/components/schemas/AccessToken"}})),
    );
}

/// Reasons for which calls with credentials are refused: a request for a token is none.
const OF_CREDENTIALS: [&str; 4] = ["UNAUTHENTICATED", "KEYS_NOT_READ", "UNKNOWN_ORGANIZATION", "ACCESS_DENIED"];
/// Reason for which no token is issued.
const WRONG: &str = "WRONG_KEY_OR_SECRET";

/// Returns the path with its operation.
pub fn path(reasons: &[Reason]) -> Map<String, Value> {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let response = |description: &str, headers: &[&str], schema: &str| {
        let header = |name: &&str| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
        let headers: Map<_, _> = headers.iter().map(header).collect();
        let content = json!({"application/json": {"schema": reference(schema)}});
        json!({"description": description, "headers": headers, "content": content})
    };
    let refuses = |reason: &&Reason| responses::is_common(reason) && !OF_CREDENTIALS.contains(&reason.name.as_str());
    let mut answers = responses::refusals(&reasons.iter().filter(refuses).collect::<Vec<_>>());
    answers.insert("200".to_owned(), response("The token.", &["X-Request-Id"], "GenerateTokenResponse"));
    let wrong = reasons.iter().find(|reason| reason.name == WRONG).unwrap_or_else(|| panic!("no reason {WRONG}"));
    let wrong = format!("`{}`: {}", wrong.code, wrong.when);
    answers.insert("401".to_owned(), response(&wrong, &["X-Request-Id", "WWW-Authenticate"], "Errors"));
    answers.sort_keys();
    let operation = json!({"post": {
        "operationId": "GenerateToken",
        "tags": ["Tokens"],
        "summary": "Generate an access token",
        "description": "Returns an access token for the username and secret of an API client. The token allows what the \
            client may do at the time when it is used, and ends when the client is disabled or gets a new secret. An answer \
            has `data` or `errors`; the other one is null.",
        "security": [],
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": reference("GenerateTokenRequest"),
            "example": {"key": "demo", "secret": "demo"},
        }}},
        "responses": answers,
    }});
    Map::from_iter([("/v3/oauth/token/generate".to_owned(), operation)])
}
