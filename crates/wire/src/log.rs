//! Logs: their condition and positions, and requests to create, freeze and delete them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Shard;
use tlog::GlobalIndex;

/// The condition of a log: whether it accepts writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogCondition {
    /// Accepts writes and orders them.
    #[default]
    Open,
    /// Finishes promised work before a freeze; accepts no new writes.
    Closing,
    /// Accepts no writes until it is unfrozen.
    Frozen,
    /// Stopped on this replica because of a fault; see `reason`.
    Halted,
}

/// Positions of one log, in entries of the global index; `ordered >= integrated >= published`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watermarks {
    /// Entries that are durable and have their index.
    #[schemars(with = "u64")]
    pub ordered: GlobalIndex,
    /// Entries in the Merkle trees.
    #[schemars(with = "u64")]
    pub integrated: GlobalIndex,
    /// Entries covered by signed checkpoints.
    #[schemars(with = "u64")]
    pub published: GlobalIndex,
}

/// One log: `GET logs/{log}`, and an element of `GET logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    /// The log's name in addresses and commands.
    pub log: String,
    /// The condition of the log on this replica.
    pub condition: LogCondition,
    /// Why it is halted, since when it is frozen, and which change is on probation; for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The configuration generation that this replica runs.
    pub generation: u64,
    /// The configuration's entity tag, `g<generation>-<sha256 prefix>`, without quotes.
    pub etag: String,
    /// The positions of the log on this replica.
    pub watermarks: Watermarks,
    /// Time of the last publication, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
    /// All shards, oldest first.
    pub shards: Vec<Shard>,
    /// The log's address for readers and writers (`http://127.0.0.1:7070`), when the server knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The search index of this server, for a log with `rekor.v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_index: Option<SearchIndex>,
}

/// How far the search index of a log is on one server, which has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchIndex {
    /// The next entry to be indexed.
    #[schemars(with = "u64")]
    pub position: GlobalIndex,
    /// Published entries that are not indexed yet.
    pub lag: u64,
    /// How long there have been any, in seconds.
    pub behind_seconds: u64,
    /// Why the index is not extended; the server tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// The answer to `GET logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Logs {
    /// One status per log.
    pub logs: Vec<LogStatus>,
}

/// The body of `POST logs/{log}/freeze`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FreezeRequest {
    /// Skip the wait for promised work.
    #[serde(default)]
    pub now: bool,
}

/// `POST logs/{log}/unfreeze`: an empty object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnfreezeRequest {}

/// `POST logs`: creates a log. A preview with `?dryRun=true`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateLogRequest {
    /// The first document of the log, which names it.
    pub config: logconfig::LogConfig,
}

/// `DELETE logs/{log}` and `POST logs/{log}/undelete`: an empty object, or no body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoRequest {}
