//! Reading messages from JSON, and from path and query parameters, with every fault under its path.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{BorrowedStrDeserializer, Error as ParameterError, MapDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::wire::violation::Violations;

/// What to do with a name that the message has no field for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// Pass over it, as the well-known gateways do: what a caller sends.
    Ignore,
    /// A fault: what an operator wrote into a file.
    Refuse,
}

/// Where the reader stands, and what it found wrong so far.
#[derive(Debug)]
pub struct Context {
    path: Vec<Step>,
    violations: Violations,
    unknown_fields: UnknownFields,
    /// Path and query parameters are text: `true`, and a list one value at a time.
    parameters: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Field(&'static str),
    Index(usize),
}

impl Context {
    fn new(unknown_fields: UnknownFields, parameters: bool) -> Self {
        Self { path: Vec::new(), violations: Violations::default(), unknown_fields, parameters }
    }

    /// Path of where the reader stands.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.extend([".", name]),
                Step::Index(index) => path.extend(["[", &index.to_string(), "]"]),
            }
        }
        path
    }

    fn violation(&mut self, description: impl Into<String>) {
        self.violations.add(self.path(), description);
    }

    fn within<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let result = read(self);
        self.path.pop();
        result
    }
}

/// A message that can be read by its fields; implemented by `build.rs`.
pub trait JsonMessage: Default {
    /// The JSON names, in the order of the fields' numbers.
    const FIELDS: &'static [&'static str];

    /// Index in [`Self::FIELDS`] of the field with this JSON or proto name.
    fn field(name: &str) -> Option<usize>;

    /// Reads the field of this index; what it gives is that of [`ReadJson::read`].
    ///
    /// # Errors
    /// What the deserializer says: the input is no JSON.
    fn read_field<'de, D: Deserializer<'de>>(
        &mut self,
        field: usize,
        value: D,
        context: &mut Context,
    ) -> Result<bool, D::Error>;
}

/// A value that can be read from JSON.
pub trait ReadJson {
    /// Reads it. `false`: it was `null`, or a scalar of the wrong kind, which is a fault in `context`; `self` is as
    /// before.
    ///
    /// # Errors
    /// What the deserializer says: the input is no JSON.
    fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error>;
}

/// An enum's names and numbers; implemented by `build.rs`.
pub trait JsonEnum {
    /// The names that may be given: all but that of zero.
    const NAMES: &'static [&'static str];

    /// The number of a name.
    fn number(name: &str) -> Option<i32>;

    /// The name of a number.
    fn name(number: i32) -> Option<&'static str>;
}

/// Reads a message from one JSON document.
///
/// # Errors
/// Why it is no JSON. Faults of its values are in the second part of the result instead.
pub fn from_slice<M: ReadJson + Default>(
    json: &[u8],
    unknown_fields: UnknownFields,
) -> Result<(M, Violations), serde_json::Error> {
    let mut context = Context::new(unknown_fields, false);
    let mut message = M::default();
    let mut document = serde_json::Deserializer::from_slice(json);
    if !message.read(&mut document, &mut context)? {
        context.violation("must be a JSON object, not null");
    }
    document.end()?;
    Ok((message, context.violations))
}

/// Reads path variables and query parameters into `message`. A name may go into a message: `eventDetails.id`.
pub fn read_parameters<'a, M: JsonMessage>(
    message: &mut M,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Violations {
    let mut context = Context::new(UnknownFields::Ignore, true);
    for (name, value) in parameters {
        let (name, rest) = name.split_once('.').map_or((name, None), |(name, rest)| (name, Some(rest)));
        let Some(field) = M::field(name) else { continue };
        let parameter = Parameter { rest, value };
        let read =
            context.within(Step::Field(M::FIELDS[field]), |context| message.read_field(field, parameter, context));
        if let Err(fault) = read {
            context.within(Step::Field(M::FIELDS[field]), |context| context.violation(fault.to_string()));
        }
    }
    context.violations
}

/// The value of one parameter: text, or, while there is `rest` of its name, an object with that one field.
struct Parameter<'a> {
    rest: Option<&'a str>,
    value: &'a str,
}

impl<'de> Deserializer<'de> for Parameter<'de> {
    type Error = ParameterError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let Some(name) = self.rest else { return visitor.visit_borrowed_str(self.value) };
        let (name, rest) = name.split_once('.').map_or((name, None), |(name, rest)| (name, Some(rest)));
        visitor.visit_map(MapDeserializer::new(std::iter::once((name, Self { rest, value: self.value }))))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> serde::de::IntoDeserializer<'de, ParameterError> for Parameter<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Passes over a value of any kind.
pub(super) fn skip<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    value.deserialize_ignored_any(IgnoredAny).map(|_| true)
}

/// Reads the fields of a JSON object into `message`.
pub(super) fn read_message<'de, M: JsonMessage, D: Deserializer<'de>>(
    message: &mut M,
    value: D,
    context: &mut Context,
) -> Result<bool, D::Error> {
    value.deserialize_any(MessageVisitor { message, context })
}

struct MessageVisitor<'a, M> {
    message: &'a mut M,
    context: &'a mut Context,
}

impl<M> MessageVisitor<'_, M> {
    fn refuse(self, given: &str) -> bool {
        self.context.violation(format!("must be an object, not {given}"));
        true
    }
}

impl<'de, M: JsonMessage> Visitor<'de> for MessageVisitor<'_, M> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut seen = 0_u64;
        while let Some(key) = map.next_key_seed(KeySeed::<M>(PhantomData))? {
            match key {
                Key::Field(field) => {
                    let name = M::FIELDS[field];
                    if seen & (1 << field) != 0 {
                        self.context.within(Step::Field(name), |context| context.violation("is given twice"));
                    }
                    seen |= 1 << field;
                    let value = FieldSeed { message: &mut *self.message, field, context: &mut *self.context };
                    map.next_value_seed(value)?;
                }
                Key::Unknown(name) => {
                    if self.context.unknown_fields == UnknownFields::Refuse {
                        let path = self.context.path();
                        let dot = if path.is_empty() { "" } else { "." };
                        self.context.violations.add(format_args!("{path}{dot}{name}"), "is unknown");
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(true)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(self.refuse("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(self.refuse("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(self.refuse("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(self.refuse("a number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(self.refuse("a string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.refuse("a list"))
    }
}

enum Key {
    Field(usize),
    Unknown(String),
}

struct KeySeed<M>(PhantomData<M>);

impl<'de, M: JsonMessage> DeserializeSeed<'de> for KeySeed<M> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Key, D::Error> {
        key.deserialize_str(self)
    }
}

impl<M: JsonMessage> Visitor<'_> for KeySeed<M> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        // An unknown name is cut: it is echoed in a fault, and nobody needs a megabyte of it.
        Ok(M::field(name).map_or_else(|| Key::Unknown(name.chars().take(100).collect()), Key::Field))
    }
}

struct FieldSeed<'a, M> {
    message: &'a mut M,
    field: usize,
    context: &'a mut Context,
}

impl<'de, M: JsonMessage> DeserializeSeed<'de> for FieldSeed<'_, M> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<bool, D::Error> {
        let Self { message, field, context } = self;
        context.within(Step::Field(M::FIELDS[field]), |context| message.read_field(field, value, context))
    }
}

/// What can stand for a scalar in JSON.
pub(super) enum Given<'a> {
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(&'a str),
}

/// A value that is not an object or a list.
pub(super) trait Scalar: Sized {
    /// What it must be, in words.
    fn expected() -> Cow<'static, str>;

    fn from_given(given: &Given<'_>, parameter: bool) -> Option<Self>;
}

macro_rules! integer {
    ($type:ty, $expected:literal) => {
        impl Scalar for $type {
            fn expected() -> Cow<'static, str> {
                $expected.into()
            }

            fn from_given(given: &Given<'_>, _: bool) -> Option<Self> {
                match given {
                    Given::Integer(value) => Self::try_from(*value).ok(),
                    // 7.0 and 7e0 are the integer 7. Beyond 2^53 a float no longer names one integer.
                    Given::Float(value) if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => {
                        #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
                        let value = *value as i64;
                        Self::try_from(value).ok()
                    }
                    Given::Text(text) => text.parse().ok(),
                    Given::Bool(_) | Given::Float(_) => None,
                }
            }
        }
    };
}

integer!(i32, "a 32-bit integer");
integer!(i64, "a 64-bit integer");

impl Scalar for f64 {
    fn expected() -> Cow<'static, str> {
        "a number".into()
    }

    fn from_given(given: &Given<'_>, _: bool) -> Option<Self> {
        match given {
            #[expect(clippy::cast_precision_loss, reason = "a double is what the field holds")]
            Given::Integer(value) => Some(*value as f64),
            Given::Float(value) => Some(*value),
            Given::Text(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
            Given::Bool(_) => None,
        }
    }
}

impl Scalar for bool {
    fn expected() -> Cow<'static, str> {
        "true or false".into()
    }

    fn from_given(given: &Given<'_>, parameter: bool) -> Option<Self> {
        match given {
            Given::Bool(value) => Some(*value),
            Given::Text(text) if parameter => text.parse().ok(),
            _ => None,
        }
    }
}

impl Scalar for String {
    fn expected() -> Cow<'static, str> {
        "a string".into()
    }

    fn from_given(given: &Given<'_>, _: bool) -> Option<Self> {
        match given {
            Given::Text(text) => Some((*text).to_owned()),
            _ => None,
        }
    }
}

/// The number of an enum field, read by name or number. A number without a name is left for the rules to refuse.
pub(super) struct EnumValue<E>(i32, PhantomData<E>);

impl<E> Default for EnumValue<E> {
    fn default() -> Self {
        Self(0, PhantomData)
    }
}

impl<E> From<EnumValue<E>> for i32 {
    fn from(value: EnumValue<E>) -> Self {
        value.0
    }
}

impl<E: JsonEnum> Scalar for EnumValue<E> {
    fn expected() -> Cow<'static, str> {
        format!("one of {}", E::NAMES.join(", ")).into()
    }

    fn from_given(given: &Given<'_>, parameter: bool) -> Option<Self> {
        let number = match given {
            Given::Text(name) => E::number(name).or_else(|| name.parse().ok().filter(|_| parameter)),
            number => i32::from_given(number, parameter),
        };
        number.map(|number| Self(number, PhantomData))
    }
}

struct ScalarVisitor<'a, T> {
    target: &'a mut T,
    context: &'a mut Context,
}

impl<T: Scalar> ScalarVisitor<'_, T> {
    fn take(self, given: &Given<'_>) -> bool {
        match T::from_given(given, self.context.parameters) {
            Some(value) => {
                *self.target = value;
                true
            }
            None => self.refuse(),
        }
    }

    fn refuse(self) -> bool {
        self.context.violation(format!("must be {}", T::expected()));
        false
    }
}

impl<'de, T: Scalar> Visitor<'de> for ScalarVisitor<'_, T> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&T::expected())
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(self.take(&Given::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        Ok(self.take(&Given::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        Ok(self.take(&Given::Integer(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        Ok(self.take(&Given::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        Ok(self.take(&Given::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.refuse())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.refuse())
    }
}

macro_rules! scalar {
    ($($type:ty),*) => {$(
        impl ReadJson for $type {
            fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error> {
                value.deserialize_any(ScalarVisitor { target: self, context })
            }
        }
    )*};
}

scalar!(bool, i32, i64, f64, String);

impl<E: JsonEnum> ReadJson for EnumValue<E> {
    fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error> {
        value.deserialize_any(ScalarVisitor { target: self, context })
    }
}

impl<T: ReadJson + Default> ReadJson for Option<T> {
    fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error> {
        let mut inner = self.take().unwrap_or_default();
        let given = inner.read(value, context)?;
        *self = given.then_some(inner);
        Ok(given)
    }
}

impl<T: ReadJson + Default> ReadJson for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error> {
        value.deserialize_any(ListVisitor { list: self, context })
    }
}

struct ListVisitor<'a, T> {
    list: &'a mut Vec<T>,
    context: &'a mut Context,
}

impl<T> ListVisitor<'_, T> {
    fn refuse(self, given: &str) -> bool {
        self.context.violation(format!("must be a list, not {given}"));
        true
    }
}

impl<'de, T: ReadJson + Default> Visitor<'de> for ListVisitor<'_, T> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        loop {
            let mut element = T::default();
            self.context.path.push(Step::Index(self.list.len()));
            let seed = ElementSeed { element: &mut element, context: &mut *self.context };
            let read = elements.next_element_seed(seed)?;
            if read == Some(false) {
                self.context.violation("must not be null");
            }
            self.context.path.pop();
            if read.is_none() {
                return Ok(true);
            }
            self.list.push(element);
        }
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(self.refuse("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(self.refuse("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(self.refuse("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(self.refuse("a number"))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<bool, E> {
        if !self.context.parameters {
            return Ok(self.refuse("a string"));
        }
        let mut element = T::default();
        element.read(BorrowedStrDeserializer::<E>::new(value), self.context)?;
        self.list.push(element);
        Ok(true)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(self.refuse("a string"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.refuse("an object"))
    }
}

struct ElementSeed<'a, T> {
    element: &'a mut T,
    context: &'a mut Context,
}

impl<'de, T: ReadJson> DeserializeSeed<'de> for ElementSeed<'_, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<bool, D::Error> {
        self.element.read(value, self.context)
    }
}
