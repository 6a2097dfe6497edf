//! Rust constants from the facts of `proto/`: the limits that `wire` checks, the numbers of the reasons, and the table of
//! methods for the tests.

use std::fmt::Write;

use heck::{ToShoutySnakeCase, ToSnakeCase};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor};

use crate::PACKAGE;
use crate::facts::{CALENDAR_MS, FieldGroup, FieldRules, Method, PRESENTED_MAX_BYTES, Reason, grouped};
use crate::http_rule::{Body, rules};

/// Returns the limits that are of no message, as the first of the limits.
pub fn general_limits() -> String {
    let (first, last) = CALENDAR_MS;
    format!(
        "/// Limits of every time: milliseconds since 1970-01-01T00:00:00Z.\n\
        pub const CALENDAR_MS: std::ops::RangeInclusive<i64> = {first}..={last};\n\
        /// Limits a username, and a secret, that a caller presents: bytes. Longer ones are wrong without a check.\n\
        pub const PRESENTED_MAX_BYTES: usize = {PRESENTED_MAX_BYTES};\n"
    )
}

/// Writes a module of limits for one message; nothing where it has none.
pub fn limits(out: &mut String, message: &MessageDescriptor) -> std::fmt::Result {
    let mut constants = String::new();
    for field in message.fields() {
        field_limits(&mut constants, &field)?;
    }
    for group in FieldGroup::of(message) {
        let name =
            group.fields.iter().map(|field| field.name().to_shouty_snake_case()).collect::<Vec<_>>().join("_AND_");
        if let Some(most) = group.max_items {
            writeln!(constants, "    pub const {name}_MAX_ITEMS: usize = {most};")?;
        }
    }
    if constants.is_empty() {
        return Ok(());
    }
    let name = message.full_name().trim_start_matches(PACKAGE).replace('.', "").to_snake_case();
    writeln!(out, "/// Limits of `{}`.", message.full_name())?;
    writeln!(out, "pub mod {name} {{\n{constants}}}")
}

fn field_limits(out: &mut String, field: &FieldDescriptor) -> std::fmt::Result {
    let (rules, name) = (FieldRules::of(field), field.name().to_shouty_snake_case());
    let number = if field.kind() == Kind::Int32 { "i32" } else { "i64" };
    // A sum of numbers is as long as they are; a number of elements is a length.
    let total = if field.is_list() { "usize" } else { "u32" };
    let default = rules.default_value.as_ref().filter(|_| matches!(field.kind(), Kind::Int32 | Kind::Int64));
    let default = default.map(|value| value.parse().unwrap_or_else(|_| panic!("{}: {value}", field.full_name())));
    for (suffix, kind, limit) in [
        ("MAX_LEN", "usize", rules.max_len),
        ("MAX_ITEMS", "usize", rules.max_items),
        ("MAX_BYTES", "usize", rules.max_bytes),
        ("MAX_DEPTH", "usize", rules.max_depth),
        ("MAX_TOTAL", total, rules.max_total),
        ("GTE", number, rules.gte),
        ("LTE", number, rules.lte),
        ("LT", number, rules.lt),
        ("DEFAULT", number, default),
    ] {
        if let Some(limit) = limit {
            writeln!(out, "    pub const {name}_{suffix}: {kind} = {limit};")?;
        }
    }
    if let Some(ms) = rules.max_ahead_ms {
        writeln!(
            out,
            "    pub const {name}_MAX_AHEAD: core::time::Duration = core::time::Duration::from_millis({ms});"
        )?;
    }
    Ok(())
}

/// A function that writes one fact of a reason, as Rust.
type Fact = fn(&Reason) -> String;

/// Writes the names of the services.
pub fn services(out: &mut String, services: &[ServiceDescriptor]) -> std::fmt::Result {
    let names = services.iter().map(|service| format!("{:?}", service.full_name())).collect::<Vec<_>>().join(", ");
    writeln!(out, "/// Names of the services.\npub const SERVICES: [&str; {}] = [{names}];", services.len())
}

/// Writes the facts of each reason, for the enum that prost makes of them.
pub fn reasons(out: &mut String, reasons: &[Reason]) -> std::fmt::Result {
    writeln!(out, "impl Reason {{")?;
    let count = reasons.len();
    let all = reasons.iter().map(|reason| format!("Self::{}", variant(reason))).collect::<Vec<_>>().join(", ");
    writeln!(out, "    /// All reasons, in order of precedence.\n    pub const ALL: [Self; {count}] = [{all}];")?;
    let facts: [(&str, &str, &str, Fact); 4] = [
        ("code", "i32", "the documented number", |reason| reason.code.to_string()),
        ("http_status", "u16", "the status over HTTP; 0 of a reason for which entries fail only", |reason| {
            reason.http.to_string()
        }),
        ("grpc_code", "i32", "the code over gRPC", |reason| reason.grpc.1.to_string()),
        ("name", "&'static str", "the name in `ErrorInfo`", |reason| format!("{:?}", reason.name)),
    ];
    for (name, kind, about, fact) in facts {
        let none = if kind.starts_with('&') { "\"\"" } else { "0" };
        writeln!(out, "    /// Returns {about}.\n    pub const fn {name}(self) -> {kind} {{\n        match self {{")?;
        for reason in reasons {
            writeln!(out, "            Self::{} => {},", variant(reason), fact(reason))?;
        }
        writeln!(out, "            Self::Unspecified => {none},\n        }}\n    }}")?;
    }
    writeln!(out, "}}")
}

/// Writes the documented numbers of the reasons as constants, for the room of the rules, which knows no messages.
pub fn codes(out: &mut String, reasons: &[Reason]) -> std::fmt::Result {
    for reason in reasons {
        writeln!(out, "pub const {}: i32 = {};", reason.name, grouped(reason.code).replace(',', "_"))?;
    }
    Ok(())
}

fn variant(reason: &Reason) -> String {
    heck::ToUpperCamelCase::to_upper_camel_case(reason.name.as_str())
}

/// Writes the methods of a service as rows of the table of the tests.
pub fn test_methods(out: &mut String, service: &ServiceDescriptor) -> std::fmt::Result {
    for method in service.methods() {
        let Some(rule) = rules(&method).into_iter().next() else { continue };
        let mut path = rule.path.clone();
        for field in method.input().fields() {
            path = path.replace(&format!("{{{}}}", field.name()), &format!("{{{}}}", field.json_name()));
        }
        let body = match &rule.body {
            Body::Whole => "*".to_owned(),
            Body::Field(field) => field.json_name().to_owned(),
            Body::None => String::new(),
        };
        let (name, grpc) = (method.name(), format!("{}/{}", service.name(), method.name()));
        let (verb, access) = (rule.verb.to_uppercase(), Method::of(&method).access_group);
        let (input, output) = (method.input().name().to_owned(), method.output().name().to_owned());
        writeln!(
            out,
            "    {}: {grpc:?} {verb:?} {path:?} {body:?} {access:?}, {input} -> {output};",
            name.to_snake_case()
        )?;
    }
    Ok(())
}
