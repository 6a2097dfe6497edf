//! Schemas of numbers and texts.

use std::ops::RangeInclusive;

use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Value, json};

use super::form::Form;
use crate::facts::{CALENDAR_MS, FieldFormat, FieldRules, OBJECT_ID_DIGITS};

/// Returns the schema of an integer within `range` and its rules.
pub fn integer(range: RangeInclusive<i64>, format: &str, form: Form, rules: &FieldRules) -> Value {
    let mut schema = json!({"type": "integer", "format": format});
    if form == Form::Response {
        return schema;
    }
    let range = if rules.format == FieldFormat::Milliseconds { CALENDAR_MS.0..=CALENDAR_MS.1 } else { range };
    schema["minimum"] = rules.gte.unwrap_or(*range.start()).into();
    schema["maximum"] = rules.lte.unwrap_or(*range.end()).into();
    schema
}

/// Returns the schema of a double.
pub fn double(form: Form, rules: &FieldRules) -> Value {
    let mut schema = json!({"type": "number", "format": "double"});
    if form == Form::Response {
        return schema;
    }
    for (name, limit) in [("minimum", rules.gte), ("maximum", rules.lte), ("exclusiveMaximum", rules.lt)] {
        if let Some(limit) = limit {
            schema[name] = limit.into();
        }
    }
    schema
}

/// Returns the schema of a text.
pub fn text(form: Form, rules: &FieldRules) -> Value {
    let mut schema = json!({"type": "string"});
    match rules.format {
        FieldFormat::Iso8601 => schema["format"] = "date-time".into(),
        FieldFormat::ObjectId => schema["pattern"] = format!("^[0-9A-Fa-f]{{{OBJECT_ID_DIGITS}}}$").into(),
        FieldFormat::Plain | FieldFormat::Milliseconds if form != Form::Response => {
            let least = rules.min_len.or(rules.required.then_some(1));
            for (name, limit) in [("minLength", least), ("maxLength", rules.max_len)] {
                if let Some(limit) = limit {
                    schema[name] = limit.into();
                }
            }
            let pattern = if rules.trimmed { r"^[^\u0000\s]([^\u0000]*[^\u0000\s])?$" } else { r"^[^\u0000]*$" };
            schema["pattern"] = pattern.into();
        }
        FieldFormat::Plain | FieldFormat::Milliseconds => {}
    }
    schema
}

/// Returns the default of a field as JSON.
pub fn default(field: &FieldDescriptor, text: &str) -> Value {
    let value = match field.kind() {
        Kind::Bool => text.parse::<bool>().ok().map(Value::from),
        Kind::Int32 | Kind::Int64 => text.parse::<i64>().ok().map(Value::from),
        Kind::String => Some(text.into()),
        Kind::Enum(kind) => kind.get_value_by_name(text).map(|value| value.name().into()),
        _ => None,
    };
    value.unwrap_or_else(|| panic!("{}: {text:?} can be no default of it", field.full_name()))
}
