//! The fronts of a log, through which clients that were made for another log write to it.
//!
//! A document without a front keeps its bytes and its entity tag.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Problem};
use crate::list::Compare;
use crate::model::OriginForm;
use crate::span::Span;

/// Sigstore's clients write and read as if this log were Rekor; `/add` is closed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct RekorConfig {
    /// Answers at /api/v2 (rekor-tiles): hashedrekord entries.
    pub v2: bool,
    /// Answer to an entry that the active shard already has: replay (201 with the existing entry) or conflict (409).
    pub duplicates: Duplicates,
    /// First entry of a shard: statement (signed by its own key, since some clients lose an index of 0) or none.
    pub first_entry: FirstEntry,
    /// Longest wait of a write for its checkpoint before it gets 503, 1s to 1m.
    pub hold: Span,
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
            v2: false,
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
        self.v2
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The faults of the front of a log with these origins.
    pub(crate) fn validate(&self, origins: OriginForm) -> Vec<Finding> {
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
                    .at("/rekor/v2"),
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
    setting("v2", open(a.v2), open(b.v2));
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
