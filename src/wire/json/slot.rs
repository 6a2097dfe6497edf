//! The one visitor of JSON values: whatever kind of value stands in a place, it is brought to the place (`Slot`), which
//! takes it or finds fault with it, and reading goes on.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};

/// What can stand for a scalar in JSON.
pub(super) enum Given<'a> {
    Bool(bool),
    /// As it was written, where a number may stand; elsewhere nothing.
    Number(&'a str),
    Text(&'a str),
}

impl Given<'_> {
    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
        }
    }
}

/// A place that a value goes to. Each method gives what [`super::ReadJson::read`] gives.
pub(super) trait Slot<'de>: Sized {
    fn scalar(self, given: &Given<'_>) -> bool;

    fn list<A: SeqAccess<'de>>(self, list: A) -> Result<bool, A::Error>;

    fn object<A: MapAccess<'de>>(self, object: A) -> Result<bool, A::Error>;
}

/// Brings a value to its slot; `null` is nothing.
pub(super) struct SlotVisitor<S>(pub(super) S);

impl<'de, S: Slot<'de>> Visitor<'de> for SlotVisitor<S> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(self.0.scalar(&Given::Bool(value)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(self.0.scalar(&Given::Number("")))
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(self.0.scalar(&Given::Number("")))
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(self.0.scalar(&Given::Number("")))
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        Ok(self.0.scalar(&Given::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<bool, A::Error> {
        self.0.list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<bool, A::Error> {
        self.0.object(object)
    }
}
