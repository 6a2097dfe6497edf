//! Reads of the OpenAPI document.

use serde_json::{Map, Value};

/// Returns the text under a name, or nothing.
pub fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Returns the names and the values of an object.
pub fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// Returns the groups of the operations.
pub fn tags(document: &Value) -> impl Iterator<Item = &Value> {
    document["tags"].as_array().into_iter().flatten()
}

/// Returns the operations of a tag: verb, path, operation.
pub fn operations<'a>(document: &'a Value, tag: &'a Value) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let all = entries(&document["paths"])
        .flat_map(|(path, item)| entries(item).map(move |(verb, operation)| (verb.as_str(), path.as_str(), operation)));
    all.filter(|(_, _, operation)| operation["tags"][0] == tag["name"])
}

/// Resolves a `$ref`; any other value is returned as it is.
pub fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference
        .map_or(value, |pointer| document.pointer(pointer).unwrap_or_else(|| panic!("{pointer}: nothing is there")))
}
