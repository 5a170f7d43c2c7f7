//! The differences between two configurations, in an operator's words. Only settings of an operator count: the generation and the fields
//! that the server fills in are not compared.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::announced::Announced;
use crate::list::{is_extended, names, numbered};
use crate::model::{KeySpec, LogConfig, ShardConfig, ShardState};
use crate::{merge, qos, rekor};

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The setting that differs: `shard 2026b`, `merge.checkpointInterval`.
    pub subject: String,
    /// The value before; absent when added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value after; absent when removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl fmt::Display for Difference {
    /// `shard 2026b: planned -> active`, `shard 2026c: new, planned`, `shard 2026c: removed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{}: {before} -> {after}", self.subject),
            (None, Some(after)) => write!(f, "{}: new, {after}", self.subject),
            (_, None) => write!(f, "{}: removed", self.subject),
        }
    }
}

/// The differences from `a` to `b`. Empty exactly when [`LogConfig::stripped`] of both is equal.
#[must_use]
pub fn diff(a: &LogConfig, b: &LogConfig) -> Vec<Difference> {
    let (all, others) = (&a.shards, &b.shards);
    // The shards with which both begin are equal, and there may be thousands.
    let same = a.shards_in_common(b);
    let (ours, theirs) = (&all[same..], &others[same..]);
    let (a, b) = (a.without_shards(), b.without_shards());
    let mut differences = Vec::new();
    let mut compare = |subject: String, before: Option<String>, after: Option<String>| {
        if before != after {
            differences.push(Difference {
                subject,
                before,
                after,
            });
        }
    };
    let mut setting = |subject: &str, before: String, after: String| {
        compare(subject.to_owned(), Some(before), Some(after))
    };
    setting("log", a.log.to_string(), b.log.to_string());
    setting("origin", a.origin.clone(), b.origin.clone());
    let form = |config: &LogConfig| config.origin_form.as_str().to_owned();
    setting("originForm", form(&a), form(&b));
    let key = |key: KeySpec| key.algorithm.as_str().to_owned();
    setting("key", key(a.key), key(b.key));

    let (before, after) = (numbered(ours, name), numbered(theirs, name));
    let by_name: HashMap<_, _> = after.iter().copied().collect();
    let known: HashMap<_, _> = before.iter().copied().collect();
    for (id, shard) in &before {
        let other = by_name.get(id);
        compare(
            subject(shard),
            Some(shard.state.to_string()),
            other.map(|other| other.state.to_string()),
        );
        if other.is_some() || shard.key != KeySpec::default() {
            let after = other.map(|other| key(other.key));
            compare(
                format!("{} key", subject(shard)),
                Some(key(shard.key)),
                after,
            );
        }
        // A record ends with its shard, which says enough.
        let frozen = |shard: &ShardConfig| shard.state == ShardState::Frozen;
        if let Some(other) = other.filter(|other| !frozen(shard) && !frozen(other)) {
            let text = |shard: &ShardConfig| shard.recorded().map(Announced::text);
            let subject = format!("{} announced", subject(shard));
            compare(subject, text(shard), text(other));
        }
    }
    for (_, shard) in after.iter().filter(|(id, _)| !known.contains_key(id)) {
        compare(subject(shard), None, Some(shard.state.to_string()));
        if shard.key != KeySpec::default() {
            compare(
                format!("{} key", subject(shard)),
                None,
                Some(key(shard.key)),
            );
        }
    }
    // The shards that both have, in the order of each. An addition at the end is no difference of the order, one elsewhere is.
    if !is_extended(&before, &after) {
        compare(
            "order of shards".to_owned(),
            Some(names(&numbered(all, name))),
            Some(names(&numbered(others, name))),
        );
    }

    let mut setting = |subject: &str, before: String, after: String| {
        compare(subject.to_owned(), Some(before), Some(after))
    };
    setting("rotate.name", a.rotate.name.clone(), b.rotate.name.clone());
    let or_never = |value: Option<String>| value.unwrap_or_else(|| "never".to_owned());
    let entries = |config: &LogConfig| or_never(config.rotate.max_entries.map(|n| n.to_string()));
    setting("rotate.maxEntries", entries(&a), entries(&b));
    let age = |config: &LogConfig| or_never(config.rotate.max_age.map(|span| span.to_string()));
    setting("rotate.maxAge", age(&a), age(&b));
    let required = |config: &LogConfig| config.rotate.require_announced.to_string();
    setting("rotate.requireAnnounced", required(&a), required(&b));
    let settle = |config: &LogConfig| {
        let settle = config.rotate.settle.map(|span| span.to_string());
        settle.unwrap_or_else(|| "none".to_owned())
    };
    setting("rotate.settle", settle(&a), settle(&b));
    qos::compare(&a.qos, &b.qos, &mut compare);
    merge::compare(&a.merge, &b.merge, &mut compare);
    merge::compare_witnesses(&a.witnesses, &b.witnesses, &mut compare);
    rekor::compare(&a.rekor, &b.rekor, &mut compare);
    differences
}

fn name(shard: &ShardConfig) -> &str {
    shard.name.as_str()
}

fn subject(shard: &ShardConfig) -> String {
    format!("shard {}", shard.name)
}
