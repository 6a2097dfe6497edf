//! `eventPayload`: a JSON object that is stored and returned unchanged.
//!
//! `build.rs` uses this type where the proto names `google.protobuf.Struct`. In gRPC messages it is encoded as that
//! message. On the JSON endpoint it stays the text that the caller wrote, which keeps the order of names, and numbers
//! that a double cannot hold.

use std::sync::{Arc, OnceLock};

use bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Context, ReadJson};
use crate::earning::limits::{earn_event_details, event_details};

/// Limits the text, without white space outside strings: bytes.
pub const MAX_BYTES: usize = event_details::EVENT_PAYLOAD_MAX_BYTES;
/// Limits the nesting of objects and lists. A deeper payload could be stored, but stock protobuf clients stop at 100
/// nested messages, and each level takes up to three.
pub const MAX_DEPTH: usize = event_details::EVENT_PAYLOAD_MAX_DEPTH;
// Both ways to earn are read by the same checks.
const _: () = assert!(
    MAX_BYTES == earn_event_details::EVENT_PAYLOAD_MAX_BYTES
        && MAX_DEPTH == earn_event_details::EVENT_PAYLOAD_MAX_DEPTH
);

/// A JSON object, in the form in which it was received.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Text from the JSON endpoint or the database.
    Text(Arc<Text>),
    /// Message from the gRPC endpoint.
    Message(Struct),
}

/// The text of an object, and its message once that is needed. Clones share both.
#[derive(Debug)]
pub struct Text {
    json: Box<RawValue>,
    message: OnceLock<Struct>,
}

impl Text {
    fn message(&self) -> &Struct {
        self.message.get_or_init(|| match serde_json::from_str(self.json.get()).map(to_message) {
            Ok(Value { kind: Some(Kind::StructValue(message)) }) => message,
            _ => Struct::default(),
        })
    }
}

impl Payload {
    /// Returns the payload of a text from [`Payload::to_text`], or `None` if the text is not JSON.
    pub fn from_text(text: &str) -> Option<Self> {
        RawValue::from_string(text.to_owned()).ok().map(Self::from_json)
    }

    fn from_json(json: Box<RawValue>) -> Self {
        Self::Text(Arc::new(Text { json, message: OnceLock::new() }))
    }

    /// Returns the object as text without white space outside strings, ready to be stored.
    ///
    /// # Errors
    /// Returns the violation, as words that follow the name of the field.
    pub fn to_text(&self) -> Result<String, String> {
        let text = match self {
            Self::Text(text) => without_white_space(text.json.get()),
            Self::Message(message) => struct_to_text(message)?,
        };
        if text.len() > MAX_BYTES {
            return Err(format!("must be at most {MAX_BYTES} bytes of JSON, not {}", text.len()));
        }
        if !text.starts_with('{') {
            return Err("must be a JSON object".to_owned());
        }
        PayloadCheck { depth: 1 }.deserialize(&mut serde_json::Deserializer::from_str(&text)).map_err(|problem| {
            // The line and column refer to the payload alone, which would mislead the caller.
            problem.to_string().split(" at line ").next().unwrap_or_default().to_owned()
        })?;
        Ok(text)
    }

    fn message(&self) -> &Struct {
        match self {
            Self::Text(text) => text.message(),
            Self::Message(message) => message,
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::Message(Struct::default())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.json.get() == other.json.get(),
            _ => self.message() == other.message(),
        }
    }
}

impl Message for Payload {
    fn encode_raw(&self, out: &mut impl BufMut) {
        self.message().encode_raw(out);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        bytes: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match self {
            Self::Message(message) => message.merge_field(tag, wire_type, bytes, context),
            Self::Text(text) => {
                let mut message = text.message().clone();
                message.merge_field(tag, wire_type, bytes, context)?;
                *self = Self::Message(message);
                Ok(())
            }
        }
    }

    fn encoded_len(&self) -> usize {
        self.message().encoded_len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl serde::Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.json.serialize(serializer),
            Self::Message(message) => {
                let text =
                    struct_to_text(message).and_then(|text| RawValue::from_string(text).map_err(|e| e.to_string()));
                text.map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
        }
    }
}

impl ReadJson for Payload {
    fn read<'de, D: Deserializer<'de>>(&mut self, value: D, _: &mut Context) -> Result<bool, D::Error> {
        let json = <Box<RawValue> as serde::Deserialize>::deserialize(value)?;
        if json.get() == "null" {
            return Ok(false);
        }
        *self = Self::from_json(json);
        Ok(true)
    }
}

/// Returns the JSON text without white space outside strings.
fn without_white_space(json: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    json.chars()
        .filter(|character| {
            if in_string {
                in_string = escaped || *character != '"';
                escaped = !escaped && *character == '\\';
                return true;
            }
            in_string = *character == '"';
            !character.is_ascii_whitespace()
        })
        .collect()
}

fn struct_to_text(message: &Struct) -> Result<String, String> {
    let fields = message.fields.iter().map(|(name, value)| Ok((name.clone(), to_json(value)?)));
    fields
        .collect::<Result<serde_json::Map<_, _>, String>>()
        .map(|object| serde_json::Value::Object(object).to_string())
}

/// Converts a value to JSON. The protobuf reader limits its depth.
fn to_json(value: &Value) -> Result<serde_json::Value, String> {
    Ok(match &value.kind {
        None => return Err("has a value of no kind".to_owned()),
        Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::StringValue(value)) => value.as_str().into(),
        Some(Kind::NumberValue(value)) => {
            // Integers are written without a fraction, so that a caller that sent 7 reads 7.
            let negative_zero = *value == 0.0 && value.is_sign_negative();
            let number = if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_991.0 && !negative_zero {
                #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
                let integer = *value as i64;
                Some(serde_json::Number::from(integer))
            } else {
                serde_json::Number::from_f64(*value)
            };
            number.map(serde_json::Value::Number).ok_or("has a number that JSON cannot write")?
        }
        Some(Kind::ListValue(list)) => list.values.iter().map(to_json).collect::<Result<_, _>>()?,
        Some(Kind::StructValue(object)) => {
            let fields = object.fields.iter().map(|(name, value)| Ok((name.clone(), to_json(value)?)));
            serde_json::Value::Object(fields.collect::<Result<_, String>>()?)
        }
    })
}

fn to_message(value: serde_json::Value) -> Value {
    Value {
        kind: Some(match value {
            serde_json::Value::Null => Kind::NullValue(0),
            serde_json::Value::Bool(value) => Kind::BoolValue(value),
            serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
            serde_json::Value::String(value) => Kind::StringValue(value),
            serde_json::Value::Array(values) => {
                Kind::ListValue(ListValue { values: values.into_iter().map(to_message).collect() })
            }
            serde_json::Value::Object(fields) => Kind::StructValue(Struct {
                fields: fields.into_iter().map(|(name, value)| (name, to_message(value))).collect(),
            }),
        }),
    }
}

/// Rejects values that may not be stored: U+0000, and more levels than the limit.
#[derive(Clone, Copy)]
struct PayloadCheck {
    depth: usize,
}

impl PayloadCheck {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth > MAX_DEPTH {
            return Err(E::custom(format_args!("must have at most {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for PayloadCheck {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PayloadCheck {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom("must not contain U+0000")) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while object.next_key_seed(inner)?.is_some() {
            object.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(json: &str) -> Payload {
        let json = RawValue::from_string(json.to_owned()).expect(json);
        Payload::from_json(json)
    }

    #[test]
    fn the_text_stays_as_it_was_written_but_for_white_space() {
        let text = r#" { "z" : 1.50, "a b\" c\\" : [ 12345678901234567890 , null, true ] } "#;
        assert_eq!(given(text).to_text().unwrap(), r#"{"z":1.50,"a b\" c\\":[12345678901234567890,null,true]}"#);
    }

    #[test]
    fn the_message_of_a_text_is_the_text_again() {
        let text = r#"{"a":{"b":[1,2.5,"x",null,false,-9007199254740991]},"c":1e+300}"#;
        let message = Payload::Message(given(text).message().clone());
        assert_eq!(message.to_text().unwrap(), text);
        let decoded = Payload::decode(given(text).encode_to_vec().as_slice()).unwrap();
        assert_eq!(decoded, message);
    }

    #[test]
    fn what_cannot_be_stored_is_refused_with_the_reason() {
        let nested = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert!(given(&nested(MAX_DEPTH)).to_text().is_ok());
        let long = |length: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(length - 8));
        assert!(given(&long(MAX_BYTES)).to_text().is_ok());
        for (json, reason) in [
            (nested(MAX_DEPTH + 1), "must have at most 30 levels"),
            (nested(1000), "must have at most 30 levels"),
            (long(MAX_BYTES + 1), "must be at most 8192 bytes of JSON, not 8193"),
            ("[]".to_owned(), "must be a JSON object"),
            ("7".to_owned(), "must be a JSON object"),
            (r#"{"a":"\u0000"}"#.to_owned(), "must not contain U+0000"),
            (r#"{"a\u0000":1}"#.to_owned(), "must not contain U+0000"),
            (r#"{"a":1e400}"#.to_owned(), "number out of range"),
        ] {
            assert_eq!(given(&json).to_text().unwrap_err(), reason, "{json}");
        }
        let value = |kind| Struct { fields: [("a".to_owned(), Value { kind })].into() };
        for (kind, reason) in [
            (None, "has a value of no kind"),
            (Some(Kind::NumberValue(f64::NAN)), "has a number that JSON cannot write"),
        ] {
            assert_eq!(Payload::Message(value(kind)).to_text().unwrap_err(), reason);
        }
    }
}
