//! Logs: their condition and positions, and how they are made, frozen and deleted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Shard;

/// Whether a log takes writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogCondition {
    /// Takes writes and orders them.
    #[default]
    Open,
    /// Finishes promised work before a freeze; takes no new writes.
    Closing,
    /// Takes no writes until it is unfrozen.
    Frozen,
    /// Stopped on this replica, because something is wrong; see `reason`.
    Halted,
}

/// Positions of one log, in entries of the global index; `ordered >= integrated >= published`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watermarks {
    /// Decided and durable, with a place in the log.
    pub ordered: u64,
    /// In the Merkle tree.
    pub integrated: u64,
    /// Covered by signed checkpoints.
    pub published: u64,
}

/// One log: `GET logs/{log}`, and an element of `GET logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    /// The log's name in addresses and commands.
    pub log: String,
    /// Whether the log takes writes.
    pub condition: LogCondition,
    /// Why it is halted, or since when frozen; for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The configuration generation that this replica runs.
    pub generation: u64,
    /// The configuration's entity tag, `g<generation>-<sha256 prefix>`, without quotes.
    pub etag: String,
    /// How far the log is, as this replica sees it.
    pub watermarks: Watermarks,
    /// Time of the last publication, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
    /// All shards, oldest first.
    pub shards: Vec<Shard>,
    /// Where readers and writers reach the log (`http://127.0.0.1:7070`), when the server knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
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
