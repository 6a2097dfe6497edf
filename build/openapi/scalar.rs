//! Schemas of numbers and texts.

use std::ops::RangeInclusive;

use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Value, json};

use super::schema::Form;
use crate::hints::{CALENDAR_MS, Hints, YEAR_2000_MS};

/// An integer within `range` and what `hints` say.
pub fn integer(range: RangeInclusive<i64>, format: &str, form: Form, hints: &Hints) -> Value {
    let mut schema = json!({"type": "integer", "format": format});
    let (mut least, mut most) = hints.number;
    if form != Form::Response {
        if hints.calendar {
            let first = if hints.since_2000 { YEAR_2000_MS } else { CALENDAR_MS.0 };
            (least, most) = (Some(first), Some(CALENDAR_MS.1));
        }
        (least, most) = (least.or(Some(*range.start())), most.or(Some(*range.end())));
    }
    for (name, limit) in [("minimum", least), ("maximum", most)] {
        if let Some(limit) = limit {
            schema[name] = limit.into();
        }
    }
    schema
}

/// A double.
pub fn double(form: Form, hints: &Hints) -> Value {
    let mut schema = json!({"type": "number", "format": "double"});
    if form == Form::Response {
        return schema;
    }
    if let Some(least) = hints.number.0 {
        schema["minimum"] = least.into();
    }
    if let Some(whole) = hints.whole_digits {
        schema["exclusiveMaximum"] = 10_u64.pow(u32::try_from(whole).unwrap_or_default()).into();
    }
    schema
}

/// A text.
pub fn text(form: Form, hints: &Hints) -> Value {
    let mut schema = json!({"type": "string"});
    if hints.iso {
        schema["format"] = "date-time".into();
        return schema;
    }
    if let Some(digits) = hints.hex_digits {
        schema["pattern"] = format!("^[0-9A-Fa-f]{{{digits}}}$").into();
        return schema;
    }
    if let Some((least, most)) = hints.characters {
        schema["minLength"] = least.into();
        schema["maxLength"] = most.into();
    } else if hints.required && form != Form::Response {
        schema["minLength"] = 1.into();
    }
    if form != Form::Response {
        let pattern = if hints.trimmed { r"^[^\u0000\s]([^\u0000]*[^\u0000\s])?$" } else { r"^[^\u0000]*$" };
        schema["pattern"] = pattern.into();
    }
    schema
}

/// The default that a comment tells, as JSON.
pub fn default(field: &FieldDescriptor, text: &str) -> Value {
    let value = match field.kind() {
        Kind::Bool => text.parse::<bool>().ok().map(Value::from),
        Kind::Int32 | Kind::Int64 => text.replace(',', "").parse::<i64>().ok().map(Value::from),
        Kind::Enum(kind) => kind.get_value_by_name(text).map(|value| value.name().into()),
        _ => None,
    };
    value.unwrap_or_else(|| panic!("{}: {text:?} can be no default of it", field.full_name()))
}
