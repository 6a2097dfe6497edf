//! The `google.api.http` rules of a method: where its HTTP forms are, and what of its message is in the body.
//!
//! A rule that the JSON endpoint cannot serve stops the build, with its name.

use prost_reflect::{DynamicMessage, FieldDescriptor, MethodDescriptor, Value};

/// One HTTP form of a method.
pub struct HttpRule {
    /// Name of the form: that of the method, with a number from 2 on behind it for an additional rule.
    pub id: String,
    /// HTTP method in lower case.
    pub verb: &'static str,
    /// Path, with its variables by their proto names: `/promotions/{promotion_id}`.
    pub path: String,
    /// Part of the message that the body holds. The query holds the fields that are neither there nor in the path.
    pub body: Body,
}

/// The part of a message that a body holds.
pub enum Body {
    /// All that the path does not hold.
    Whole,
    /// One field.
    Field(FieldDescriptor),
    /// No field.
    None,
}

impl HttpRule {
    /// Returns the proto names of the path's variables.
    pub fn variables(&self) -> Vec<&str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect()
    }
}

/// Returns the rules of a method: its own and the additional ones; none if it has no HTTP form.
pub fn rules(method: &MethodDescriptor) -> Vec<HttpRule> {
    let full_name = method.full_name();
    let http = method.parent_pool().get_extension_by_name("google.api.http");
    let options = method.options();
    let Some(http) = http.filter(|http| options.has_extension(http)) else { return Vec::new() };
    let streams = method.is_client_streaming() || method.is_server_streaming();
    assert!(!streams, "{full_name}: a streaming method has no HTTP form");
    let rule = options.get_extension(&http);
    let Some(rule) = rule.as_message() else { panic!("google.api.http is a message") };
    let also = rule.get_field_by_name("additional_bindings");
    let also = also.as_deref().and_then(Value::as_list).unwrap_or_default();
    let all = std::iter::once(rule).chain(also.iter().filter_map(Value::as_message));
    let mut rules: Vec<_> = all.map(|rule| read(method, rule)).collect();
    for (index, rule) in rules.iter_mut().enumerate().skip(1) {
        rule.id.push_str(&(index + 1).to_string());
    }
    rules
}

fn read(method: &MethodDescriptor, rule: &DynamicMessage) -> HttpRule {
    let text = |field: &str| {
        rule.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let full_name = method.full_name();
    let verbs: Vec<_> =
        ["get", "put", "post", "delete", "patch"].into_iter().filter(|verb| rule.has_field_by_name(verb)).collect();
    let [verb] = verbs[..] else { panic!("{full_name}: a rule needs one of get, put, post, delete and patch") };
    let path = text(verb);
    let plain = path.starts_with('/') && !path.contains(['*', ':', '=']);
    assert!(plain, "{full_name}: {path}: path variables are whole segments, and there are no custom verbs");
    assert!(text("response_body").is_empty(), "{full_name}: response_body is not served");
    let body = match text("body").as_str() {
        "*" => Body::Whole,
        "" => Body::None,
        field => Body::Field(
            method.input().get_field_by_name(field).unwrap_or_else(|| panic!("{full_name}: no field {field}")),
        ),
    };
    HttpRule { id: method.name().to_owned(), verb, path, body }
}
