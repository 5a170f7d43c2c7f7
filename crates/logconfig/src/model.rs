//! The document itself. Each field is one that the server acts on: an ignored field would mislead. Operators read the field
//! comments in generated files and in editors, so they are short and say what the field does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::announced::Announced;
use crate::merge::{MergeConfig, WitnessConfig};
use crate::name::{LogName, ShardName};
use crate::qos::QosConfig;
use crate::rekor::RekorConfig;
use crate::span::Span;

/// Configuration of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogConfig {
    /// Format of this document.
    #[serde(default)]
    pub api_version: ApiVersion,
    /// Kind of this document.
    #[serde(default)]
    pub kind: Kind,
    /// Name of the log.
    pub log: LogName,
    /// Generation that this file was made from: the base of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Common part of all checkpoint origins, see originForm; fixed once the log exists (default: the log's name).
    #[serde(default)]
    pub origin: String,
    /// Checkpoint origins are ORIGIN/SHARD (path) or SHARD.ORIGIN (host); fixed once the log exists.
    #[serde(default, skip_serializing_if = "OriginForm::is_path")]
    pub origin_form: OriginForm,
    /// Signing key of each shard that is created from now on, unless the shard says otherwise.
    #[serde(default, skip_serializing_if = "KeySpec::is_default")]
    pub key: KeySpec,
    /// Shards, oldest first: frozen ones, at most one active, planned ones.
    #[serde(default)]
    pub shards: Vec<ShardConfig>,
    /// Automatic rotation, and the names of new shards.
    #[serde(default)]
    pub rotate: RotateConfig,
    /// Quality of service: tiers and tenants.
    #[serde(default)]
    pub qos: QosConfig,
    /// How entries become signed trees.
    #[serde(default)]
    pub merge: MergeConfig,
    /// Witnesses that cosign each checkpoint before it is published.
    #[serde(default, skip_serializing_if = "WitnessConfig::is_default")]
    pub witnesses: WitnessConfig,
    /// Sigstore's clients write and read as if this log were Rekor; `/add` is closed then.
    #[serde(default, skip_serializing_if = "RekorConfig::is_default")]
    pub rekor: RekorConfig,
}

/// Version of the document format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ApiVersion {
    /// The only version so far.
    #[default]
    #[serde(rename = "logctl/v1")]
    V1,
}

/// Kind of a document; so far always a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Kind {
    /// The configuration of one log.
    #[default]
    LogConfig,
}

/// One shard: a Merkle tree with its own origin and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct ShardConfig {
    /// Name of the shard, unique in the log for good.
    pub name: ShardName,
    /// planned, active (accepts the writes; one at most) or frozen.
    #[serde(default)]
    pub state: ShardState,
    /// Signing key of the shard, made by the server; fixed once the shard exists.
    #[serde(default)]
    pub key: KeySpec,
    /// Filled in by the server, checked when given: global index of its first entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_index: Option<u64>,
    /// Filled in by the server, checked when given: number of its entries, once frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Filled in by the server, checked when given: final root, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_hash: Option<String>,
    /// Filled in by the server, checked when given: tree ID, decimal, in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_id: Option<String>,
    /// Filled in by the server, checked when given: verifier key of its checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vkey: Option<String>,
    /// Filled in by the server, checked when given: the second verifier key, for ecdsa-p256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecdsa_vkey: Option<String>,
    /// Filled in by the server, checked when given: where its key was seen (`logctl shard rotate --announce`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
}

/// How a shard's origin is made from the log's origin and the shard's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OriginForm {
    /// ORIGIN/SHARD, a schema-less URL.
    #[default]
    Path,
    /// SHARD.ORIGIN, a bare host name, which Sigstore's clients expect.
    Host,
}

/// A shard's state. It only ever goes forward.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ShardState {
    /// Has its origin and key; opens at a later rotation.
    #[default]
    Planned,
    /// Accepts the log's writes.
    Active,
    /// Accepts no more writes.
    Frozen,
}

/// The kind of key that signs a shard's checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct KeySpec {
    /// Signature algorithm of the key.
    pub algorithm: Algorithm,
}

/// How a shard's checkpoints are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032), C2SP signed-note type 0x01.
    #[default]
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA over P-256 with SHA-256, C2SP signed-note type 0x02, beside an Ed25519 key of the same name.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
}

/// Automatic rotation, and the names of new shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct RotateConfig {
    /// Names of new shards: {year} is the year (UTC), {letter} counts a…z, aa, ab…
    pub name: String,
    /// Rotate when the active shard has this many entries (absent: never by size).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u64>,
    /// Rotate when a shard with entries is open this long, 1s to 3650d (absent: never).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
    /// A shard opens only when its key was seen where clients look, for as long as settle.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_announced: bool,
    /// Time between that and the rotation, in which clients fetch the key; 0s to 3650d (absent: 7d).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<Span>,
}

impl Default for RotateConfig {
    fn default() -> Self {
        Self {
            name: "{year}{letter}".to_owned(),
            max_entries: None,
            max_age: None,
            require_announced: false,
            settle: None,
        }
    }
}

impl ShardState {
    /// The word in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Active => "active",
            Self::Frozen => "frozen",
        }
    }
}

impl std::fmt::Display for ShardState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Algorithm {
    /// The word in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
        }
    }
}

impl KeySpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl OriginForm {
    /// The word in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Host => "host",
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_path(&self) -> bool {
        *self == Self::Path
    }
}

impl ShardConfig {
    /// A shard as an operator would write it: nothing filled in by the server.
    #[must_use]
    pub fn new(name: ShardName, state: ShardState) -> Self {
        Self {
            name,
            state,
            key: KeySpec::default(),
            start_index: None,
            length: None,
            root_hash: None,
            tree_id: None,
            vkey: None,
            ecdsa_vkey: None,
            announced: None,
        }
    }

    /// Whether both are the same without what follows from the order.
    fn same(&self, other: &Self) -> bool {
        (&self.name, self.state, self.key) == (&other.name, other.state, other.key)
            && self.recorded() == other.recorded()
    }

    /// The shard without what follows from the order.
    pub(crate) fn stripped(&self) -> Self {
        Self {
            key: self.key,
            announced: self.recorded().cloned(),
            ..Self::new(self.name.clone(), self.state)
        }
    }
}

impl LogConfig {
    /// A log with one active shard and every setting at its default. An empty `origin` stands for the log's name.
    #[must_use]
    pub fn new(log: LogName, origin: String, first_shard: ShardName) -> Self {
        let mut config = Self {
            api_version: ApiVersion::V1,
            kind: Kind::LogConfig,
            log,
            generation: None,
            origin,
            origin_form: OriginForm::default(),
            key: KeySpec::default(),
            shards: vec![ShardConfig::new(first_shard, ShardState::Active)],
            rotate: RotateConfig::default(),
            qos: QosConfig::default(),
            merge: MergeConfig::default(),
            witnesses: WitnessConfig::default(),
            rekor: RekorConfig::default(),
        };
        config.fill_origin();
        config
    }

    /// Defaults that depend on another field.
    pub(crate) fn fill_origin(&mut self) {
        if self.origin.is_empty() {
            self.origin = self.log.as_str().to_owned();
        }
    }

    /// The form that is stored and compared: defaults filled in; generation and server-filled fields removed, so that a late root
    /// does not change it.
    #[must_use]
    pub fn stripped(&self) -> Self {
        Self {
            shards: self.shards.iter().map(ShardConfig::stripped).collect(),
            ..self.without_shards()
        }
    }

    /// [`LogConfig::stripped`] without its shards, of which there may be thousands.
    #[must_use]
    pub(crate) fn without_shards(&self) -> Self {
        let mut config = Self {
            api_version: self.api_version,
            kind: self.kind,
            log: self.log.clone(),
            generation: None,
            origin: self.origin.clone(),
            origin_form: self.origin_form,
            key: self.key,
            shards: Vec::new(),
            rotate: self.rotate.clone(),
            qos: self.qos.clone(),
            merge: self.merge.clone(),
            witnesses: self.witnesses.clone(),
            rekor: self.rekor,
        };
        config.fill_origin();
        config
    }

    /// Whether both have the same settings, whatever their shards.
    #[must_use]
    pub fn same_settings(&self, other: &Self) -> bool {
        self.without_shards() == other.without_shards()
    }

    /// Whether both list the same shards in the same states, whatever the server fills in.
    #[must_use]
    pub fn same_shards(&self, other: &Self) -> bool {
        self.shards.len() == other.shards.len() && self.shards_in_common(other) == self.shards.len()
    }

    /// The number of shards that both begin with.
    pub(crate) fn shards_in_common(&self, other: &Self) -> usize {
        let pairs = self.shards.iter().zip(&other.shards);
        pairs.take_while(|(one, other)| one.same(other)).count()
    }

    /// The checkpoint origin of the shard of that name.
    #[must_use]
    pub fn shard_origin(&self, shard: &str) -> String {
        match self.origin_form {
            OriginForm::Path => format!("{}/{shard}", self.origin),
            OriginForm::Host => format!("{shard}.{}", self.origin),
        }
    }

    /// Whether it has ECDSA keys or origins that are host names, which older programs do not know.
    #[must_use]
    pub fn has_hosts_or_ecdsa(&self) -> bool {
        let ecdsa = |key: KeySpec| key.algorithm == Algorithm::EcdsaP256;
        self.origin_form == OriginForm::Host
            || ecdsa(self.key)
            || self.shards.iter().any(|shard| ecdsa(shard.key))
    }

    /// Whether servers of a version before keys of ECDSA cannot read the document.
    #[must_use]
    pub fn is_unreadable_before_two_keys(&self) -> bool {
        self.has_hosts_or_ecdsa() || !self.rekor.is_default()
    }

    /// The shard that takes writes.
    #[must_use]
    pub fn active(&self) -> Option<&ShardConfig> {
        self.shards
            .iter()
            .find(|shard| shard.state == ShardState::Active)
    }

    /// The algorithm of the active shard's key.
    pub(crate) fn active_algorithm(&self) -> Option<Algorithm> {
        self.active().map(|shard| shard.key.algorithm)
    }

    /// The shard of that name.
    #[must_use]
    pub fn shard(&self, name: &ShardName) -> Option<&ShardConfig> {
        self.shards.iter().find(|shard| shard.name == *name)
    }
}
