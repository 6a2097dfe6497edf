//! The examples of `proto/examples/`: for each method its request and response message as JSON. A test sends them.

use std::fs;

use serde_json::{Map, Value};

/// The example of one method.
pub struct Example {
    /// Fields of the request message.
    pub request: Map<String, Value>,
    /// The response.
    pub response: Value,
}

impl Example {
    /// That of the method of this name.
    pub fn of(method: &str) -> Self {
        let path = format!("proto/examples/{method}.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        match (value["request"].as_object(), &value["response"]) {
            (Some(request), response @ Value::Object(_)) => {
                Self { request: request.clone(), response: response.clone() }
            }
            _ => panic!("{path}: it needs a request and a response, both objects"),
        }
    }
}
