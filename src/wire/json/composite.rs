//! Readers of messages, lists and optional values, which consist of other values.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{Error as ParameterError, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::read::{Context, JsonMessage, ReadJson, Step, UnknownFields};
use super::slot::{FieldSlot, GivenValue, SlotVisitor};

/// Reads the fields of a JSON object into `message`.
pub(super) fn read_message<'de, M: JsonMessage, D: Deserializer<'de>>(
    message: &mut M,
    value: D,
    context: &mut Context,
) -> Result<bool, D::Error> {
    value.deserialize_any(SlotVisitor(MessageSlot { message, context }))
}

struct MessageSlot<'a, M> {
    message: &'a mut M,
    context: &'a mut Context,
}

impl<M> MessageSlot<'_, M> {
    fn refuse(self, given: &str) -> bool {
        self.context.violation(format!("must be an object, not {given}"));
        true
    }
}

impl<'de, M: JsonMessage> FieldSlot<'de> for MessageSlot<'_, M> {
    fn scalar(self, given: &GivenValue<'_>) -> bool {
        self.refuse(given.kind())
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.refuse("a list"))
    }

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let (mut seen, mut twice) = (0_u64, 0_u64);
        while let Some(key) = object.next_key_seed(KeySeed::<M>(PhantomData))? {
            match key {
                FieldKey::Field(field) => {
                    if seen & !twice & (1 << field) != 0 {
                        twice |= 1 << field;
                        let name = Step::Field(M::FIELDS[field]);
                        self.context.within(name, |context| context.violation("is given twice"));
                    }
                    seen |= 1 << field;
                    let value = FieldSeed { message: &mut *self.message, field, context: &mut *self.context };
                    object.next_value_seed(value)?;
                }
                FieldKey::Unknown(name) => {
                    if self.context.unknown_fields == UnknownFields::Refuse {
                        let path = self.context.path();
                        let dot = if path.is_empty() { "" } else { "." };
                        self.context.violations.add(format_args!("{path}{dot}{name}"), "is unknown");
                    }
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(true)
    }
}

enum FieldKey {
    Field(usize),
    Unknown(String),
}

struct KeySeed<M>(PhantomData<M>);

impl<'de, M: JsonMessage> DeserializeSeed<'de> for KeySeed<M> {
    type Value = FieldKey;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<FieldKey, D::Error> {
        key.deserialize_str(self)
    }
}

impl<M: JsonMessage> Visitor<'_> for KeySeed<M> {
    type Value = FieldKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<FieldKey, E> {
        // An unknown name is cut, because a violation repeats it.
        Ok(M::field(name).map_or_else(|| FieldKey::Unknown(name.chars().take(100).collect()), FieldKey::Field))
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
        value.deserialize_any(SlotVisitor(ListSlot { list: self, context }))
    }
}

struct ListSlot<'a, T> {
    list: &'a mut Vec<T>,
    context: &'a mut Context,
}

impl<T> ListSlot<'_, T> {
    fn refuse(self, given: &str) -> bool {
        self.context.violation(format!("must be a list, not {given}"));
        true
    }
}

impl<'de, T: ReadJson + Default> FieldSlot<'de> for ListSlot<'_, T> {
    fn scalar(self, given: &GivenValue<'_>) -> bool {
        let GivenValue::Text(text) = given else { return self.refuse(given.kind()) };
        if !self.context.parameters {
            return self.refuse(given.kind());
        }
        let mut element = T::default();
        self.context.within(Step::Index(self.list.len()), |context| {
            if let Err(problem) = element.read(StrDeserializer::<ParameterError>::new(text), context) {
                context.violation(problem.to_string());
            }
        });
        // A wrong element is added too, so that the elements after it keep their indexes.
        self.list.push(element);
        true
    }

    fn list<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
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

    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
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
