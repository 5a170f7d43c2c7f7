//! What differs between two settings of quality of service, in an operator's words: `tier interactive weight: 8 -> 4`.

use std::collections::{HashMap, HashSet};

use super::{QosConfig, TenantConfig, TierConfig, WriterToken};
use crate::list::{is_extended, names, numbered};

/// Takes a subject, its value before and its value after; equal ones are no difference.
pub(crate) type Compare<'a> = dyn FnMut(String, Option<String>, Option<String>) + 'a;

/// A field's name and its value as text.
type Field = (&'static str, String);

/// Compares all of both.
pub(crate) fn compare(a: &QosConfig, b: &QosConfig, compare: &mut Compare<'_>) {
    list("tier", &a.tiers, &b.tiers, compare);
    list("tenant", &a.tenants, &b.tenants, compare);
}

/// Something in a list that has a name.
trait Named {
    fn name(&self) -> &str;
    /// All fields but the name and the lists of named things. Different values have different texts.
    fn fields(&self) -> Vec<Field>;
    /// The thing in one line, where it is new or goes.
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
fn list<T: Named>(kind: &str, a: &[T], b: &[T], compare: &mut Compare<'_>) {
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

/// The text of a value, or the word for its absence.
fn or(value: Option<impl ToString>, absent: &str) -> String {
    value.map_or_else(|| absent.to_owned(), |value| value.to_string())
}

impl Named for TierConfig {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            ("maxMergeDelay", or(self.max_merge_delay, "none")),
            ("latencyTarget", or(self.latency_target, "none")),
            ("weight", self.weight.to_string()),
            ("floor", self.floor.to_string()),
            ("burst", self.burst.to_string()),
            ("priority", self.priority.to_string()),
        ]
    }
}

impl Named for TenantConfig {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn fields(&self) -> Vec<Field> {
        let tiers: Vec<_> = self.tiers.iter().map(AsRef::<str>::as_ref).collect();
        let anonymous = if self.anonymous { "yes" } else { "no" };
        vec![
            (
                "tiers",
                if tiers.is_empty() {
                    "none".to_owned()
                } else {
                    tiers.join(", ")
                },
            ),
            ("rate", or(self.rate, "unlimited")),
            ("bytes", or(self.bytes, "unlimited")),
            ("weight", self.weight.to_string()),
            ("anonymous", anonymous.to_owned()),
        ]
    }

    fn whole(&self) -> String {
        let fields = self.fields().into_iter();
        let fields = fields.map(|(field, value)| format!("{field} {value}"));
        let tokens = self
            .tokens
            .iter()
            .map(|token| format!("token {} {}", token.name, token.whole()));
        fields.chain(tokens).collect::<Vec<_>>().join(", ")
    }

    fn inner(&self, other: &Self, subject: &str, compare: &mut Compare<'_>) {
        list(
            &format!("{subject} token"),
            &self.tokens,
            &other.tokens,
            compare,
        );
    }
}

impl Named for WriterToken {
    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            ("sha256", self.sha256.clone()),
            ("expires", or(self.expires.as_ref(), "never")),
        ]
    }

    /// Enough of the hash to tell two tokens of one name apart.
    fn whole(&self) -> String {
        let start: String = self.sha256.chars().take(8).collect();
        format!(
            "sha256 {start}…, expires {}",
            or(self.expires.as_ref(), "never")
        )
    }
}
