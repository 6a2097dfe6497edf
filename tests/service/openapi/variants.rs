//! Bodies that violate their schema, and others that have the same meaning.

use serde_json::{Map, Value, json};

use super::document::Document;

/// Returns bodies like `body` with one violation of `schema`, each with a description of the violation.
pub fn broken(document: &Document, schema: &Value, body: &Value, at: &str) -> Vec<(String, Value)> {
    let main = document.resolve(schema);
    let mut all = Vec::new();
    let mut one = |what: &str, value: Value| all.push((format!("{at}: {what}"), value));
    match body {
        Value::Object(fields) => {
            one("is a list", json!([]));
            for required in main["required"].as_array().into_iter().flatten() {
                for given in [None, Some(Value::Null)] {
                    let mut fields = fields.clone();
                    fields.remove(required.as_str().unwrap());
                    fields.extend(given.map(|given| (required.as_str().unwrap().to_owned(), given)));
                    one(&format!("without {required}"), fields.into());
                }
            }
            for (name, value) in fields.iter().filter(|(name, _)| main["properties"].get(name.as_str()).is_some()) {
                let inner = broken(document, &main["properties"][name], value, &format!("{at}.{name}"));
                let whole = |value| fields.clone().into_iter().chain([(name.clone(), value)]).collect::<Value>();
                all.extend(inner.into_iter().map(|(what, value)| (what, whole(value))));
            }
        }
        Value::Array(values) => {
            one("is a text", json!("x"));
            if main.get("minItems").is_some() {
                one("is empty", json!([]));
            }
            if let Some(most) = main["maxItems"].as_u64() {
                let most = usize::try_from(most).unwrap();
                one("is too long", values.iter().cycle().take(most + 1).cloned().collect());
            }
            let inner = broken(document, &main["items"], &values[0], &format!("{at}[0]"));
            all.extend(inner.into_iter().map(|(what, value)| (what, json!([value]))));
        }
        _ => all.extend(broken_scalar(main, body).into_iter().map(|(what, value)| (format!("{at}: {what}"), value))),
    }
    all
}

/// Returns values that violate the schema of this one.
fn broken_scalar(schema: &Value, value: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut one = |what: &str, value: Value| all.push((what.to_owned(), value));
    match value {
        Value::String(_) => {
            one("is true", json!(true));
            if let Some(most) = schema["maxLength"].as_u64() {
                one("is too long", "ä".repeat(usize::try_from(most).unwrap() + 1).into());
            }
            if schema["minLength"] == 1 || schema.get("format").is_some() || schema.get("enum").is_some() {
                one("is empty", json!(""));
            }
            if schema["pattern"].as_str().is_some_and(|pattern| pattern.contains(r"\s")) {
                one("begins with white space", json!(" a"));
                one("ends with white space", json!("a\u{a0}"));
            }
            if schema.get("enum").is_some() {
                one("is no such name", json!("OTHER"));
                one("is no such number", json!(99));
            } else {
                one("has U+0000", json!("a\0"));
            }
        }
        Value::Number(_) => {
            one("is a word", json!("seven"));
            one("is a list", json!([1]));
            for (limit, step) in [("minimum", -1), ("maximum", 1), ("exclusiveMaximum", 0)] {
                if let Some(beyond) = schema[limit].as_i64().and_then(|limit| limit.checked_add(step)) {
                    one(&format!("is beyond its {limit}"), json!(beyond));
                }
            }
            if schema["type"] == "integer" {
                one("has a fraction", json!(1.5));
            }
        }
        _ => one("is a text", json!("x")),
    }
    all
}

/// Returns bodies like `body` with one number or text that is as small, large or long as `schema` allows.
pub fn extreme(document: &Document, schema: &Value, body: &Value, at: &str) -> Vec<(String, Value)> {
    let main = document.resolve(schema);
    let named = |value: Value| (format!("{at} = {value}"), value);
    match body {
        Value::Object(fields) => {
            let known = fields.iter().filter(|(name, _)| main["properties"].get(name.as_str()).is_some());
            let variants = known.flat_map(|(name, value)| {
                let inner = extreme(document, &main["properties"][name], value, &format!("{at}.{name}"));
                inner.into_iter().map(move |(what, value)| (what, name.clone(), value))
            });
            let whole = |name, value| fields.clone().into_iter().chain([(name, value)]).collect();
            variants.map(|(what, name, value)| (what, whole(name, value))).collect()
        }
        Value::Array(values) => {
            let inner = extreme(document, &main["items"], &values[0], &format!("{at}[0]"));
            inner.into_iter().map(|(what, value)| (what, json!([value]))).collect()
        }
        Value::String(_) => {
            let longest = main["maxLength"].as_u64().map(|most| "ä".repeat(usize::try_from(most).unwrap()));
            longest.into_iter().map(|text| named(text.into())).collect()
        }
        Value::Number(_) => {
            let limits = [("minimum", 0), ("maximum", 0), ("exclusiveMaximum", -1)];
            let limits = limits.into_iter().filter_map(|(limit, step)| Some(main[limit].as_i64()? + step));
            limits.map(|limit| named(limit.into())).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the value with every number as text, every enum by its number, and `null` for absent fields.
pub fn otherwise(document: &Document, schema: &Value, value: &Value) -> Value {
    let main = document.resolve(schema);
    match value {
        Value::Object(fields) => {
            let properties = main["properties"].as_object().cloned().unwrap_or_default();
            let mut other = Map::new();
            for (name, schema) in &properties {
                let value = fields.get(name).map_or(Value::Null, |value| otherwise(document, schema, value));
                other.insert(name.clone(), value);
            }
            let unknown = fields.iter().filter(|(name, _)| !properties.contains_key(*name));
            other.extend(unknown.map(|(name, value)| (name.clone(), value.clone())));
            other.insert("unknown".to_owned(), json!({"to": ["the", "service"]}));
            if properties.is_empty() { value.clone() } else { other.into() }
        }
        Value::Array(values) => values.iter().map(|value| otherwise(document, &main["items"], value)).collect(),
        Value::Number(number) => number.to_string().into(),
        // The names are listed in the order of their numbers, from 1.
        Value::String(name) => match main["enum"].as_array() {
            Some(listed) => json!(1 + listed.iter().position(|one| one == name).unwrap()),
            None => value.clone(),
        },
        _ => value.clone(),
    }
}
