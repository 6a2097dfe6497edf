//! The one visitor of JSON values: it passes a value of any kind to its place (`FieldSlot`), which accepts the value or
//! reports a violation, and reading continues.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};

/// A JSON value that may stand for a scalar.
pub(super) enum GivenValue<'a> {
    Bool(bool),
    /// The literal text, where a number is allowed; otherwise empty.
    Number(&'a str),
    Text(&'a str),
}

impl GivenValue<'_> {
    /// Returns the kind of the value, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
        }
    }
}

/// A place for a value. Each method returns the result of [`super::ReadJson::read`].
pub(super) trait FieldSlot<'de>: Sized {
    fn scalar(self, given: &GivenValue<'_>) -> bool;

    fn list<A: SeqAccess<'de>>(self, list: A) -> Result<bool, A::Error>;

    fn object<A: MapAccess<'de>>(self, object: A) -> Result<bool, A::Error>;
}

/// Visitor that passes a value to its slot, and ignores `null`.
pub(super) struct SlotVisitor<S>(pub(super) S);

impl<'de, S: FieldSlot<'de>> Visitor<'de> for SlotVisitor<S> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(self.0.scalar(&GivenValue::Bool(value)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(self.0.scalar(&GivenValue::Number("")))
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(self.0.scalar(&GivenValue::Number("")))
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(self.0.scalar(&GivenValue::Number("")))
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        Ok(self.0.scalar(&GivenValue::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<bool, A::Error> {
        self.0.list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<bool, A::Error> {
        self.0.object(object)
    }
}
