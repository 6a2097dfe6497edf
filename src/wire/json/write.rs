//! Writing enum fields as JSON. Everything else is written by its own `Serialize`.

use std::marker::PhantomData;

use serde::{Serialize, Serializer};

use super::JsonEnum;

/// An enum field's number, written by its name, or as it is when it has none.
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
