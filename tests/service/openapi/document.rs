//! The OpenAPI document as the service serves it, and calls that follow it.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::*;

pub const VERBS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
pub const JSON: &str = "application/json";

/// The document, as the service serves it.
pub struct Document(pub Value);

/// An operation of the document.
#[derive(Clone, Copy)]
pub struct DocumentedOperation<'a> {
    pub verb: &'a str,
    pub path: &'a str,
    pub value: &'a Value,
}

/// A response: its status, headers and body.
pub type Response = (u16, http::HeaderMap, String);

impl Document {
    pub async fn of(service: &Service) -> Self {
        let response = service.http().get(service.url("/openapi.json")).send().await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (200, &JSON.parse().unwrap()));
        Self(serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    pub fn operations(&self) -> Vec<DocumentedOperation<'_>> {
        let mut operations = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (verb, value) in item.as_object().unwrap() {
                assert!(VERBS.contains(&verb.as_str()), "{path}: {verb}");
                operations.push(DocumentedOperation { verb, path, value });
            }
        }
        operations
    }

    pub fn operation(&self, id: &str) -> DocumentedOperation<'_> {
        let named = self.operations().into_iter().find(|operation| operation.value["operationId"] == id);
        named.unwrap_or_else(|| panic!("no operation {id}"))
    }

    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(reference) = value["$ref"].as_str() else { return value };
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is not in the document"));
        self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    /// Returns the violations of `value` by this schema of the document.
    pub fn violations(&self, schema: &Value, value: &Value) -> Vec<String> {
        // The references in the schema are to the document's components.
        let whole = json!({"allOf": [schema], "components": self.0["components"]});
        let validator = jsonschema::options().should_validate_formats(true).build(&whole).unwrap();
        validator.iter_errors(value).map(|violation| format!("{}: {violation}", violation.instance_path())).collect()
    }

    /// Compares a response with the operation's documentation for its status.
    pub fn check(&self, operation: DocumentedOperation<'_>, response: &Response) {
        let (status, headers, text) = response;
        let documented = &operation.value["responses"][status.to_string()];
        assert!(documented.is_object(), "{} does not say that it answers {status}: {text}", operation.path);
        let documented = self.resolve(documented);
        let media_type = headers["content-type"].to_str().unwrap().split(';').next().unwrap();
        let content = documented["content"].get(media_type).unwrap_or_else(|| panic!("{media_type}: {documented}"));
        for (name, header) in documented["headers"].as_object().unwrap() {
            assert_eq!(self.resolve(header)["required"], true, "{name}");
            assert!(headers.contains_key(name), "{status}: no {name}: {headers:?}");
        }
        if media_type == JSON {
            let body = serde_json::from_str(text).unwrap();
            let violations = self.violations(&content["schema"], &body);
            assert!(violations.is_empty(), "{} {status}: {violations:?}: {text}", operation.path);
        }
    }
}

/// Calls the operation with the parameters' examples and this body, with ids replaced by `ids`.
pub async fn call(
    service: &Service,
    operation: DocumentedOperation<'_>,
    body: Option<&Value>,
    ids: &HashMap<String, String>,
) -> (u16, http::HeaderMap, String) {
    let (mut path, mut query) = (operation.path.to_owned(), Vec::new());
    for parameter in operation.value["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match &parameter["example"] {
            Value::Null => assert_eq!(parameter["required"], false, "{name}"),
            value if parameter["in"] == "path" => path = path.replace(&format!("{{{name}}}"), &text(value)),
            Value::Array(values) => query.extend(values.iter().map(|value| format!("{name}={}", text(value)))),
            value => query.push(format!("{name}={}", text(value))),
        }
    }
    let exchanged = |text: String| ids.iter().fold(text, |text, (example, real)| text.replace(example, real));
    let url = service.url(&exchanged(format!("{path}?{}", query.join("&"))));
    let mut request = service.http().request(operation.verb.to_uppercase().parse().unwrap(), url);
    if operation.value.get("security").is_none() {
        request = request.header("authorization", basic("demo:demo"));
    }
    if let Some(body) = body {
        request = request.header("content-type", JSON).body(exchanged(body.to_string()));
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
}

/// Returns the example of an operation's body.
pub fn example(operation: DocumentedOperation<'_>) -> Option<&Value> {
    operation.value["requestBody"]["content"][JSON].get("example")
}

/// Returns the schema of an operation's body.
pub fn body_schema(operation: DocumentedOperation<'_>) -> &Value {
    &operation.value["requestBody"]["content"][JSON]["schema"]
}
