//! Lists and maps of which only the beginning is kept: what a client sends must not grow many times in memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The first `N` items of a list, or members of a map; further ones are read and dropped. Null is empty.
#[derive(Debug)]
pub(crate) struct First<T, const N: usize>(pub(crate) Vec<T>);

impl<T, const N: usize> Default for First<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for First<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(List(PhantomData))
    }
}

struct List<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for List<T, N> {
    type Value = First<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(First::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < N
            && let Some(item) = list.next_element()?
        {
            items.push(item);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(First(items))
    }
}

/// The members of a map whose values are strings, for `deserialize_with`.
pub(crate) fn members<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<First<(String, String), N>, D::Error> {
    deserializer.deserialize_any(Members)
}

struct Members<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = First<(String, String), N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(First::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while members.len() < N
            && let Some(member) = map.next_entry()?
        {
            members.push(member);
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(First(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_is_kept() {
        let list = |text| serde_json::from_str::<First<u8, 2>>(text).map(|first| first.0);
        assert!(list("[]").unwrap().is_empty());
        assert!(list("null").unwrap().is_empty());
        assert_eq!(list("[1, 2]").unwrap(), [1, 2]);
        assert_eq!(list("[1, 2, 3, \"x\"]").unwrap(), [1, 2]);
        assert!(list("[1, \"x\"]").is_err() && list("{}").is_err() && list("[1, 2, 3").is_err());
        let map = |text: &str| {
            members::<_, 1>(&mut serde_json::Deserializer::from_str(text)).map(|first| first.0)
        };
        assert_eq!(
            map(r#"{"a": "b", "c": "d", "e": 5}"#).unwrap(),
            [("a".to_owned(), "b".to_owned())]
        );
        assert!(map(r#"{"a": 5}"#).is_err() && map("[]").is_err());
    }
}
