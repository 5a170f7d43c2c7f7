//! The fronts of a log, through which clients that were made for another log write to it.
//!
//! A document without a front keeps its bytes and its entity tag.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::finding::{Finding, Problem};
use crate::list::Compare;
use crate::model::{Algorithm, OriginForm};
use crate::span::Span;

/// Sigstore's clients write and read as if this log were Rekor; `/add` is closed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct RekorConfig {
    /// Answers at /api/v1 (Rekor): entries of the kinds below.
    #[schemars(extend("default" = false))]
    #[serde(skip_serializing_if = "is_false")]
    pub v1: bool,
    /// Answers at /api/v2 (rekor-tiles): hashedrekord entries.
    pub v2: bool,
    /// Kinds of entries that /api/v1 accepts.
    #[schemars(extend("default" = ["hashedrekord", "dsse", "intoto", "rekord"]))]
    #[serde(skip_serializing_if = "EntryKinds::is_all")]
    pub kinds: EntryKinds,
    /// Answer to an entry that the active shard already has: replay (201 with the existing entry) or conflict (409).
    pub duplicates: Duplicates,
    /// First entry of a shard: statement (signed by its own key, since some clients lose an index of 0) or none.
    pub first_entry: FirstEntry,
    /// Longest wait of a write for its checkpoint before it gets 503, 1s to 1m.
    pub hold: Span,
}

// Documents from before there was a first API keep their entity tag.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// A kind of entry of Rekor's first API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum EntryKind {
    /// A signature over the hash of an artifact.
    HashedRekord,
    /// A signed envelope, for instance an attestation.
    Dsse,
    /// The same in its older form.
    Intoto,
    /// A signature with the artifact or its hash, as older clients send it.
    Rekord,
}

impl EntryKind {
    /// All kinds that there are.
    pub const ALL: [Self; 4] = [Self::HashedRekord, Self::Dsse, Self::Intoto, Self::Rekord];

    /// The word in the document, which is also the one in an entry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HashedRekord => "hashedrekord",
            Self::Dsse => "dsse",
            Self::Intoto => "intoto",
            Self::Rekord => "rekord",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Kinds of entries, each at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryKinds(u8);

impl EntryKinds {
    /// Every kind that the API has.
    #[must_use]
    pub fn all() -> Self {
        EntryKind::ALL.into_iter().collect()
    }

    /// Whether a kind is among them.
    #[must_use]
    pub const fn has(self, kind: EntryKind) -> bool {
        self.0 & kind.bit() != 0
    }

    fn is_all(&self) -> bool {
        *self == Self::all()
    }

    fn iter(self) -> impl Iterator<Item = EntryKind> {
        EntryKind::ALL
            .into_iter()
            .filter(move |kind| self.has(*kind))
    }

    /// As in the document: `[hashedrekord, dsse]`.
    pub(crate) fn list(self) -> String {
        let kinds: Vec<_> = self.iter().map(EntryKind::as_str).collect();
        format!("[{}]", kinds.join(", "))
    }
}

impl FromIterator<EntryKind> for EntryKinds {
    fn from_iter<I: IntoIterator<Item = EntryKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |all, kind| all | kind.bit()))
    }
}

impl Serialize for EntryKinds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for EntryKinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<EntryKind>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}

impl JsonSchema for EntryKinds {
    fn schema_name() -> Cow<'static, str> {
        "EntryKinds".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<EntryKind>::json_schema(generator)
    }
}

/// Answer to an entry that the active shard already has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Duplicates {
    /// The existing entry, as if it were new: for clients that repeat a request.
    #[default]
    Replay,
    /// A conflict that names the entry, as Rekor answers.
    Conflict,
}

/// The first entry of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum FirstEntry {
    /// A statement that its ECDSA key signs, written before the first client's entry.
    #[default]
    Statement,
    /// The first client's entry.
    None,
}

impl FirstEntry {
    /// The word in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::None => "none",
        }
    }
}

impl Duplicates {
    /// The word in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Conflict => "conflict",
        }
    }
}

impl Default for RekorConfig {
    fn default() -> Self {
        Self {
            v1: false,
            v2: false,
            kinds: EntryKinds::all(),
            duplicates: Duplicates::Replay,
            first_entry: FirstEntry::Statement,
            hold: Span::from_secs(20),
        }
    }
}

impl RekorConfig {
    /// Whether any front is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.v1 || self.v2
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The faults of the front of a log with these origins, and these kinds of keys in its active shard and in new ones.
    pub(crate) fn validate(&self, origins: OriginForm, keys: [Algorithm; 2]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (least, most) = (Span::from_secs(1), Span::from_secs(60));
        if !(least..=most).contains(&self.hold) {
            let message = format!("{} is not between {least} and {most}", self.hold);
            findings.push(
                Problem::new("out-of-range", message)
                    .hint("clients give up after 30 s; 20s suits them")
                    .at("/rekor/hold"),
            );
        }
        // The origins of a log are fixed, and clients could never verify their entries.
        if self.is_open() && origins != OriginForm::Host {
            let message = "Sigstore's clients accept only logs whose origins are host names";
            findings.push(
                Problem::new("needs-hosts", message)
                    .hint("make a new log with `originForm: host`")
                    .at(if self.v2 { "/rekor/v2" } else { "/rekor/v1" }),
            );
        }
        if self.v1 && keys.iter().any(|key| *key != Algorithm::EcdsaP256) {
            let message = "clients of Rekor's first API verify signatures of ECDSA keys only";
            findings.push(
                Problem::new("needs-ecdsa", message)
                    .hint("set `key: {algorithm: ecdsa-p256}`; a log whose active shard has another key rotates first, then opens the front")
                    .at("/rekor/v1"),
            );
        }
        if self.v1 && self.kinds.iter().next().is_none() {
            let message = "the front at /api/v1 would accept no entry";
            findings.push(
                Problem::new("no-kinds", message)
                    .hint("name a kind, for instance `kinds: [hashedrekord]`, or close the front with `v1: false`")
                    .at("/rekor/kinds"),
            );
        }
        findings
    }
}

/// Compares all settings of both.
pub(crate) fn compare(a: &RekorConfig, b: &RekorConfig, compare: &mut Compare<'_>) {
    let mut setting = |subject: &str, before: String, after: String| {
        compare(format!("rekor.{subject}"), Some(before), Some(after));
    };
    let open = |open: bool| if open { "open" } else { "closed" }.to_owned();
    setting("v1", open(a.v1), open(b.v1));
    setting("v2", open(a.v2), open(b.v2));
    setting("kinds", a.kinds.list(), b.kinds.list());
    setting(
        "duplicates",
        a.duplicates.as_str().to_owned(),
        b.duplicates.as_str().to_owned(),
    );
    setting(
        "firstEntry",
        a.first_entry.as_str().to_owned(),
        b.first_entry.as_str().to_owned(),
    );
    setting("hold", a.hold.to_string(), b.hold.to_string());
}
