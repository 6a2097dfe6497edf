//! JSON Schemas of messages and enums, as `wire/json` reads and writes them.
//!
//! Requests and responses differ: a request may say a number as text, an enum by its number, and `null` for what is absent;
//! a response has all fields but the optional ones. A message or enum that is used both ways makes two schemas, the one for
//! requests with `Input` behind its name.

use std::collections::HashSet;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::scalar;
use crate::comments::Comments;
use crate::hints::{self, Hints};
use crate::{PACKAGE, STRUCT};

/// Which way a value goes, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In a request's body.
    Body,
    /// In a request's path or query: a text, never `null`.
    Parameter,
    /// In a response.
    Response,
}

/// The schemas that are referred to, by name.
pub struct Schemas<'a> {
    comments: &'a Comments,
    /// Full names of what requests and what responses are made of.
    used: [HashSet<String>; 2],
    written: Map<String, Value>,
}

impl<'a> Schemas<'a> {
    /// For these methods; none written yet.
    pub fn new(comments: &'a Comments, methods: &[MethodDescriptor]) -> Self {
        let mut used = [HashSet::new(), HashSet::new()];
        for method in methods {
            collect(&method.input(), &mut used[0]);
            collect(&method.output(), &mut used[1]);
        }
        Self { comments, used, written: Map::new() }
    }

    /// Adds one that is of no message.
    pub fn add(&mut self, name: &str, schema: Value) {
        self.written.insert(name.to_owned(), schema);
    }

    /// All that were referred to.
    pub fn written(self) -> Map<String, Value> {
        self.written
    }

    fn reference(&mut self, full_name: &str, form: Form, write: impl FnOnce(&mut Self) -> Value) -> Value {
        let both = self.used.iter().all(|used| used.contains(full_name));
        let name = full_name.trim_start_matches(PACKAGE).trim_start_matches('.');
        let name = format!("{name}{}", if both && form != Form::Response { "Input" } else { "" });
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        if !self.written.contains_key(&name) {
            // Its place, in the order of mention; and an end for what holds itself.
            self.written.insert(name.clone(), Value::Null);
            let schema = write(self);
            self.written.insert(name, schema);
        }
        reference
    }

    /// A reference to the schema of a message, without the fields of these names.
    pub fn message(&mut self, message: &MessageDescriptor, form: Form, without: &[&str]) -> Value {
        self.reference(message.full_name(), form, |schemas| schemas.object(message, form, without))
    }

    fn object(&mut self, message: &MessageDescriptor, form: Form, without: &[&str]) -> Value {
        let mut fields: Vec<_> = message.fields().filter(|field| !without.contains(&field.name())).collect();
        fields.sort_by_key(FieldDescriptor::number);
        let (mut properties, mut required, mut rules) = (Map::new(), Vec::new(), Vec::new());
        for field in &fields {
            let hints = self.hints(field);
            let optional = field.containing_oneof().is_some();
            if if form == Form::Response { !optional } else { hints.required } {
                required.push(field.json_name().to_owned());
            }
            if form == Form::Body {
                rules.extend(rule(message, field, &hints));
            }
            properties.insert(field.json_name().to_owned(), self.field(field, form));
        }
        let description = self.comments.text(&message.parent_file(), message.path());
        let mut object = json!({"type": "object", "description": description, "properties": properties});
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        if let [Value::Object(rule)] = &mut rules[..] {
            object.as_object_mut().into_iter().for_each(|object| object.append(rule));
        } else if !rules.is_empty() {
            object["allOf"] = json!(rules);
        }
        object
    }

    /// What the comment of a field says of its values.
    pub fn hints(&self, field: &FieldDescriptor) -> Hints {
        hints::read(field.full_name(), self.comments.raw(&field.parent_message().parent_file(), field.path()))
    }

    /// The schema of a field's values.
    pub fn field(&mut self, field: &FieldDescriptor, form: Form) -> Value {
        let hints = self.hints(field);
        let one = self.one(field, form, &hints);
        let mut schema = if field.is_list() {
            let mut list = json!({"type": "array", "items": one});
            for (name, limit) in [("minItems", hints.items.0), ("maxItems", hints.items.1)] {
                if let (Some(limit), true) = (limit, form != Form::Response) {
                    list[name] = limit.into();
                }
            }
            list
        } else {
            one
        };
        if form == Form::Body && !hints.required {
            schema = or_null(schema);
        }
        schema["description"] = self.comments.text(&field.parent_message().parent_file(), field.path()).into();
        if let (Some(default), true) = (&hints.default, form != Form::Response) {
            let default = scalar::default(field, default);
            schema["default"] = if field.is_list() { json!([default]) } else { default };
        }
        schema
    }

    /// The schema of one value of a field.
    fn one(&mut self, field: &FieldDescriptor, form: Form, hints: &Hints) -> Value {
        match field.kind() {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Int32 => scalar::integer(i32::MIN.into()..=i32::MAX.into(), "int32", form, hints),
            Kind::Int64 => scalar::integer(i64::MIN..=i64::MAX, "int64", form, hints),
            Kind::Double => scalar::double(form, hints),
            Kind::String => {
                let may_be_empty = !hints.required && !field.supports_presence() && !field.is_list();
                scalar::text(form, hints, may_be_empty)
            }
            Kind::Enum(kind) => self.enumeration(&kind, form),
            Kind::Message(message) if message.full_name() == STRUCT => json!({"type": "object"}),
            Kind::Message(message) => self.message(&message, form, &[]),
            other => panic!("{}: there is no schema for {other:?}", field.full_name()),
        }
    }

    fn enumeration(&mut self, kind: &EnumDescriptor, form: Form) -> Value {
        self.reference(kind.full_name(), form, |schemas| {
            let values: Vec<_> = kind.values().filter(|value| value.number() != 0).collect();
            let file = kind.parent_file();
            let mut description = schemas.comments.text(&file, kind.path());
            description.push('\n');
            for value in &values {
                let says = schemas.comments.text(&file, value.path());
                description.push_str(&format!("\n- `{}`: {says}", value.name()));
            }
            let mut listed: Vec<Value> = values.iter().map(|value| value.name().into()).collect();
            let mut types = json!("string");
            if form != Form::Response {
                listed.extend(values.iter().map(|value| Value::from(value.number())));
                types = json!(["string", "integer"]);
                description.push_str("\n\nBy name, or by number in this order.");
            }
            json!({"type": types, "enum": listed, "description": description})
        })
    }
}

/// The full names of all that a message is made of, its own included.
fn collect(message: &MessageDescriptor, names: &mut HashSet<String>) {
    if !names.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        match field.kind() {
            Kind::Message(message) => collect(&message, names),
            Kind::Enum(kind) => drop(names.insert(kind.full_name().to_owned())),
            _ => {}
        }
    }
}

fn or_null(mut schema: Value) -> Value {
    match &schema["type"] {
        Value::String(one) => schema["type"] = json!([one, "null"]),
        Value::Array(types) => schema["type"] = types.iter().cloned().chain(["null".into()]).collect(),
        _ => return json!({"anyOf": [schema, {"type": "null"}]}),
    }
    schema
}

/// What a field's comment says of it together with others.
fn rule(message: &MessageDescriptor, field: &FieldDescriptor, hints: &Hints) -> Option<Value> {
    if let Some((one, other)) = &hints.either {
        let given = |name: &str| {
            let field = message.get_field_by_name(name).unwrap_or_else(|| panic!("{}: {name}", message.full_name()));
            let some = if field.cardinality() == Cardinality::Repeated {
                json!({"type": "array", "minItems": 1})
            } else {
                json!({"not": {"type": "null"}})
            };
            json!({"required": [field.json_name()], "properties": {field.json_name(): some}})
        };
        return Some(json!({"anyOf": [given(one), given(other)]}));
    }
    let value = hints.goes_with.as_ref()?;
    let kind = message.get_field_by_name("type").map(|field| field.kind());
    let number = kind.and_then(|kind| Some(kind.as_enum()?.get_value_by_name(value)?.number()));
    let number = number.unwrap_or_else(|| panic!("{}: no type {value}", message.full_name()));
    let name = field.json_name();
    Some(json!({
        "if": {"properties": {"type": {"enum": [value, number]}}},
        "then": {"required": [name], "properties": {name: {"not": {"type": "null"}}}},
        "else": {"properties": {name: {"type": "null"}}},
    }))
}
