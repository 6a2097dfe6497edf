//! Reading of messages from JSON, and from path and query parameters, with the path of every violation.

use std::collections::BTreeSet;

use serde::de::value::{Error as ParameterError, MapDeserializer};
use serde::de::{Deserializer, IgnoredAny, Visitor};

use crate::encoding::{NotUnicode, Utf16, json_text, without_mark};
use crate::wire::violation::Violations;

/// Treatment of a name that the message has no field for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// Ignores the field, as common gateways do, in requests of callers.
    Ignore,
    /// Reports a violation, in files of operators.
    Refuse,
}

/// Position of the reader, and the violations found so far.
#[derive(Debug)]
pub struct Context {
    pub(super) path: Vec<Step>,
    pub(super) violations: Violations,
    pub(super) unknown_fields: UnknownFields,
    /// Set for path and query parameters: values are text, such as `true`, and a list is read one value at a time.
    pub(super) parameters: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Field(&'static str),
    Index(usize),
}

impl Context {
    fn new(unknown_fields: UnknownFields, parameters: bool) -> Self {
        Self { path: Vec::new(), violations: Violations::default(), unknown_fields, parameters }
    }

    /// Returns the path of the current position.
    pub(super) fn path(&self) -> String {
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

    pub(super) fn violation(&mut self, description: impl Into<String>) {
        self.violations.add(self.path(), description);
    }

    pub(super) fn within<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let result = read(self);
        self.path.pop();
        result
    }
}

/// A message that can be read by its fields. `build.rs` generates the implementations.
pub trait JsonMessage: Default {
    /// JSON names of the fields, in the order of the field numbers.
    const FIELDS: &'static [&'static str];
    /// Indices in [`Self::FIELDS`] of the fields that parameters may give more than once: lists, and messages, some of which
    /// are lists in JSON.
    const REPEATABLE: &'static [usize];

    /// Returns the index in [`Self::FIELDS`] of the field with this JSON or proto name.
    fn field(name: &str) -> Option<usize>;

    /// Reads the field with this index, and returns the result of [`ReadJson::read`].
    ///
    /// # Errors
    /// Returns the error of the deserializer if the input is not JSON.
    fn read_field<'de, D: Deserializer<'de>>(
        &mut self,
        field: usize,
        value: D,
        context: &mut Context,
    ) -> Result<bool, D::Error>;
}

/// A value that can be read from JSON.
pub trait ReadJson {
    /// Reads the value. Returns false, and leaves `self` as it is, if the value is `null`, or a scalar of the wrong
    /// kind, which is a violation in `context`.
    ///
    /// # Errors
    /// Returns the error of the deserializer if the input is not JSON.
    fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error>;
}

/// The names and numbers of an enum. `build.rs` generates the implementations.
pub trait JsonEnum {
    /// Names that may be given: all except the name of zero.
    const NAMES: &'static [&'static str];

    /// Returns the number of a name.
    fn number(name: &str) -> Option<i32>;

    /// Returns the name of a number.
    fn name(number: i32) -> Option<&'static str>;
}

/// Error of a text that is not a JSON document, as words that follow the name of the text.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJson {
    /// The text is encoded as UTF-16.
    #[error(transparent)]
    Encoding(#[from] Utf16),
    /// The text has bytes or escapes that are no characters.
    #[error(transparent)]
    NotUnicode(#[from] NotUnicode),
    /// The text is empty.
    #[error("is empty, and no JSON")]
    Empty,
    /// The text is not valid JSON.
    #[error("is no JSON: {0}")]
    Syntax(#[from] serde_json::Error),
}

/// Returns the JSON document of a file or a request body, without a leading byte order mark.
///
/// # Errors
/// Returns an error if the text is empty, or is no Unicode text in UTF-8.
pub fn document(text: &[u8]) -> Result<&str, InvalidJson> {
    let document = without_mark(text)?;
    // Checks all bytes, including those of ignored fields, which readers skip.
    if document.trim_ascii().is_empty() { Err(InvalidJson::Empty) } else { Ok(json_text(document)?) }
}

/// Reads a message from one JSON document. The second part of the result holds the violations of its values.
///
/// # Errors
/// Returns an error if the text is not a JSON document.
pub fn from_slice<M: ReadJson + Default>(
    json: &[u8],
    unknown_fields: UnknownFields,
) -> Result<(M, Violations), InvalidJson> {
    let mut context = Context::new(unknown_fields, false);
    let mut message = M::default();
    let mut document = serde_json::Deserializer::from_str(document(json)?);
    if !message.read(&mut document, &mut context)? {
        context.violation("must be a JSON object, not null");
    }
    document.end()?;
    Ok((message, context.violations))
}

/// Reads path variables and query parameters into `message`. A name may refer to a nested field, such as
/// `eventDetails.id`.
pub fn read_parameters<'a, M: JsonMessage>(
    message: &mut M,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Violations {
    let mut context = Context::new(UnknownFields::Ignore, true);
    let mut given = BTreeSet::new();
    for (name, value) in parameters {
        let (name, rest) = name.split_once('.').map_or((name, None), |(name, rest)| (name, Some(rest)));
        let Some(field) = M::field(name) else { continue };
        if rest.is_none() && !M::REPEATABLE.contains(&field) && !given.insert(field) {
            context.violations.add(M::FIELDS[field], "is given more than once");
            continue;
        }
        let parameter = Parameter { rest, value };
        let read =
            context.within(Step::Field(M::FIELDS[field]), |context| message.read_field(field, parameter, context));
        if let Err(problem) = read {
            context.within(Step::Field(M::FIELDS[field]), |context| context.violation(problem.to_string()));
        }
    }
    context.violations
}

/// The value of one parameter: text, or, while `unread` holds more of its name, an object with that one field.
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

/// Skips a value of any kind.
pub(super) fn skip<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    value.deserialize_ignored_any(IgnoredAny).map(|_| true)
}
