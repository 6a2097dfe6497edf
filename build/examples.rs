//! The examples of `proto/examples/`: for each method its request and response message as JSON. A test sends them.
//!
//! An object with `"$example": "NAME"` stands for the example `NAME.json`, changed by the other fields of the object as a
//! JSON merge patch (RFC 7396) changes it: a field replaces one, and `null` leaves one out. So an object that several
//! examples show stands once.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Name of the field that names the example for which an object stands.
const STANDS_FOR: &str = "$example";

/// The example of one method.
pub struct Example {
    /// Fields of the request message.
    pub request: Map<String, Value>,
    /// The response.
    pub response: Value,
}

impl Example {
    /// Returns the example of a method.
    pub fn of(method: &str) -> Self {
        let value = whole(read(method));
        match (value["request"].as_object(), &value["response"]) {
            (Some(request), response @ Value::Object(_)) => {
                Self { request: request.clone(), response: response.clone() }
            }
            _ => panic!("example {method}: it needs a request and a response, both objects"),
        }
    }

    /// Writes the example to a file, for the tests.
    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        let Self { request, response } = self;
        fs::write(file, json!({"request": request, "response": response}).to_string())
    }
}

fn read(name: &str) -> Value {
    let path = format!("proto/examples/{name}.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the value with each object that stands for an example replaced by that example.
fn whole(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            let Some(named) = fields.shift_remove(STANDS_FOR) else {
                return fields.into_iter().map(|(name, value)| (name, whole(value))).collect();
            };
            let name = named.as_str().unwrap_or_else(|| panic!("{STANDS_FOR} names an example, not {named}"));
            let Value::Object(mut shared) = read(name) else { panic!("example {name}: it is no object") };
            for (name, value) in fields {
                if value.is_null() {
                    shared.shift_remove(&name);
                } else {
                    shared.insert(name, whole(value));
                }
            }
            shared.into()
        }
        Value::Array(values) => values.into_iter().map(whole).collect(),
        other => other,
    }
}
