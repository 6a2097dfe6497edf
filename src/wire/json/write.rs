//! JSON encoding of enum and number fields. Every other field has its own `Serialize`.

use std::marker::PhantomData;

use serde::{Serialize, Serializer};

use super::JsonEnum;

/// The number of an enum field, written as its name, or as a number if it has none.
pub(super) struct EnumName<E>(i32, PhantomData<E>);

impl<E> EnumName<E> {
    pub(super) fn new(number: i32) -> Self {
        Self(number, PhantomData)
    }
}

impl<E: JsonEnum> Serialize for EnumName<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match E::name(self.0) {
            Some(name) => serializer.serialize_str(name),
            None => serializer.serialize_i32(self.0),
        }
    }
}

/// A number, written without a decimal point if it is whole, such as `1000`.
pub(super) struct Number(pub(super) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Above this, not every whole number is a double.
        const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() < MAX_WHOLE {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
            return serializer.serialize_i64(self.0 as i64);
        }
        serializer.serialize_f64(self.0)
    }
}
