//! JSON objects in untrusted input: read by the names of their members, each of which may appear once.
//!
//! The readers that serde derives for structures also accept a list in place of an object, and ignore a repeated name
//! that they do not know. So all untrusted input with a derived reader is read as an [`Object`] instead.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};

/// A value that was read from a JSON object with unique names.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
        let unique = Unique { members, seen: HashSet::new() };
        T::deserialize(MapAccessDeserializer::new(unique)).map(Object)
    }
}

/// The members of an object, up to the first repeated name.
struct Unique<A> {
    members: A,
    seen: HashSet<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Unique<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(name) = self.members.next_key::<String>()? else { return Ok(None) };
        let key = seed.deserialize(name.as_str().into_deserializer())?;
        if self.seen.insert(name) { Ok(Some(key)) } else { Err(A::Error::custom("a name comes twice in an object")) }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.members.next_value_seed(seed)
    }
}

/// Reads a member that is present: `null` is a value like any other, and fails unless its type allows it. Use with
/// `default`.
///
/// # Errors
/// Returns an error when the value has another type.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    #[derive(Debug, Deserialize)]
    struct NamedValue {
        key: String,
        #[serde(default, deserialize_with = "present")]
        secret: Option<String>,
    }

    fn pair(json: &str) -> Option<(String, Option<String>)> {
        serde_json::from_str::<Object<NamedValue>>(json).ok().map(|Object(pair)| (pair.key, pair.secret))
    }

    #[test]
    fn only_an_object_whose_names_differ_is_read() {
        let read = |secret: Option<&str>| Some(("a".to_owned(), secret.map(str::to_owned)));
        assert_eq!(pair(r#"{"key":"a","secret":"b","more":[1]}"#), read(Some("b")));
        assert_eq!(pair(r#"{"key":"a"}"#), read(None));
        for json in [
            r#"["a","b"]"#,
            "[]",
            "null",
            r#""a""#,
            r#"{"key":"a","secret":null}"#,
            r#"{"key":"a","key":"b"}"#,
            r#"{"key":"a","more":1,"more":1}"#,
            r#"{"key":"a","more":1,"mor\u0065":1}"#,
        ] {
            assert_eq!(pair(json), None, "{json}");
        }
        assert!(serde_json::from_str::<Object<Map<String, Value>>>(r#"{"a":1,"a":1}"#).is_err());
    }
}
