//! Reading and writing each message as JSON: `json.rs`, which `wire/json` takes in.
//!
//! A message kind that the JSON endpoint cannot serve stops the build, with its name.

use std::fmt::Write;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::{PACKAGE, STRUCT};

/// Returns `Outer.Inner` of this package as prost names it: `crate::proto::outer::Inner`.
fn rust_path(full_name: &str) -> String {
    let local = full_name.strip_prefix(PACKAGE).unwrap_or(full_name).trim_start_matches('.');
    let mut parts: Vec<&str> = local.split('.').collect();
    let name = parts.pop().unwrap_or_default().to_upper_camel_case();
    let modules: String = parts.iter().map(|part| part.to_snake_case() + "::").collect();
    format!("crate::proto::{modules}{name}")
}

/// Returns the Rust field that prost makes of `field`.
fn rust_field(field: &FieldDescriptor) -> String {
    let name = field.name().to_snake_case();
    if name == "type" { format!("r#{name}") } else { name }
}

/// Writes the code that reads and writes one message as JSON.
pub fn message_json(out: &mut String, message: &MessageDescriptor) -> std::fmt::Result {
    let full_name = message.full_name();
    assert!(!message.is_map_entry(), "{full_name}: the JSON endpoint has no maps");
    let mut fields: Vec<_> = message.fields().collect();
    // In the order of their numbers, which is the order of the documented JSON.
    fields.sort_by_key(FieldDescriptor::number);
    assert!(fields.len() <= 64, "{full_name}: more fields than the reader can tell apart");
    let plain = |field: &FieldDescriptor| field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic());
    assert!(fields.iter().all(plain), "{full_name}: the JSON endpoint has no oneof");
    let path = rust_path(full_name);
    if let [values] = &fields[..]
        && values.is_list()
        && values.name() == LIST_FIELD
    {
        return list_json(out, &path);
    }
    read_json(out, &path, &fields)?;
    write_json(out, &path, &fields)
}

/// The only field of a message that stands for a list in JSON, as `google.protobuf.ListValue` does.
const LIST_FIELD: &str = "values";

/// Writes the code that reads and writes a message as the list that it holds.
fn list_json(out: &mut String, path: &str) -> std::fmt::Result {
    writeln!(out, "impl ReadJson for {path} {{")?;
    writeln!(out, "    fn read<'de, D: serde::Deserializer<'de>>(&mut self, {READS} {{")?;
    writeln!(out, "        self.{LIST_FIELD}.read(value, context)\n    }}\n}}")?;
    writeln!(out, "impl serde::Serialize for {path} {{")?;
    writeln!(out, "    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {{")?;
    writeln!(out, "        self.{LIST_FIELD}.serialize(serializer)\n    }}\n}}")
}

/// The signature that all reading has after its name and first parameters.
const READS: &str = "value: D, context: &mut Context) -> Result<bool, D::Error>";

fn read_json(out: &mut String, path: &str, fields: &[FieldDescriptor]) -> std::fmt::Result {
    writeln!(out, "impl JsonMessage for {path} {{")?;
    let names: Vec<_> = fields.iter().map(|field| format!("{:?}", field.json_name())).collect();
    writeln!(out, "    const FIELDS: &'static [&'static str] = &[{}];", names.join(", "))?;
    let is_repeatable = |field: &FieldDescriptor| field.is_list() || matches!(field.kind(), Kind::Message(_));
    let lists = fields.iter().enumerate().filter(|(_, field)| is_repeatable(field)).map(|(at, _)| at.to_string());
    let lists: Vec<_> = lists.collect();
    writeln!(out, "    const REPEATABLE: &'static [usize] = &[{}];", lists.join(", "))?;
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
        let (read, take) = if field.is_list() {
            // Added to what is there: a query has a list one value at a time.
            let there = format!("self.{name}.iter().copied().map(EnumValue::<{kind}>::from).collect::<Vec<_>>()");
            (there, ".into_iter().map(i32::from).collect()")
        } else if field.supports_presence() {
            (format!("Option::<EnumValue<{kind}>>::default()"), ".map(i32::from)")
        } else {
            (format!("EnumValue::<{kind}>::default()"), ".into()")
        };
        writeln!(out, "            {index} => {{")?;
        writeln!(out, "                let mut read = {read};")?;
        writeln!(out, "                let given = read.read(value, context)?;")?;
        writeln!(out, "                if given {{ self.{name} = read{take}; }}")?;
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

/// Returns the Rust enum of an enum field; `None` for what is read and written as its own type.
fn json_kind(field: &FieldDescriptor) -> Option<String> {
    match field.kind() {
        Kind::Enum(kind) => Some(rust_path(kind.full_name())),
        Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double | Kind::String => None,
        Kind::Message(message) if message.full_name() == STRUCT || message.package_name() == PACKAGE => None,
        other => panic!("{}: the JSON endpoint has no {other:?}", field.full_name()),
    }
}

/// Writes the names of one enum.
pub fn enum_json(out: &mut String, kind: &EnumDescriptor) -> std::fmt::Result {
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
