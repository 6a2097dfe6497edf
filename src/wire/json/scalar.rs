//! Readers of numbers, texts, booleans and enums.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::integer;
use super::read::{Context, JsonEnum, ReadJson};
use super::slot::{FieldSlot, GivenValue, SlotVisitor};

/// A value that is not an object or a list.
pub(super) trait Scalar: Sized {
    /// Returns the expected form, in words.
    fn expected() -> Cow<'static, str>;

    fn from_given(given: &GivenValue<'_>, parameter: bool) -> Option<Self>;

    /// Returns words for the given value, which follow the expected form; empty by default.
    fn instead(_given: &str) -> String {
        String::new()
    }
}

/// Limits the part of a value that a message repeats: characters.
const MAX_SHOWN: usize = 40;

macro_rules! integer {
    ($type:ty, $expected:literal) => {
        impl Scalar for $type {
            fn expected() -> Cow<'static, str> {
                $expected.into()
            }

            fn from_given(given: &GivenValue<'_>, _: bool) -> Option<Self> {
                match given {
                    // A text may hold a number: "7", "7.0", "7e0".
                    GivenValue::Number(literal) | GivenValue::Text(literal) => {
                        Self::try_from(integer::parse(literal)?).ok()
                    }
                    GivenValue::Bool(_) => None,
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

    fn from_given(given: &GivenValue<'_>, _: bool) -> Option<Self> {
        match given {
            GivenValue::Number(text) | GivenValue::Text(text) => {
                text.parse().ok().filter(|value: &f64| value.is_finite())
            }
            GivenValue::Bool(_) => None,
        }
    }

    /// Tills compute amounts, so their developers need to see the wrong value.
    fn instead(given: &str) -> String {
        format!(", not {}", given.chars().take(MAX_SHOWN).collect::<String>())
    }
}

impl Scalar for bool {
    fn expected() -> Cow<'static, str> {
        "true or false".into()
    }

    fn from_given(given: &GivenValue<'_>, parameter: bool) -> Option<Self> {
        match given {
            GivenValue::Bool(value) => Some(*value),
            GivenValue::Text(text) if parameter => text.parse().ok(),
            _ => None,
        }
    }
}

impl Scalar for String {
    fn expected() -> Cow<'static, str> {
        "a string".into()
    }

    fn from_given(given: &GivenValue<'_>, _: bool) -> Option<Self> {
        match given {
            GivenValue::Text(text) => Some((*text).to_owned()),
            _ => None,
        }
    }
}

/// The number of an enum field, read by name or number. The rules refuse a number without a name later.
pub(super) struct EnumValue<E>(i32, PhantomData<E>);

impl<E> Default for EnumValue<E> {
    fn default() -> Self {
        Self(0, PhantomData)
    }
}

impl<E> From<i32> for EnumValue<E> {
    fn from(number: i32) -> Self {
        Self(number, PhantomData)
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

    fn from_given(given: &GivenValue<'_>, parameter: bool) -> Option<Self> {
        let number = match given {
            GivenValue::Text(name) => {
                E::number(name).or_else(|| i32::from_given(given, parameter).filter(|_| parameter))
            }
            number => i32::from_given(number, parameter),
        };
        number.map(|number| Self(number, PhantomData))
    }
}

struct ScalarSlot<'a, T> {
    target: &'a mut T,
    context: &'a mut Context,
}

impl<T: Scalar> ScalarSlot<'_, T> {
    fn refuse(self, given: &str) -> bool {
        self.context.violation(format!("must be {}{}", T::expected(), T::instead(given)));
        false
    }
}

impl<'de, T: Scalar> FieldSlot<'de> for ScalarSlot<'_, T> {
    fn scalar(self, given: &GivenValue<'_>) -> bool {
        match T::from_given(given, self.context.parameters) {
            Some(value) => {
                *self.target = value;
                true
            }
            None => match given {
                GivenValue::Number(number) => self.refuse(number),
                GivenValue::Text(text) => self.refuse(&format!("{text:?}")),
                GivenValue::Bool(value) => self.refuse(&value.to_string()),
            },
        }
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.refuse("a list"))
    }

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.refuse("an object"))
    }
}

fn read_scalar<'de, T: Scalar, D: Deserializer<'de>>(
    target: &mut T,
    value: D,
    context: &mut Context,
) -> Result<bool, D::Error> {
    value.deserialize_any(SlotVisitor(ScalarSlot { target, context }))
}

/// Reads a scalar that may be a number, from its literal text.
fn read_number<'de, T: Scalar, D: Deserializer<'de>>(
    target: &mut T,
    value: D,
    context: &mut Context,
) -> Result<bool, D::Error> {
    if context.parameters {
        return read_scalar(target, value, context);
    }
    let json = <&RawValue>::deserialize(value)?.get();
    if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Ok(ScalarSlot { target, context }.scalar(&GivenValue::Number(json)));
    }
    read_scalar(target, &mut serde_json::Deserializer::from_str(json), context).map_err(D::Error::custom)
}

macro_rules! read_by {
    ($read:ident: $($type:ty),*) => {$(
        impl ReadJson for $type {
            fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error> {
                $read(self, value, context)
            }
        }
    )*};
}

read_by!(read_scalar: bool, String);
read_by!(read_number: i32, i64, f64);

impl<E: JsonEnum> ReadJson for EnumValue<E> {
    fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error> {
        read_number(self, value, context)
    }
}
