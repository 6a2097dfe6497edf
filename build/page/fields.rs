//! The fields of a body, one row each, those of inner objects under their path.

use serde_json::Value;

use super::text::{escape, inline, markdown};
use super::{entries, resolve, text_of};

/// Objects in one another that a table follows.
const MAX_DEPTH: usize = 5;

/// A row of a table of fields.
pub struct Field {
    name: String,
    kind: String,
    required: bool,
    about: String,
    /// Values and what they mean, in Markdown.
    values: Option<String>,
}

impl Field {
    /// That of a path variable or query parameter.
    pub fn of_parameter(document: &Value, parameter: &Value) -> Self {
        Self {
            name: text_of(parameter, "name").to_owned(),
            kind: kind(document, &parameter["schema"]),
            required: parameter["required"] == true,
            about: text_of(parameter, "description").to_owned(),
            values: values(document, &parameter["schema"]),
        }
    }

    /// As HTML.
    pub fn row(&self) -> String {
        let dot = self.name.rfind('.').map_or(0, |dot| dot + 1);
        let (path, name) = self.name.split_at(dot);
        let required = if self.required { " <em>required</em>" } else { "" };
        // What is required is marked as such.
        let text = self.about.replace(" Required.", "");
        let text = text.trim_start_matches("Required. ");
        let (first, list) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut about = inline(first) + &markdown(list);
        if let Some(values) = &self.values {
            about += &markdown(values);
        }
        format!(
            "<dt><code><span>{}</span>{}</code> <small>{}</small>{required}</dt>\n<dd>{about}</dd>\n",
            escape(path),
            escape(name),
            escape(&self.kind),
        )
    }
}

/// Those of a body of this schema.
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

/// Its type in a word or two.
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

/// The values of an enum, and what they mean: the list in its description.
fn values(document: &Value, schema: &Value) -> Option<String> {
    let mut schema = resolve(document, schema);
    if let Some(items) = schema.get("items") {
        schema = resolve(document, items);
    }
    schema.get("enum")?;
    let list = schema["description"].as_str()?.split("\n\n").find(|paragraph| paragraph.starts_with("- "))?;
    Some(list.to_owned())
}
