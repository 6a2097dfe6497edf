//! One operation of the document for each HTTP form of a method.

use prost_reflect::{FieldDescriptor, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use super::form::Form;
use super::responses;
use super::schema::Schemas;
use crate::comments::Comments;
use crate::examples::Example;
use crate::facts::{FieldRules, Method, Reason, Scope};
use crate::http_rule::{Body, HttpRule};
use crate::tables;

/// Sources of the document beside the descriptors.
pub struct ApiFacts<'a> {
    /// The comments of `proto/`.
    pub comments: &'a Comments,
    /// Reasons for which calls are refused and entries fail.
    pub reasons: &'a [Reason],
}

/// Returns the path of a rule, with its variables by their JSON names.
pub fn path(method: &MethodDescriptor, rule: &HttpRule) -> String {
    let mut path = rule.path.clone();
    for name in rule.variables() {
        path = path.replace(&format!("{{{name}}}"), &format!("{{{}}}", variable(method, name).json_name()));
    }
    path
}

fn variable(method: &MethodDescriptor, name: &str) -> FieldDescriptor {
    let field = method.input().get_field_by_name(name);
    field.unwrap_or_else(|| panic!("{}: no field {name}", method.full_name()))
}

/// Returns the group of the operations of a service: its name without what says that it is one.
pub fn tag(service: &ServiceDescriptor) -> &str {
    service.name().trim_end_matches("Service")
}

/// Returns the operation of a rule.
pub fn operation(method: &MethodDescriptor, rule: &HttpRule, facts: &ApiFacts<'_>, schemas: &mut Schemas<'_>) -> Value {
    let ApiFacts { comments, reasons } = facts;
    let known = Method::of(method);
    let example = Example::of(method.name());
    let description = comments.text(&method.parent_file(), method.path());
    let mut operation = json!({
        "operationId": rule.id,
        "tags": [tag(method.parent_service())],
        "summary": known.title,
        "description": description,
    });
    if rule.id == method.name() {
        operation["x-grpc-method"] = format!("{}/{}", method.parent_service().full_name(), method.name()).into();
    }
    let parameters = parameters(method, rule, schemas, &example);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    let variables = rule.variables();
    let body = match &rule.body {
        Body::None => None,
        Body::Whole => {
            let mut value = example.request.clone();
            value.retain(|name, _| {
                !variables.iter().any(|variable_name| variable(method, variable_name).json_name() == name)
            });
            Some((schemas.message(&method.input(), Form::Body, &variables), Value::Object(value)))
        }
        Body::Field(field) => Some((schemas.field(field, Form::Body), example.request[field.json_name()].clone())),
    };
    let has_body = body.is_some();
    if let Some((schema, example)) = body {
        let content = json!({"application/json": {"schema": schema, "example": example}});
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    let content = json!({"application/json": {
        "schema": schemas.message(&method.output(), Form::Response, &[]),
        "example": example.response,
    }});
    let mut answers = Map::new();
    let headers = json!({"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}});
    let response = comments.text(&method.output().parent_file(), method.output().path());
    answers.insert("200".to_owned(), json!({"description": response, "headers": headers, "content": content}));
    let refused = tables::of_call(reasons, &known, has_body);
    answers.extend(responses::refusals(&refused));
    let names = refused.iter().filter(|reason| reason.scope == Scope::Listed).map(|reason| reason.name.as_str());
    operation["x-reasons"] = names.collect::<Vec<_>>().into();
    operation["x-access-group"] = known.access_group.into();
    operation["responses"] = answers.into();
    operation
}

fn parameters(method: &MethodDescriptor, rule: &HttpRule, schemas: &mut Schemas<'_>, example: &Example) -> Vec<Value> {
    let variables = rule.variables();
    let in_query = |field: &FieldDescriptor| match &rule.body {
        Body::Whole => false,
        Body::Field(body) => body.number() != field.number(),
        Body::None => true,
    };
    let mut fields: Vec<_> = method.input().fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    let mut parameters = Vec::new();
    for field in fields {
        let in_path = variables.contains(&field.name());
        if !in_path && !in_query(&field) {
            continue;
        }
        let mut schema = schemas.field(&field, Form::Parameter);
        let description = schema["description"].take();
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("description");
        }
        let required = in_path || FieldRules::of(&field).required;
        let mut parameter = json!({
            "name": field.json_name(),
            "in": if in_path { "path" } else { "query" },
            "required": required,
            "description": description,
            "schema": schema,
        });
        if field.is_list() {
            parameter["style"] = "form".into();
            parameter["explode"] = true.into();
        }
        if let Some(value) = example.request.get(field.json_name()) {
            parameter["example"] = value.clone();
        }
        parameters.push(parameter);
    }
    parameters
}
