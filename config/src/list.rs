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
