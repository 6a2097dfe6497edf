//! The path of access tokens, which is no RPC: see `transport/token_endpoint.rs`.

use serde_json::{Map, Value, json};

/// It, with its operation.
pub fn path() -> Map<String, Value> {
    let text =
        |description: &str| json!({"type": "string", "minLength": 1, "maxLength": 1000, "description": description});
    let request = json!({
        "type": "object",
        "properties": {
            "key": text("Username of the API client."),
            "secret": text("Its secret."),
        },
        "required": ["key", "secret"],
    });
    let data = json!({
        "type": "object",
        "properties": {
            "accessToken": {"type": "string", "description": "The token."},
            "ttlSeconds": {"type": "integer", "minimum": 1, "description": "For how long it is valid: seconds."},
        },
        "required": ["accessToken", "ttlSeconds"],
    });
    let answer = |data: Value, errors: Value| json!({"type": "object", "properties": {"data": data, "errors": errors}, "required": ["data", "errors"]});
    let given = answer(data, json!({"type": "null"}));
    let errors = json!({"type": "array", "items": {"$ref": "#/components/schemas/CallError"}, "minItems": 1});
    let refused = answer(json!({"type": "null"}), errors);
    let response = |description: &str, more: &[&str], schema: &Value| {
        let mut headers = Map::new();
        for name in ["X-Request-Id"].iter().chain(more) {
            headers.insert((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
        }
        json!({"description": description, "headers": headers, "content": {"application/json": {"schema": schema}}})
    };
    let operation = json!({"post": {
        "operationId": "GenerateToken",
        "tags": ["Tokens"],
        "summary": "Gives out an access token",
        "description": "Gives out an access token for the username and secret of an API client. What it may do is what \
            the client may at the time when it is used; a disabled client and a new secret end it.",
        "security": [],
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": request,
            "example": {"key": "demo", "secret": "demo"},
        }}},
        "responses": {
            "200": response("The token.", &[], &given),
            "400": response("`400`: the body is malformed: every fault is listed.", &[], &refused),
            "401": response("`320001`: the key or the secret is wrong.", &["WWW-Authenticate"], &refused),
            "408": response("`408`: the body took too long to arrive.", &[], &refused),
            "413": response("`413`: the body is too large.", &[], &refused),
            "415": response("`415`: the body is not declared `application/json`, or is encoded.", &[], &refused),
            "429": response("`429`: too many requests, or too many logins failed.", &["Retry-After"], &refused),
            "500": response("`500`: anything else on our side.", &[], &refused),
            "503": response("`500`: the service is busy, starting or stopping.", &["Retry-After"], &refused),
        },
    }});
    Map::from_iter([("/v3/oauth/token/generate".to_owned(), operation)])
}
