//! Turns `proto/` into Rust: messages and gRPC stubs (prost, tonic), the descriptor set that reflection and gateways
//! read, the JSON form of each message, and the JSON door's routes from the `google.api.http` rules.
//!
//! A message kind or HTTP rule that the JSON door cannot serve stops the build here, with its name.

#![allow(clippy::panic, reason = "a build stops by panicking")]

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

/// The package whose messages and services become code. The others are read for their options and types only.
const PACKAGE: &str = "cartpromotions.v1";
/// An object kept as its own JSON text; see `wire/payload.rs`.
const STRUCT: &str = "google.protobuf.Struct";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    // The source info carries the comments into the descriptor set, for those who read it through reflection.
    compiler.include_imports(true).include_source_info(true).open_files(proto_files(Path::new("proto"))?)?;
    // Not through prost's own type: it knows no extensions, and drops the HTTP rules.
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    let pool = compiler.descriptor_pool();

    let mut set = compiler.file_descriptor_set();
    set.file.retain(|file| [PACKAGE, "google.protobuf"].contains(&file.package()));
    let mut config = prost_build::Config::new();
    config
        .extern_path(format!(".{STRUCT}"), "crate::wire::payload::Payload")
        .skip_debug([format!(".{PACKAGE}.ApiClient")])
        .service_generator(
            tonic_prost_build::configure().codec_path("crate::transport::codec::Codec").service_generator(),
        )
        .compile_fds(set)?;

    let ours = |package: &str| package == PACKAGE;
    let mut json = String::new();
    for message in pool.all_messages().filter(|message| ours(message.package_name())) {
        message_json(&mut json, &message)?;
    }
    for kind in pool.all_enums().filter(|kind| ours(kind.package_name())) {
        enum_json(&mut json, &kind)?;
    }
    fs::write(out.join("json.rs"), json)?;

    let mut routes = String::new();
    for service in pool.services().filter(|service| ours(service.package_name())) {
        let name = service.name();
        writeln!(routes, "/// The HTTP forms of `{}`.", service.full_name())?;
        writeln!(routes, "pub fn {}<S>(service: &std::sync::Arc<S>) -> axum::Router", name.to_snake_case())?;
        writeln!(routes, "where S: crate::proto::{}_server::{name} {{", name.to_snake_case())?;
        writeln!(routes, "    let mut router = axum::Router::new();")?;
        for method in service.methods() {
            method_routes(&mut routes, &method)?;
        }
        writeln!(routes, "    router\n}}")?;
    }
    fs::write(out.join("json_routes.rs"), routes)?;
    Ok(())
}

/// Every `.proto` below `folder`, named as imports name them.
fn proto_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path.strip_prefix("proto").unwrap_or(&path).to_owned());
        }
    }
    files.sort();
    Ok(files)
}

/// `Outer.Inner` of this package as prost names it: `crate::proto::outer::Inner`.
fn rust_path(full_name: &str) -> String {
    let local = full_name.strip_prefix(PACKAGE).unwrap_or(full_name).trim_start_matches('.');
    let mut parts: Vec<&str> = local.split('.').collect();
    let name = parts.pop().unwrap_or_default().to_upper_camel_case();
    let modules: String = parts.iter().map(|part| part.to_snake_case() + "::").collect();
    format!("crate::proto::{modules}{name}")
}

/// The Rust field that prost makes of `field`.
fn rust_field(field: &FieldDescriptor) -> String {
    let name = field.name().to_snake_case();
    if name == "type" { format!("r#{name}") } else { name }
}

/// Reading and writing one message as JSON.
fn message_json(out: &mut String, message: &MessageDescriptor) -> std::fmt::Result {
    let full_name = message.full_name();
    assert!(!message.is_map_entry(), "{full_name}: the JSON door has no maps");
    let mut fields: Vec<_> = message.fields().collect();
    // In the order of their numbers, which is the order of the documented JSON.
    fields.sort_by_key(FieldDescriptor::number);
    assert!(fields.len() <= 64, "{full_name}: more fields than the reader can tell apart");
    let plain = |field: &FieldDescriptor| field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic());
    assert!(fields.iter().all(plain), "{full_name}: the JSON door has no oneof");
    let path = rust_path(full_name);
    read_json(out, &path, &fields)?;
    write_json(out, &path, &fields)
}

/// The signature that all reading has after its name and first parameters.
const READS: &str = "value: D, context: &mut Context) -> Result<bool, D::Error>";

fn read_json(out: &mut String, path: &str, fields: &[FieldDescriptor]) -> std::fmt::Result {
    writeln!(out, "impl JsonMessage for {path} {{")?;
    let names: Vec<_> = fields.iter().map(|field| format!("{:?}", field.json_name())).collect();
    writeln!(out, "    const FIELDS: &'static [&'static str] = &[{}];", names.join(", "))?;
    writeln!(out, "    fn field(name: &str) -> Option<usize> {{\n        match name {{")?;
    for (index, field) in fields.iter().enumerate() {
        let (json, proto) = (field.json_name(), field.name());
        let also = if json == proto { String::new() } else { format!(" | {proto:?}") };
        writeln!(out, "            {json:?}{also} => Some({index}),")?;
    }
    writeln!(out, "            _ => None,\n        }}\n    }}")?;
    writeln!(out, "    fn read_field<'de, D: serde::Deserializer<'de>>(&mut self, field: usize, {READS} {{")?;
    writeln!(out, "        match field {{")?;
    for (index, field) in fields.iter().enumerate() {
        let name = rust_field(field);
        let Some(kind) = json_kind(field) else {
            writeln!(out, "            {index} => self.{name}.read(value, context),")?;
            continue;
        };
        let (holder, take) = if field.is_list() {
            // A parameter comes once for each element.
            (format!("Vec<EnumValue<{kind}>>"), ".extend(read.into_iter().map(i32::from))")
        } else if field.supports_presence() {
            (format!("Option<EnumValue<{kind}>>"), " = read.map(i32::from)")
        } else {
            (format!("EnumValue<{kind}>"), " = read.into()")
        };
        writeln!(out, "            {index} => {{")?;
        writeln!(out, "                let mut read = <{holder}>::default();")?;
        writeln!(out, "                let given = read.read(value, context)?;")?;
        writeln!(out, "                if given {{ self.{name}{take}; }}")?;
        writeln!(out, "                Ok(given)\n            }}")?;
    }
    writeln!(out, "            _ => skip(value),\n        }}\n    }}\n}}")?;
    writeln!(out, "impl ReadJson for {path} {{")?;
    writeln!(out, "    fn read<'de, D: serde::Deserializer<'de>>(&mut self, {READS} {{")?;
    writeln!(out, "        read_message(self, value, context)\n    }}\n}}")
}

fn write_json(out: &mut String, path: &str, fields: &[FieldDescriptor]) -> std::fmt::Result {
    writeln!(out, "impl serde::Serialize for {path} {{")?;
    writeln!(out, "    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {{")?;
    writeln!(out, "        use serde::ser::SerializeStruct;")?;
    writeln!(out, "        let mut object = serializer.serialize_struct({path:?}, {})?;", fields.len())?;
    for field in fields {
        let (name, json) = (rust_field(field), field.json_name());
        let kind = json_kind(field).map(|kind| format!("EnumName::<{kind}>::new"));
        let write = |value: String| format!("object.serialize_field({json:?}, {value})?;");
        let line = match (kind, field.is_list(), field.supports_presence()) {
            (None, false, false) if field.kind() == Kind::Double => write(format!("&Number(self.{name})")),
            (None, _, false) => write(format!("&self.{name}")),
            (None, _, true) => format!("if let Some(value) = &self.{name} {{ {} }}", write("value".to_owned())),
            (Some(kind), true, _) => write(format!("&self.{name}.iter().copied().map({kind}).collect::<Vec<_>>()")),
            (Some(kind), false, false) => write(format!("&{kind}(self.{name})")),
            (Some(kind), false, true) => {
                format!("if let Some(value) = self.{name} {{ {} }}", write(format!("&{kind}(value)")))
            }
        };
        writeln!(out, "        {line}")?;
    }
    writeln!(out, "        object.end()\n    }}\n}}")
}

/// The Rust enum of an enum field; `None` for what is read and written as its own type.
fn json_kind(field: &FieldDescriptor) -> Option<String> {
    match field.kind() {
        Kind::Enum(kind) => Some(rust_path(kind.full_name())),
        Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double | Kind::String => None,
        Kind::Message(message) if message.full_name() == STRUCT || message.package_name() == PACKAGE => None,
        other => panic!("{}: the JSON door has no {other:?}", field.full_name()),
    }
}

/// The names of one enum.
fn enum_json(out: &mut String, kind: &EnumDescriptor) -> std::fmt::Result {
    let path = rust_path(kind.full_name());
    let names: Vec<_> =
        kind.values().filter(|value| value.number() != 0).map(|value| format!("{:?}", value.name())).collect();
    writeln!(out, "impl JsonEnum for {path} {{")?;
    writeln!(out, "    const NAMES: &'static [&'static str] = &[{}];", names.join(", "))?;
    writeln!(
        out,
        "    fn number(name: &str) -> Option<i32> {{ Self::from_str_name(name).map(|value| value as i32) }}"
    )?;
    writeln!(
        out,
        "    fn name(number: i32) -> Option<&'static str> {{ Self::try_from(number).ok().map(|value| value.as_str_name()) }}"
    )?;
    writeln!(out, "}}")
}

/// The routes of one method: its HTTP rule and the additional ones.
fn method_routes(out: &mut String, method: &MethodDescriptor) -> Result<(), Box<dyn std::error::Error>> {
    let pool = method.parent_pool();
    let extension = pool.get_extension_by_name("google.api.http").ok_or("google.api.http is not in proto/")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return Ok(());
    }
    assert!(
        !method.is_client_streaming() && !method.is_server_streaming(),
        "{}: a streaming method has no HTTP form",
        method.full_name()
    );
    let rule = options.get_extension(&extension);
    let rule = rule.as_message().ok_or("google.api.http is a message")?;
    let also = rule.get_field_by_name("additional_bindings");
    let also = also.as_deref().and_then(Value::as_list).unwrap_or_default();
    for rule in std::iter::once(rule).chain(also.iter().filter_map(Value::as_message)) {
        route(out, method, rule)?;
    }
    Ok(())
}

fn route(out: &mut String, method: &MethodDescriptor, rule: &DynamicMessage) -> std::fmt::Result {
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
        "*" => "BodyRule::Whole".to_owned(),
        "" => "BodyRule::None".to_owned(),
        field => {
            let field =
                method.input().get_field_by_name(field).unwrap_or_else(|| panic!("{full_name}: no field {field}"));
            format!("BodyRule::Field({:?})", field.json_name())
        }
    };
    let call = method.name().to_snake_case();
    writeln!(out, "    let called = std::sync::Arc::clone(service);")?;
    writeln!(
        out,
        "    router = router.route({path:?}, axum::routing::{verb}(move |request: axum::extract::Request| {{"
    )?;
    writeln!(out, "        let service = std::sync::Arc::clone(&called);")?;
    writeln!(out, "        answer({body}, request, move |request| async move {{ service.{call}(request).await }})")?;
    writeln!(out, "    }}));")
}
