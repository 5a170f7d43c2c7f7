//! Three-way comparison: a base, the caller's version, and the version that runs meanwhile. It explains why a plan is stale.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::diff::{Difference, diff};
use crate::model::LogConfig;

/// A difference that the caller made, that appeared meanwhile, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// The setting that differs: `shard 2026b`, `merge.checkpointInterval`.
    pub subject: String,
    /// Its value in the base; absent when it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Its value in mine; absent when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mine: Option<String>,
    /// Its value in theirs; absent when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theirs: Option<String>,
    /// Whether both changed it, and not to the same.
    pub conflict: bool,
}

impl Moved {
    /// Whether I changed it.
    #[must_use]
    pub fn is_mine(&self) -> bool {
        self.mine != self.base
    }

    /// Whether it moved meanwhile.
    #[must_use]
    pub fn is_theirs(&self) -> bool {
        self.theirs != self.base
    }
}

/// Compares two descendants of one base, in an operator's words: first what I changed, in the order of [`diff`], then what only
/// they changed. The values are those of `diff(base, mine)` and `diff(base, theirs)`, so nothing else is in it.
#[must_use]
pub fn three_way(base: &LogConfig, mine: &LogConfig, theirs: &LogConfig) -> Vec<Moved> {
    let ours = numbered(diff(base, mine));
    let others = numbered(diff(base, theirs));
    let by_subject: HashMap<_, _> = others
        .iter()
        .map(|(id, difference)| (id, difference))
        .collect();
    let known: HashMap<_, _> = ours
        .iter()
        .map(|(id, difference)| (id, difference))
        .collect();
    let mut moved: Vec<Moved> = ours
        .iter()
        .map(|(id, mine)| {
            let theirs = by_subject
                .get(id)
                .map_or_else(|| mine.before.clone(), |theirs| theirs.after.clone());
            Moved {
                subject: mine.subject.clone(),
                base: mine.before.clone(),
                mine: mine.after.clone(),
                conflict: theirs != mine.before && theirs != mine.after,
                theirs,
            }
        })
        .collect();
    moved.extend(
        others
            .iter()
            .filter(|(id, _)| !known.contains_key(id))
            .map(|(_, theirs)| Moved {
                subject: theirs.subject.clone(),
                base: theirs.before.clone(),
                mine: theirs.before.clone(),
                theirs: theirs.after.clone(),
                conflict: false,
            }),
    );
    moved
}

/// A difference under its subject and, in a document that uses a name twice, its occurrence.
fn numbered(differences: Vec<Difference>) -> Vec<((String, usize), Difference)> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    differences
        .into_iter()
        .map(|difference| {
            let count = counts.entry(difference.subject.clone()).or_default();
            *count += 1;
            ((difference.subject.clone(), *count), difference)
        })
        .collect()
}
