//! The rows of a mirror in its coordination store.

use serde::{Deserialize, Serialize};
use tlog::{Hash, TreeSize, UnixMillis};

/// The row that names this storage.
pub(crate) const INCARNATION: &str = "incarnation";
/// All mirrored logs, by the hash of their origin.
pub(crate) const ORIGINS: &str = "origin/";

/// A log that is mirrored: `origin/{hash}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    pub(crate) origin: String,
}

/// A pending checkpoint: `pending/{hash}/{size}`. The size is behind the guard number of `pending-size/{hash}` too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pending {
    pub(crate) size: TreeSize,
    /// Root of their tree.
    pub(crate) root: Hash,
    /// The checkpoint with the log's signature.
    pub(crate) note: String,
}

/// The mirror checkpoint: `mirror/{hash}`, behind its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mirrored {
    /// Entries that are durable here and lead to the root.
    pub(crate) size: TreeSize,
    pub(crate) root: Hash,
    /// The checkpoint with the log's signature and the mirror's own.
    pub(crate) note: String,
}

/// Why nothing is mirrored of a log any more: `alarm/{hash}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// When it was raised.
    pub time: UnixMillis,
    /// The size at which two roots were seen.
    pub size: TreeSize,
    /// The root that this mirror has.
    pub ours: Hash,
    /// The signed checkpoint that says otherwise: the proof.
    pub theirs: String,
}

/// The rows of one log.
#[derive(Clone, Debug)]
pub(crate) struct Rows(pub String);

impl Rows {
    /// The key of the row that names the log.
    pub(crate) fn known(&self) -> String {
        format!("{ORIGINS}{}", self.0)
    }
    /// All its pending checkpoints that are remembered.
    pub(crate) fn pendings(&self) -> String {
        format!("pending/{}/", self.0)
    }
    /// The key of the pending checkpoint of this size.
    pub(crate) fn pending(&self, size: TreeSize) -> String {
        format!("pending/{}/{size:020}", self.0)
    }
    /// The key of the size of the newest pending checkpoint.
    pub(crate) fn pending_size(&self) -> String {
        format!("pending-size/{}", self.0)
    }
    /// The key of the position up to which entries are durable.
    pub(crate) fn position(&self) -> String {
        format!("position/{}", self.0)
    }
    /// The key of the mirror checkpoint.
    pub(crate) fn mirrored(&self) -> String {
        format!("mirror/{}", self.0)
    }
    /// The newest mirror checkpoint that readers of the log can verify.
    pub(crate) fn served(&self) -> String {
        format!("served/{}", self.0)
    }
    /// The key of the alarm.
    pub(crate) fn alarm(&self) -> String {
        format!("alarm/{}", self.0)
    }
    /// The number of the newest manifest; of a log, not of a shard.
    pub(crate) fn manifest(&self) -> String {
        format!("manifest/{}", self.0)
    }
    /// Its edition, of manifests with one number.
    pub(crate) fn edition(&self) -> String {
        format!("edition/{}", self.0)
    }
    /// The newest settled state that a manifest named, behind its life; of a log, not of a shard.
    pub(crate) fn settled(&self) -> String {
        format!("settled/{}", self.0)
    }
    /// Set if entries are to be dropped at the next start.
    pub(crate) fn owed(&self) -> String {
        format!("owed/{}", self.0)
    }
    /// The accepted life of the log, as its manifest says; of a log, not of a shard.
    pub(crate) fn restored(&self) -> String {
        format!("restored/{}", self.0)
    }
}
