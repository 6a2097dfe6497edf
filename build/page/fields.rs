//! The fields of a body, one row each, those of inner objects under their path.

use serde_json::Value;

use super::document::{entries, resolve, text_of};
use super::text::{escape, inline, markdown};
use crate::facts::{OBJECT_ID_DIGITS, grouped};

/// Objects in one another that a table follows.
const MAX_DEPTH: usize = 5;

/// A row of a table of fields.
pub struct Field {
    name: String,
    kind: String,
    required: bool,
    /// Limits and default, in a few words.
    limits: String,
    about: String,
    /// Values and what they mean, in Markdown.
    values: Option<String>,
}

impl Field {
    /// Returns the field of a path variable or query parameter.
    pub fn of_parameter(document: &Value, parameter: &Value) -> Self {
        Self {
            name: text_of(parameter, "name").to_owned(),
            kind: kind(document, &parameter["schema"]),
            required: parameter["required"] == true,
            limits: limits(document, &parameter["schema"]),
            about: text_of(parameter, "description").to_owned(),
            values: values(document, &parameter["schema"]),
        }
    }

    /// Returns the field as HTML.
    pub fn row(&self) -> String {
        let dot = self.name.rfind('.').map_or(0, |dot| dot + 1);
        let (path, name) = self.name.split_at(dot);
        let required = if self.required { " <em>required</em>" } else { "" };
        let text = self.about.as_str();
        let (first, list) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut about = inline(first) + &markdown(list);
        if let Some(values) = &self.values {
            about += &markdown(values);
        }
        format!(
            "<dt><code><span>{}</span>{}</code> <small>{}{}</small>{required}</dt>\n<dd>{about}</dd>\n",
            escape(path),
            escape(name),
            escape(&self.kind),
            escape(&self.limits),
        )
    }
}

/// Returns the fields of a body of this schema.
pub fn body_fields(document: &Value, schema: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(document, resolve(document, schema), "", &mut fields);
    fields
}

/// Adds the fields of an object, which stands at `path`.
fn collect(document: &Value, schema: &Value, path: &str, fields: &mut Vec<Field>) {
    for (name, field) in entries(&schema["properties"]) {
        let name = format!("{path}{name}");
        fields.push(Field {
            required: schema["required"].as_array().is_some_and(|required| {
                required.iter().any(|one| one.as_str().is_some_and(|one| name.strip_prefix(path) == Some(one)))
            }),
            kind: kind(document, field),
            limits: limits(document, field),
            about: text_of(field, "description").to_owned(),
            values: values(document, field),
            name: name.clone(),
        });
        let is_list = resolve(document, field)["type"] == "array";
        let inner = resolve(document, if is_list { &field["items"] } else { field });
        if path.matches('.').count() < MAX_DEPTH {
            let path = format!("{name}{}.", if is_list { "[]" } else { "" });
            collect(document, inner, &path, fields);
        }
    }
}

/// Returns the type in a word or two.
fn kind(document: &Value, schema: &Value) -> String {
    let schema = resolve(document, schema);
    let one = text_of(schema, "type");
    if schema.get("enum").is_some() {
        return "enum".to_owned();
    }
    match (one, schema["format"].as_str()) {
        ("array", _) => format!("list of {}", plural(&kind(document, &schema["items"]))),
        (_, Some(format)) => format.to_owned(),
        (one, None) => one.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    if kind.ends_with("32") || kind.ends_with("64") { kind.to_owned() } else { format!("{kind}s") }
}

/// Returns the values of an enum, and what they mean: the list in its description.
fn values(document: &Value, schema: &Value) -> Option<String> {
    let mut schema = resolve(document, schema);
    if let Some(items) = schema.get("items") {
        schema = resolve(document, items);
    }
    schema.get("enum")?;
    let list = schema["description"].as_str()?.split("\n\n").find(|paragraph| paragraph.starts_with("- "))?;
    Some(list.to_owned())
}

/// Numbers from here on say what the type or the form says already.
const LARGE: i64 = 1_000_000_000_000;

/// Returns the limits of a schema and its default, in a few words after a comma.
fn limits(document: &Value, schema: &Value) -> String {
    let own = resolve(document, schema);
    let mut words = range(own, ["minItems", "maxItems"], " elements");
    let one = own.get("items").map_or(own, |items| resolve(document, items));
    words += &range(one, ["minLength", "maxLength"], " characters");
    words += &range(one, ["minimum", "maximum"], "");
    if let Some(limit) = one["exclusiveMaximum"].as_i64() {
        words += &format!(", below {}", grouped(limit));
    }
    if one["pattern"].as_str().is_some_and(|pattern| pattern.contains("A-F")) {
        words += &format!(", {OBJECT_ID_DIGITS} hexadecimal digits");
    }
    match own.get("default") {
        Some(Value::Array(values)) => words + ", default " + &values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Some(value) => words + &format!(", default {}", plain(value)),
        None => words,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn range(schema: &Value, names: [&str; 2], unit: &str) -> String {
    let limits = names.map(|name| schema[name].as_i64().filter(|limit| (-LARGE..LARGE).contains(limit)));
    let [least, most] =
        limits.map(|limit| limit.filter(|limit| *limit != i64::from(i32::MAX) && *limit != i64::from(i32::MIN)));
    match (least, most) {
        (None, None) => String::new(),
        (Some(least), None) => format!(", {} or more{unit}", grouped(least)),
        (None, Some(most)) => format!(", at most {}{unit}", grouped(most)),
        (Some(least), Some(most)) if least == most => format!(", always {}{unit}", grouped(most)),
        (Some(least), Some(most)) => format!(", {} to {}{unit}", grouped(least), grouped(most)),
    }
}
