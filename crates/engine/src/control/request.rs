//! Requests for changes, and their authors.

use logconfig::{LogConfig, ShardName, Span};
use order::Generation;
use order::slot::Action;
use order::token::Token;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use store::record;
use tlog::Hash;

/// A request for a change. It does not include the state that it is based on: a request that is sent again with its idempotency key is the
/// same request, even if the configuration changed meanwhile.
#[derive(Clone, Debug, Serialize)]
pub enum Request {
    /// Replace the configuration document.
    Configure {
        /// The whole document, which replaces the running one.
        next: Box<LogConfig>,
        /// The generation it was made from.
        #[serde(skip)]
        base: Option<Generation>,
    },
    /// Freeze the active shard and open the next.
    Rotate {
        /// The shard to open; the oldest planned one or a new one when absent.
        name: Option<ShardName>,
        /// Refuse if a different generation is running.
        #[serde(skip)]
        base: Option<Generation>,
        /// Open it although too few witnesses or secondaries know it. It is not published until they do.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Freeze the active shard and open the next, if its key has been seen for this long.
    RotateAnnounced {
        /// The shard to open; the oldest planned one when absent.
        name: Option<ShardName>,
        /// Refuse if a different generation is running.
        #[serde(skip)]
        base: Option<Generation>,
        /// How long its key must have been seen.
        settle: Span,
    },
    /// Record that the key of a shard has been seen where clients look.
    Announce {
        /// The shard, planned or active.
        shard: ShardName,
        /// Log ID of the key that was seen.
        key: String,
        /// The places where it was seen.
        seen_at: Vec<String>,
        /// Whether it is gone from them.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        gone: bool,
    },
    /// Add a planned shard.
    PlanShard {
        /// Its name; by the template when absent.
        name: Option<ShardName>,
        /// Refuse if a different generation is running.
        #[serde(skip)]
        base: Option<Generation>,
    },
    /// Run this document, and go back to the one before unless somebody confirms it in time.
    OnProbation {
        /// The whole document. Its shards are those that run: they never go back.
        next: Box<LogConfig>,
        /// The generation it was made from.
        #[serde(skip)]
        base: Option<Generation>,
        /// How long it may wait for its confirmation, milliseconds.
        within_ms: u64,
        /// The asking replica, and its connection: the one that may not confirm. Not part of the request: it does not enter the digest.
        #[serde(skip)]
        from: (String, Option<u64>),
    },
    /// Take back a change that was made on probation: the earlier settings, with today's shards.
    Revert {
        /// The change on probation.
        operation: Token,
        /// The generation before it.
        base: Generation,
    },
    /// Freeze this shard and open the next, if it is still the active one. However many replicas ask, it is one request.
    RotateOut {
        /// The shard that was active when it was asked for.
        shard: ShardName,
        /// Why, for the history. Not part of the request: it does not enter the digest.
        #[serde(skip)]
        why: String,
    },
    /// Freeze the log: it accepts no entries.
    Freeze {
        /// Skip the wait for promised work.
        now: bool,
    },
    /// Accept entries again after a freeze.
    Unfreeze,
    /// Hide a frozen log.
    Delete,
    /// Show a deleted log again.
    Undelete,
}

impl Request {
    /// The generation it was made from, if its author insists on it.
    pub(super) fn base(&self) -> Option<Generation> {
        match self {
            Self::Configure { base, .. }
            | Self::OnProbation { base, .. }
            | Self::Rotate { base, .. }
            | Self::RotateAnnounced { base, .. }
            | Self::PlanShard { base, .. } => *base,
            _ => None,
        }
    }

    /// The action that it asks for.
    pub fn action(&self) -> Action {
        match self {
            Self::Configure { .. } | Self::OnProbation { .. } | Self::Announce { .. } => {
                Action::Configure
            }
            Self::Rotate { .. } | Self::RotateAnnounced { .. } | Self::RotateOut { .. } => {
                Action::Rotate
            }
            Self::PlanShard { .. } => Action::Plan,
            Self::Revert { .. } => Action::Revert,
            Self::Freeze { .. } => Action::Freeze,
            Self::Unfreeze => Action::Unfreeze,
            Self::Delete => Action::Delete,
            Self::Undelete => Action::Undelete,
        }
    }

    /// The action's name in the audit trail.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Rotate { force: true, .. } => return "rotate-forced",
            Self::Announce { gone: true, .. } => return "withdraw",
            Self::Announce { .. } => return "announce",
            _ => {}
        }
        match self.action() {
            Action::Configure => "configure",
            Action::Rotate => "rotate",
            Action::Plan => "plan",
            Action::Freeze => "freeze",
            Action::Unfreeze => "unfreeze",
            Action::Create => "create",
            Action::Delete => "delete",
            Action::Undelete => "undelete",
            Action::Revert => "revert",
        }
    }

    /// What is reported, in words for the audit trail.
    pub(super) fn said(&self) -> Option<String> {
        match self {
            Self::Announce {
                shard,
                seen_at,
                gone,
                ..
            } => Some(format!(
                "the key of {shard} {} {}",
                if *gone { "is gone from" } else { "was seen at" },
                seen_at.join(", ")
            )),
            _ => None,
        }
    }

    pub(super) fn digest(&self) -> Hash {
        record::digest(&serde_json::to_vec(self).unwrap_or_default())
    }

    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::RotateOut { why, .. } => Some(why.clone()),
            Self::Announce { .. } => self.said(),
            Self::Revert { operation, .. } => Some(format!("nobody confirmed {operation} in time")),
            _ => None,
        }
    }
}

/// The caller of a change, for the history and the audit trail.
#[derive(Clone, Debug)]
pub struct Author {
    /// The name in the audit trail: `uid:0`, `token:ci`.
    pub actor: String,
    /// The same key with the same request is the same operation.
    pub idempotency_key: Option<String>,
    /// Why, in the caller's own words, for the history. Not part of the request: it does not enter the digest.
    pub reason: Option<String>,
}

impl Author {
    /// The operation that this caller's idempotency key names on a log; none without a key.
    pub fn operation(&self, log: &str) -> Option<Token> {
        let key = self.idempotency_key.as_ref()?;
        let mut hash = Sha256::new();
        for part in [log, self.actor.as_str(), key.as_str()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Some(Token::from_bytes(bytes))
    }
}
