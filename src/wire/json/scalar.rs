//! Numbers, texts, booleans and enums: what may stand for each.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess};

use super::read::{Context, JsonEnum, ReadJson};
use super::slot::{Given, Slot, SlotVisitor};

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

            fn from_given(given: &Given<'_>, parameter: bool) -> Option<Self> {
                match given {
                    Given::Integer(value) => Self::try_from(*value).ok(),
                    // 7.0 and 7e0 are the integer 7. Beyond 2^53 a float no longer names one integer.
                    Given::Float(value) if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => {
                        #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
                        let value = *value as i64;
                        Self::try_from(value).ok()
                    }
                    // As a number would be: "7", "7.0", "7e0".
                    Given::Text(text) => {
                        let whole = || Self::from_given(&Given::Float(text.parse().ok()?), parameter);
                        text.parse().ok().or_else(whole)
                    }
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

    fn from_given(given: &Given<'_>, parameter: bool) -> Option<Self> {
        let number = match given {
            Given::Text(name) => E::number(name).or_else(|| name.parse().ok().filter(|_| parameter)),
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
    fn refuse(self) -> bool {
        self.context.violation(format!("must be {}", T::expected()));
        false
    }
}

impl<'de, T: Scalar> Slot<'de> for ScalarSlot<'_, T> {
    fn scalar(self, given: &Given<'_>) -> bool {
        match T::from_given(given, self.context.parameters) {
            Some(value) => {
                *self.target = value;
                true
            }
            None => self.refuse(),
        }
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.refuse())
    }

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.refuse())
    }
}

fn read_scalar<'de, T: Scalar, D: Deserializer<'de>>(
    target: &mut T,
    value: D,
    context: &mut Context,
) -> Result<bool, D::Error> {
    value.deserialize_any(SlotVisitor(ScalarSlot { target, context }))
}

macro_rules! read_as_scalar {
    ($($type:ty),*) => {$(
        impl ReadJson for $type {
            fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error> {
                read_scalar(self, value, context)
            }
        }
    )*};
}

read_as_scalar!(bool, i32, i64, f64, String);

impl<E: JsonEnum> ReadJson for EnumValue<E> {
    fn read<'de, D: Deserializer<'de>>(&mut self, value: D, context: &mut Context) -> Result<bool, D::Error> {
        read_scalar(self, value, context)
    }
}
