//! An import of an old Rekor's shards into a log that is created with them afterwards.

use logconfig::LogConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::TreeSize;

/// `PUT logs/{log}/import`: begins an import, or returns the progress of one that has begun. Newer tree heads of the same shards replace the
/// known ones, and shards that the old Rekor has added since may follow them. A preview with `?dryRun=true`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportRequest {
    /// The shards of the old Rekor, oldest first.
    pub shards: Vec<ImportShard>,
    /// The document that the log will be created with. With it, the server refuses a conflicting name, origin or shard list before anything is
    /// copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<LogConfig>,
}

/// A shard of an old Rekor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportShard {
    /// The number of its tree, decimal (a string: JSON numbers lose precision).
    pub tree_id: String,
    /// Its public key: SubjectPublicKeyInfo in DER, base64.
    pub public_key: String,
    /// The signed note over its last size and root.
    pub signed_tree_head: String,
}

/// `POST logs/{log}/import`: adds entries to a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportPage {
    /// The number of the shard's tree, decimal.
    pub tree_id: String,
    /// The index of the first entry in the tree. Entries that are there already are skipped.
    #[schemars(with = "u64")]
    pub from: TreeSize,
    /// The entries, in the order of the tree.
    pub entries: Vec<ImportEntry>,
}

/// An entry of an old Rekor, as it returned it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportEntry {
    /// The bytes of the entry, base64.
    pub body: String,
    /// When it was integrated, seconds since the Unix epoch.
    pub integrated_time: u64,
    /// The signature over entry, time and index, base64.
    pub signed_entry_timestamp: String,
}

/// How far an import is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportProgress {
    /// The log that will be created with the shards.
    pub log: String,
    /// The shards, oldest first.
    pub shards: Vec<ImportedShard>,
}

/// How far the import of a shard is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportedShard {
    /// The number of its tree, decimal; its name in the log's first document is the same.
    pub tree_id: String,
    /// The number of entries under its tree head.
    #[schemars(with = "u64")]
    pub size: TreeSize,
    /// How many of them have been imported.
    #[schemars(with = "u64")]
    pub imported: TreeSize,
}

/// `DELETE logs/{log}/import`: the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportDropped {
    /// The log that would have been created.
    pub log: String,
    /// Whether there was an import.
    pub dropped: bool,
}
