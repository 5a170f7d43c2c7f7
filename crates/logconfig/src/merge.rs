//! The settings of the merge, from the order to the readers: the nodes that keep large batches, the secondaries that must hold a copy
//! before a size is published, and the frontends that get the result.
//!
//! Settings added later are left out while they have their defaults, so that an older document keeps its bytes and its entity tag.

mod bucket;
mod validate;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::{Policy, PolicyError};

use crate::list::{Compare, Field, Named, compare_lists};
use crate::name::NodeName;
use crate::span::Span;

pub use bucket::{BucketKind, BucketUrl, BucketUrlError};

/// The storage node that every server has: its own object store.
pub const LOCAL: &str = "local";
/// Most storage nodes of a log.
pub const MAX_NODES: usize = 16;
/// Most secondaries of a log, and most frontends.
pub const MAX_PEERS: usize = 32;

/// How entries become signed trees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct MergeConfig {
    /// Shortest time between two checkpoints of a growing shard, 10ms to 1m.
    pub checkpoint_interval: Span,
    /// A shard that does not grow gets a fresh checkpoint this often, 1s to 1d.
    pub idle_republish: Span,
    /// Storage of large batches until they are integrated.
    #[serde(skip_serializing_if = "StorageConfig::is_default")]
    pub storage: StorageConfig,
    /// Secondaries that must have verified a size before it is published; 0: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub backup_quorum: u32,
    /// Servers that keep a verified copy of the log (`logd secondary`), at most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secondaries: Vec<SecondaryConfig>,
    /// Folders and buckets that tiles and checkpoints are pushed to, at most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frontends: Vec<FrontendConfig>,
}

/// Storage nodes, and how many must have a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct StorageConfig {
    /// Nodes that must have a large batch before it is announced.
    pub quorum: u32,
    /// Nodes that large batches are written to, at most 16.
    pub nodes: Vec<StorageNode>,
}

/// A node that keeps large batches until they are integrated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct StorageNode {
    /// Name of the node: `local`, the server's own store, or a [nodes.NAME] of logd.toml.
    pub name: NodeName,
}

/// A server that keeps a verified copy of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct SecondaryConfig {
    /// Name of the secondary, unique among the secondaries.
    pub name: NodeName,
    /// Address for the entries, https://HOST or http://HOST.
    pub url: String,
    /// Verifier key of its cosignatures, as `logd secondary` shows it.
    pub vkey: String,
}

/// A place that tiles and checkpoints are pushed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct FrontendConfig {
    /// Name of the frontend, unique among the frontends.
    pub name: NodeName,
    /// Folder, file:///srv/NAME, or bucket, s3://BUCKET/PREFIX (gs://, az://); below one that logd.toml allows.
    pub url: String,
}

/// Witnesses that cosign each checkpoint before it is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct WitnessConfig {
    /// C2SP tlog-policy: lines `witness NAME VKEY URL`, `group …`, one `quorum …`; empty: none.
    pub policy: String,
    /// Longest wait for cosignatures of a checkpoint, 100ms to 1m.
    pub timeout: Span,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Default for MergeConfig {
    fn default() -> Self {
        Self {
            checkpoint_interval: Span::from_millis(200),
            idle_republish: Span::from_secs(60),
            storage: StorageConfig::default(),
            backup_quorum: 0,
            secondaries: Vec::new(),
            frontends: Vec::new(),
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            quorum: 1,
            nodes: vec![StorageNode {
                name: NodeName::local(),
            }],
        }
    }
}

impl StorageConfig {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for WitnessConfig {
    fn default() -> Self {
        Self {
            policy: String::new(),
            timeout: Span::from_secs(2),
        }
    }
}

impl WitnessConfig {
    /// The policy; an empty text is a policy without requirements.
    ///
    /// # Errors
    /// The line that is not understood.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        if self.policy.trim().is_empty() {
            return Ok(Policy::none());
        }
        Policy::parse(&self.policy)
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl FrontendConfig {
    /// The folder, if the URL names one.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        self.url.strip_prefix("file://")
    }

    /// The bucket, if the URL names one.
    #[must_use]
    pub fn bucket(&self) -> Option<BucketUrl> {
        self.url.parse().ok()
    }
}

impl Named for StorageNode {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn fields(&self) -> Vec<Field> {
        Vec::new()
    }

    fn whole(&self) -> String {
        let of = if self.name.as_str() == LOCAL {
            "the server's own store"
        } else {
            "from logd.toml"
        };
        of.to_owned()
    }
}

impl Named for SecondaryConfig {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn fields(&self) -> Vec<Field> {
        vec![("url", self.url.clone()), ("vkey", self.vkey.clone())]
    }
}

impl Named for FrontendConfig {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn fields(&self) -> Vec<Field> {
        vec![("url", self.url.clone())]
    }
}

/// Compares all settings of both.
pub(crate) fn compare(a: &MergeConfig, b: &MergeConfig, compare: &mut Compare<'_>) {
    let mut setting = |subject: &str, before: String, after: String| {
        compare(format!("merge.{subject}"), Some(before), Some(after));
    };
    setting(
        "checkpointInterval",
        a.checkpoint_interval.to_string(),
        b.checkpoint_interval.to_string(),
    );
    setting(
        "idleRepublish",
        a.idle_republish.to_string(),
        b.idle_republish.to_string(),
    );
    setting(
        "storage.quorum",
        a.storage.quorum.to_string(),
        b.storage.quorum.to_string(),
    );
    setting(
        "backupQuorum",
        a.backup_quorum.to_string(),
        b.backup_quorum.to_string(),
    );
    compare_lists("storage node", &a.storage.nodes, &b.storage.nodes, compare);
    let (before, after) = (&a.secondaries, &b.secondaries);
    compare_lists("secondary", before, after, compare);
    compare_lists("frontend", &a.frontends, &b.frontends, compare);
}

/// Compares all settings of both. A policy is shown in one line, escaped, so that different ones have different texts.
pub(crate) fn compare_witnesses(a: &WitnessConfig, b: &WitnessConfig, compare: &mut Compare<'_>) {
    let line = |config: &WitnessConfig| {
        if config.policy.is_empty() {
            "none".to_owned()
        } else {
            format!("{:?}", config.policy)
        }
    };
    compare("witnesses.policy".to_owned(), Some(line(a)), Some(line(b)));
    let timeout = |config: &WitnessConfig| Some(config.timeout.to_string());
    compare("witnesses.timeout".to_owned(), timeout(a), timeout(b));
}
