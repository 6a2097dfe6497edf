//! The JSON door's routes, from the HTTP rules: `json_routes.rs`, which `transport/json_endpoint.rs` takes in.

use std::fmt::Write;

use heck::ToSnakeCase;
use prost_reflect::{MethodDescriptor, ServiceDescriptor};

use crate::http_rule::{Body, Rule, rules};

/// A function that gives the routes of one service.
pub fn service_routes(out: &mut String, service: &ServiceDescriptor) -> std::fmt::Result {
    let name = service.name();
    writeln!(out, "/// The HTTP forms of `{}`.", service.full_name())?;
    writeln!(out, "pub fn {}<S>(service: &std::sync::Arc<S>) -> axum::Router", name.to_snake_case())?;
    writeln!(out, "where S: crate::proto::{}_server::{name} {{", name.to_snake_case())?;
    writeln!(out, "    let mut router = axum::Router::new();")?;
    for method in service.methods() {
        for rule in rules(&method) {
            route(out, &method, &rule)?;
        }
    }
    writeln!(out, "    router\n}}")
}

fn route(out: &mut String, method: &MethodDescriptor, rule: &Rule) -> std::fmt::Result {
    let body = match &rule.body {
        Body::Whole => "BodyRule::Whole".to_owned(),
        Body::None => "BodyRule::None".to_owned(),
        Body::Field(field) => format!("BodyRule::Field({:?})", field.json_name()),
    };
    let call = method.name().to_snake_case();
    let Rule { verb, path, .. } = rule;
    writeln!(out, "    let called = std::sync::Arc::clone(service);")?;
    writeln!(
        out,
        "    router = router.route({path:?}, axum::routing::{verb}(move |request: axum::extract::Request| {{"
    )?;
    writeln!(out, "        let service = std::sync::Arc::clone(&called);")?;
    writeln!(
        out,
        "        answer(({path:?}, {body}), request, move |request| async move {{ service.{call}(request).await }})"
    )?;
    writeln!(out, "    }}));")
}
