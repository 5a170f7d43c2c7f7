//! The findings of an audit, as a value.
//!
//! Every finding names the file it is about. Their number per shard is bounded: a log that is wrong everywhere must not
//! fill the auditor's memory.

use serde::Serialize;
use std::fmt;
use tlog::Hash;

/// How many findings of one shard are kept; its audit stops there.
pub(super) const MAX_FINDINGS: usize = 100;

/// One fault of a file of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// The kind of finding, stable for scripts: `tile-mismatch`, `missing`, `seal-missing`, …
    pub(crate) code: &'static str,
    /// The file, as `<log>/<shard>/tile/0/003`.
    pub(crate) path: String,
    /// The fault of the file.
    pub(crate) message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.path, self.message)
    }
}

/// The seal of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum SealState {
    /// Signed by both keys, and about this shard's final checkpoint and its successor.
    Ok,
    /// Due, but not there.
    Missing,
    /// There, but wrong: see the findings.
    Invalid,
    /// Not due: the shard is not rotated out.
    None,
}

/// The audit of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShardReport {
    pub(crate) name: String,
    /// `planned`, `active` or `frozen`.
    pub(crate) state: &'static str,
    /// The number of entries in its checkpoint; none if the checkpoint cannot be believed.
    pub(crate) size: Option<u64>,
    /// The root in its checkpoint; none if the checkpoint cannot be believed.
    pub(crate) root: Option<Hash>,
    pub(crate) entries: u64,
    pub(crate) bundles: u64,
    pub(crate) tiles: u64,
    /// Entries read by their global index.
    pub(crate) samples: u64,
    pub(crate) seal: SealState,
    /// Everything that is wrong with the shard.
    pub(crate) findings: Vec<Finding>,
    /// Whether the audit stopped early because too much is wrong.
    pub(crate) stopped: bool,
}

/// Sums over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Totals {
    pub(crate) shards: u64,
    pub(crate) entries: u64,
    pub(crate) bundles: u64,
    pub(crate) tiles: u64,
    /// Entries read by their global index.
    pub(crate) samples: u64,
    /// Findings, those of the shard list included.
    pub(crate) findings: u64,
}

/// The audit of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) shards: Vec<ShardReport>,
    /// The faults of the list of shards and of the global index.
    pub(crate) findings: Vec<Finding>,
    pub(crate) totals: Totals,
}

impl Report {
    pub(super) fn new(shards: Vec<ShardReport>, findings: Findings) -> Self {
        let sum = |count: fn(&ShardReport) -> u64| shards.iter().map(count).sum::<u64>();
        let totals = Totals {
            shards: shards.len() as u64,
            entries: sum(|shard| shard.entries),
            bundles: sum(|shard| shard.bundles),
            tiles: sum(|shard| shard.tiles),
            samples: sum(|shard| shard.samples),
            findings: sum(|shard| shard.findings.len() as u64) + findings.list.len() as u64,
        };
        Self {
            shards,
            findings: findings.list,
            totals,
        }
    }

    /// Every finding: first those of the list of shards, then shard by shard.
    pub(crate) fn all_findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .chain(self.shards.iter().flat_map(|shard| &shard.findings))
    }
}

/// Findings as they are made.
#[derive(Debug)]
pub(super) struct Findings {
    log: String,
    pub(super) list: Vec<Finding>,
}

impl Findings {
    pub(super) fn new(log: &str) -> Self {
        Self {
            log: log.to_owned(),
            list: Vec::new(),
        }
    }

    /// `path` is below the log's address.
    pub(super) fn add(&mut self, code: &'static str, path: &str, message: String) {
        if !self.full() {
            self.list.push(Finding {
                code,
                path: format!("{}/{path}", self.log),
                message,
            });
        }
    }

    pub(super) fn full(&self) -> bool {
        self.list.len() >= MAX_FINDINGS
    }
}
