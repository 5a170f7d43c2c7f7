//! JSON objects, and nothing else in their place: serde would also read a list of the members' values as an object, which Rekor refuses.
//!
//! Go accepts the name of a member in upper or lower case, and takes the last one of several. So an object is refused if the name of a member differs
//! from a known one only in case: it would mean something else to other readers.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IntoDeserializer as _, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// A value that is an object in JSON.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = option(deserializer)?;
        found
            .map(Self)
            .ok_or_else(|| D::Error::custom("null is no object"))
    }
}

/// An object or null, for `deserialize_with`.
pub(crate) fn option<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Members(PhantomData))
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::deserialize(Exact(members)).map(Some)
    }
}

/// An object whose members are known in one spelling.
struct Exact<A>(A);

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Exact<A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(self.0)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_map(Spelled {
            members: self.0,
            known,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

struct Spelled<A> {
    members: A,
    known: &'static [&'static str],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Spelled<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        let Some(name) = self.members.next_key::<String>()? else {
            return Ok(None);
        };
        if !self.known.contains(&name.as_str()) {
            let folded = name.replace('\u{17f}', "s").replace('\u{212a}', "k");
            let mut known = self.known.iter();
            // As Go compares names: two letters beyond ASCII stand for ASCII letters.
            if let Some(known) = known.find(|known| known.eq_ignore_ascii_case(&folded)) {
                return Err(A::Error::custom(format!("{known:?} in another case")));
            }
        }
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        self.members.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Known {
        payload: u8,
        #[serde(default)]
        risk: u8,
    }

    #[test]
    fn a_known_name_in_another_case_is_refused() {
        let read = |text| serde_json::from_str::<Object<Known>>(text);
        let Object(known) = read(r#"{"payload": 1, "other": 2, "PAYLOADS": [3]}"#).unwrap();
        assert_eq!(
            known,
            Known {
                payload: 1,
                risk: 0
            }
        );
        for text in [
            r#"{"payload": 1, "Payload": 2}"#,
            r#"{"PAYLOAD": 2, "payload": 1}"#,
            "{\"payload\": 1, \"ri\u{17f}\u{212a}\": 2}",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("in another case"), "{text}: {error}");
        }
        for text in ["[1, 2]", "null", r#"{"payload": 1, "payload": 2}"#] {
            read(text).unwrap_err();
        }
    }
}
