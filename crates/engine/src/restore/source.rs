//! What a restore knows about one source, and about each of its copies: values, filled in by the modules that ask.

use std::collections::BTreeMap;

use tlog::{Checkpoint, TreeSize};

/// What is wrong with a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It could not be read: nothing is known about it.
    Unread(String),
    /// It is not what the secondary has cosigned.
    Damaged(String),
    /// It is whole, and another secondary has cosigned another history.
    Contradicts(String),
}

impl Fault {
    /// The reason alone, for a sentence that says already what is wrong.
    fn reason(&self) -> &str {
        match self {
            Self::Unread(why) | Self::Damaged(why) | Self::Contradicts(why) => why,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unread(why) => write!(f, "not read: {why}"),
            Self::Damaged(why) => write!(f, "DAMAGED: {why}"),
            Self::Contradicts(why) => write!(f, "TWO HISTORIES: {why}"),
        }
    }
}

/// Why a source gave no manifest, so that it counts for no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WithoutManifest {
    /// This may be a new storage, which does not know what the earlier one had, or a third-party mirror, which never has a manifest.
    #[error("it has no manifest of this log")]
    None,
    /// It did not answer, or its manifest is not one of this log.
    #[error("{0}")]
    Unusable(String),
}

/// Why a source does not count for one shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Discounted {
    /// It did not give its checkpoint, or a wrong one.
    #[error("{0}")]
    Checkpoint(String),
    /// It knows only an earlier life than the believed one, and its entries contradict those of others.
    #[error("its entries are of another copy of the log, which was superseded")]
    Superseded,
    /// What it has cosigned can't be had from anybody.
    #[error("it has cosigned {more} entries, of which the others have {size}, and its copy could not be read: {}", .fault.reason())]
    OnlyDamaged {
        more: TreeSize,
        size: TreeSize,
        fault: Fault,
    },
}

/// One source, and what it has.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) url: String,
    /// Its key: that of the configured secondary at that URL, or the one that it cosigned with.
    pub(super) vkey: Option<String>,
    /// Why it gave no manifest, if it gave none.
    pub(super) without_manifest: Option<WithoutManifest>,
    /// The storage that answers; `None` when the secondary does not name it, or does not answer.
    pub(super) incarnation: Option<String>,
    /// Whether its manifest settles an earlier life than the believed one: neither the believed life nor one that was restored from it has sent it a
    /// manifest.
    pub(super) by_earlier_life: bool,
    /// The mirror checkpoints, by shard.
    pub(super) has: BTreeMap<String, Checkpoint>,
    /// Shards for which it does not count.
    pub(super) discounted: BTreeMap<String, Discounted>,
    /// Shards that it has cosigned and whose copy cannot be used.
    pub(super) faults: BTreeMap<String, Fault>,
}

impl Source {
    /// Its checkpoint of a shard. `None` if it has none, or if that one is larger than the shard was closed with.
    pub(super) fn up_to(&self, shard: &str, closed: Option<TreeSize>) -> Option<&Checkpoint> {
        let has = self.has.get(shard)?;
        closed
            .is_none_or(|closed| has.size <= closed.get())
            .then_some(has)
    }

    /// Called once a shard was copied from others, with `size` entries. If this source has cosigned more and its copy cannot be used, it no longer
    /// counts for the shard; returns the size that it has cosigned.
    pub(super) fn discount_above(&mut self, shard: &str, size: TreeSize) -> Option<TreeSize> {
        let (fault, has) = (self.faults.get(shard)?.clone(), self.has.get(shard)?);
        let more = TreeSize::new(has.size);
        if more <= size {
            return None;
        }
        let why = Discounted::OnlyDamaged { more, size, fault };
        self.discounted.insert(shard.to_owned(), why);
        Some(more)
    }

    /// If this is a third-party mirror, which has copies and, as it should, no manifest: the warning about it.
    pub(super) fn is_mirror(&self) -> Option<String> {
        let mirror = self.incarnation.is_none() && !self.has.is_empty();
        let why = self.without_manifest.as_ref();
        let why = why.filter(|why| mirror && **why == WithoutManifest::None)?;
        Some(format!("{}: {why}", self.url))
    }
}
