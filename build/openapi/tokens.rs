//! The path of access tokens, which is no RPC: see `transport/token_endpoint.rs`.

use serde_json::{Map, Value, json};

use super::schema::Schemas;

/// Adds the schemas of the request and the answers.
pub fn schemas(schemas: &mut Schemas<'_>) {
    let text =
        |description: &str| json!({"type": "string", "minLength": 1, "maxLength": 1000, "description": description});
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

/// Returns the path with its operation.
pub fn path() -> Map<String, Value> {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let (given, refused) = (reference("GenerateTokenResponse"), reference("Errors"));
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
        "summary": "Generate an access token",
        "description": "Returns an access token for the username and secret of an API client. The token allows what the \
            client may do at the time when it is used, and ends when the client is disabled or gets a new secret. An answer \
            has `data` or `errors`; the other one is null.",
        "security": [],
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": reference("GenerateTokenRequest"),
            "example": {"key": "demo", "secret": "demo"},
        }}},
        "responses": {
            "200": response("The token.", &[], &given),
            "400": response("`400`: the body is malformed: every violation is listed.", &[], &refused),
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
