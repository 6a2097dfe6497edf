//! JSON Schemas of messages and enums.
//!
//! The schemas tell what a client should send, in words that generators of clients understand: one type for a field, and
//! enums of names. `wire/json` accepts more: numbers as text, enum values by number, and `null` for an absent field.
//!
//! A response has all fields but the optional ones, and a request needs the required ones. A message that is used both
//! ways makes two schemas, and the one for requests has `Input` behind its name.

use std::collections::HashSet;

use prost_reflect::{EnumDescriptor, EnumValueDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::form::Form;
use super::scalar;
use crate::comments::Comments;
use crate::facts::{FieldGroup, FieldRules};
use crate::{PACKAGE, STRUCT};

/// The schemas that are referred to, by name.
pub struct Schemas<'a> {
    comments: &'a Comments,
    /// Full names of what requests and what responses are made of.
    used: [HashSet<String>; 2],
    written: Map<String, Value>,
}

impl<'a> Schemas<'a> {
    /// Returns the schemas of these methods, none of them written yet.
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

    /// Appends a paragraph to the description of a field of a schema that was referred to.
    pub fn describe(&mut self, schema: &str, field: &str, paragraph: &str) {
        let field = self.written.get_mut(schema).and_then(|schema| schema["properties"].get_mut(field));
        let Some(Value::String(text)) = field.and_then(|field| field.get_mut("description")) else {
            panic!("{schema}: there is no such field")
        };
        text.push_str("\n\n");
        text.push_str(paragraph);
    }

    /// Returns every schema that was referred to.
    pub fn written(self) -> Map<String, Value> {
        self.written
    }

    /// Adds a schema by its name, unless it is there already, and returns a reference to it.
    fn reference(&mut self, name: String, write: impl FnOnce(&mut Self) -> Value) -> Value {
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        if !self.written.contains_key(&name) {
            // Its place, in the order of mention; and an end for what holds itself.
            self.written.insert(name.clone(), Value::Null);
            let schema = write(self);
            self.written.insert(name, schema);
        }
        reference
    }

    /// Returns a reference to the schema of a message, without the fields of these names.
    pub fn message(&mut self, message: &MessageDescriptor, form: Form, without: &[&str]) -> Value {
        let both = self.used.iter().all(|used| used.contains(message.full_name()));
        let input = if both && form != Form::Response { "Input" } else { "" };
        self.reference(format!("{}{input}", local_name(message.full_name())), |schemas| {
            schemas.object(message, form, without)
        })
    }

    fn object(&mut self, message: &MessageDescriptor, form: Form, without: &[&str]) -> Value {
        let mut fields: Vec<_> = message.fields().filter(|field| !without.contains(&field.name())).collect();
        fields.sort_by_key(FieldDescriptor::number);
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in &fields {
            let optional = field.containing_oneof().is_some();
            if if form == Form::Response { !optional } else { FieldRules::of(field).required } {
                required.push(field.json_name().to_owned());
            }
            properties.insert(field.json_name().to_owned(), self.field(field, form));
        }
        let mut description = self.comments.text(&message.parent_file(), message.path());
        if form != Form::Response {
            let sentences = FieldGroup::of(message).into_iter().flat_map(|group| group.sentences());
            sentences.for_each(|sentence| description.push_str(&format!(" {sentence}")));
        }
        let mut object = json!({"type": "object", "description": description, "properties": properties});
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        object
    }

    /// Returns the schema of the values of a field.
    pub fn field(&mut self, field: &FieldDescriptor, form: Form) -> Value {
        let rules = FieldRules::of(field);
        let one = self.one(field, form, &rules);
        let mut schema = if field.is_list() {
            let mut list = json!({"type": "array", "items": one});
            for (name, limit) in [("minItems", rules.min_items), ("maxItems", rules.max_items)] {
                if let (Some(limit), true) = (limit, form != Form::Response) {
                    list[name] = limit.into();
                }
            }
            list
        } else {
            one
        };
        let mut description = vec![self.comments.text(&field.parent_message().parent_file(), field.path())];
        if form != Form::Response {
            description.extend(rules.sentences());
        }
        schema["description"] = description.join(" ").into();
        if let (Some(default), true) = (&rules.default_value, form != Form::Response) {
            let default = scalar::default(field, default);
            schema["default"] = if field.is_list() { json!([default]) } else { default };
        }
        schema
    }

    /// Returns the schema of one value of a field.
    fn one(&mut self, field: &FieldDescriptor, form: Form, rules: &FieldRules) -> Value {
        match field.kind() {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Int32 => scalar::integer(i32::MIN.into()..=i32::MAX.into(), "int32", form, rules),
            Kind::Int64 => scalar::integer(i64::MIN..=i64::MAX, "int64", form, rules),
            Kind::Double => scalar::double(form, rules),
            Kind::String => scalar::text(form, rules),
            Kind::Enum(kind) => self.enumeration(&kind),
            // Without this, generators allow an empty object only.
            Kind::Message(message) if message.full_name() == STRUCT => {
                json!({"type": "object", "additionalProperties": true})
            }
            Kind::Message(message) => self.message(&message, form, &[]),
            other => panic!("{}: there is no schema for {other:?}", field.full_name()),
        }
    }

    fn enumeration(&mut self, kind: &EnumDescriptor) -> Value {
        self.reference(local_name(kind.full_name()), |schemas| {
            let values: Vec<_> = kind.values().filter(|value| value.number() != 0).collect();
            let file = kind.parent_file();
            let mut description = schemas.comments.text(&file, kind.path());
            description.push('\n');
            for value in &values {
                let says = schemas.comments.text(&file, value.path());
                description.push_str(&format!("\n- `{}`: {says}", value.name()));
            }
            let names: Vec<_> = values.iter().map(EnumValueDescriptor::name).collect();
            json!({"type": "string", "enum": names, "description": description})
        })
    }
}

/// Returns the name of a message or enum among the schemas: `Promotion.Type` is `PromotionType`.
fn local_name(full_name: &str) -> String {
    full_name.trim_start_matches(PACKAGE).replace('.', "")
}

/// Adds the full names of all that a message is made of, its own included.
fn collect(message: &MessageDescriptor, names: &mut HashSet<String>) {
    if !names.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        if let Kind::Message(message) = field.kind() {
            collect(&message, names);
        }
    }
}
