//! Named things in a list: compared by name, not by place.

use std::collections::{HashMap, HashSet};

/// A thing under its name and, in a document that uses a name twice, its occurrence.
pub(crate) type Numbered<'a, T> = ((&'a str, usize), &'a T);

/// The things of a list under their names.
pub(crate) fn numbered<'a, T>(
    things: &'a [T],
    name: impl Fn(&'a T) -> &'a str,
) -> Vec<Numbered<'a, T>> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    things
        .iter()
        .map(|thing| {
            let count = counts.entry(name(thing)).or_default();
            *count += 1;
            ((name(thing), *count), thing)
        })
        .collect()
}

/// Whether the things that both lists have come in the same order.
pub(crate) fn is_extended<T>(before: &[Numbered<'_, T>], after: &[Numbered<'_, T>]) -> bool {
    let (old, new): (HashSet<_>, HashSet<_>) = (
        before.iter().map(|(id, _)| id).collect(),
        after.iter().map(|(id, _)| id).collect(),
    );
    before
        .iter()
        .map(|(id, _)| id)
        .filter(|id| new.contains(id))
        .eq(after.iter().map(|(id, _)| id).filter(|id| old.contains(id)))
}

/// The names in the order of the list.
pub(crate) fn names<T>(list: &[Numbered<'_, T>]) -> String {
    let names: Vec<_> = list.iter().map(|((name, _), _)| *name).collect();
    names.join(", ")
}
/// Takes a subject, its value before and its value after; equal ones are no difference.
pub(crate) type Compare<'a> = dyn FnMut(String, Option<String>, Option<String>) + 'a;

/// A field's name and its value as text.
pub(crate) type Field = (&'static str, String);

/// Something in a list that has a name.
pub(crate) trait Named {
    fn name(&self) -> &str;
    /// All fields but the name and the lists of named things. Different values have different texts.
    fn fields(&self) -> Vec<Field>;
    /// The thing in one line, for a new or removed one.
    fn whole(&self) -> String {
        let fields: Vec<_> = self
            .fields()
            .into_iter()
            .map(|(field, value)| format!("{field} {value}"))
            .collect();
        fields.join(", ")
    }
    /// Compares the lists in it.
    fn inner(&self, _other: &Self, _subject: &str, _compare: &mut Compare<'_>) {}
}

/// Compares two lists: what both have field by field, what one has as a whole, and the order.
pub(crate) fn compare_lists<T: Named>(kind: &str, a: &[T], b: &[T], compare: &mut Compare<'_>) {
    let (before, after) = (numbered(a, T::name), numbered(b, T::name));
    let later: HashMap<_, _> = after.iter().copied().collect();
    let known: HashSet<_> = before.iter().map(|(id, _)| id).collect();
    for (id, thing) in &before {
        let subject = format!("{kind} {}", thing.name());
        let Some(other) = later.get(id) else {
            compare(subject, Some(thing.whole()), None);
            continue;
        };
        for ((field, before), (_, after)) in thing.fields().into_iter().zip(other.fields()) {
            compare(format!("{subject} {field}"), Some(before), Some(after));
        }
        thing.inner(other, &subject, compare);
    }
    for (_, thing) in after.iter().filter(|(id, _)| !known.contains(id)) {
        compare(
            format!("{kind} {}", thing.name()),
            None,
            Some(thing.whole()),
        );
    }
    if !is_extended(&before, &after) {
        compare(
            format!("order of {kind}s"),
            Some(names(&before)),
            Some(names(&after)),
        );
    }
}
