//! The rules of a restore: which sources count, how many must, which copy is used, and what may be restored. Nothing here asks anybody: values go
//! in, and values come out.
//!
//! What must never happen: published entries are only on secondaries that did not answer, and no [`Problem`] says so.

use std::collections::BTreeMap;

use logconfig::SecondaryConfig;
use order::Generation;
use tlog::{GlobalIndex, TreeSize};

use crate::position::{UNNAMED, Vouched};
use crate::restore::source::{Discounted, Source, WithoutManifest};
use crate::running::eras::Membership;

#[cfg(test)]
mod tests;

/// Why published entries may be missing, or why the restored log could never sign. Only a forced restore continues with any of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// The restored log would wait forever for the earlier secondaries: one whose key has changed accepts nothing under the earlier one.
    #[error("{need} of the {of} secondaries of generation {generation}, before their change was handed over, must accept the restored log before it signs anything; {} got another key in that change and cannot accept it", .lost.join(", "))]
    KeysChanged {
        need: usize,
        of: usize,
        generation: Generation,
        lost: Vec<String>,
    },
    /// The restored log would wait for secondaries that did not answer. They may come back, unless their keys are lost.
    #[error(
        "{need} of the {of} secondaries of generation {generation} must accept the restored log before it signs anything, and {answered} answered"
    )]
    Absent {
        need: usize,
        of: usize,
        generation: Generation,
        answered: usize,
    },
    /// Entries were published without any secondary.
    #[error("backupQuorum{} was 0: what was published may be on no secondary", of_generation(.joint))]
    NoQuorum {
        /// The generation of an earlier membership; `None` for the newest one.
        joint: Option<Generation>,
    },
    /// A quorum may consist of secondaries that do not count.
    #[error("{counted} of the {of} secondaries{} count for shard {shard}, {need} must (backupQuorum is {quorum}) so that everything published is on one of them; not counted: {}", of_generation(.joint), joined(.reasons))]
    TooFew {
        counted: usize,
        of: usize,
        joint: Option<Generation>,
        shard: String,
        need: usize,
        quorum: u32,
        reasons: Vec<NotCounted>,
    },
    /// No copy of a closed shard can be used.
    #[error(
        "shard {shard} was closed with {closed} entries, but every secondary that answered has more of it, from another copy of the log"
    )]
    OnlyLonger { shard: String, closed: TreeSize },
    /// Entries would get other indexes than they were published with. Older shards are published first.
    #[error(
        "shard {shard} was closed with {closed} entries, of which the secondaries have {size}; there are entries of shard {later}, which would get other indexes than they were published with"
    )]
    Moved {
        shard: String,
        closed: TreeSize,
        size: TreeSize,
        later: String,
    },
    /// The log was restored before, with more. A restored log signs only once enough secondaries have verified its entries. If it was lost before
    /// that, the manifests of the life before it, which say which secondary had what, may be gone.
    #[error(
        "the log was restored with {before} entries before, of which the secondaries that answered have {start}; one that did not answer must have the others"
    )]
    Fewer {
        before: GlobalIndex,
        start: GlobalIndex,
    },
    /// Entries and cosigned roots contradict each other. Not even a forced restore continues then, but a drill does.
    #[error("{0}")]
    TwoHistories(String),
}

fn of_generation(joint: &Option<Generation>) -> String {
    joint.map_or_else(String::new, |generation| {
        format!(" of generation {generation}, before their change was handed over")
    })
}

fn joined(reasons: &[NotCounted]) -> String {
    let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    reasons.join("; ")
}

/// Why a secondary does not count for a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotCounted {
    #[error("{name} ({url}) is not among those that --from names")]
    NotNamed { name: String, url: String },
    #[error("{name} ({url}): {why}")]
    WithoutManifest {
        name: String,
        url: String,
        why: WithoutManifest,
    },
    #[error("{name} ({url}): {why}")]
    Discounted {
        name: String,
        url: String,
        why: Discounted,
    },
    #[error(
        "{name} ({url}) does not count: its storage was replaced, and according to the manifests it has not verified everything again"
    )]
    Replaced { name: String, url: String },
}

/// A copy that is left out, because it is of another copy of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LeftOut {
    #[error(
        "{url} is left out for shard {shard}: it has {has} entries, but the shard was closed with {closed}, so the additional entries are from another copy of the log. Keep its folder until you have compared its checkpoint with those of your readers; then start it with a new folder that is empty but for its key"
    )]
    Longer {
        url: String,
        shard: String,
        has: TreeSize,
        closed: TreeSize,
    },
    #[error(
        "{url} is left out for shard {shard}: {} ({why}). Keep its folder until you have compared its checkpoint with those of your readers; then start it with a new folder that is empty but for its key",
        Discounted::Superseded
    )]
    Superseded {
        url: String,
        shard: String,
        why: String,
    },
}

/// A shard that was opened, as the manifest has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) name: String,
    /// The number of entries that it was closed with; `None` if it is not closed.
    pub(super) closed: Option<TreeSize>,
}

/// What the believed manifest says about what a restore needs.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// The memberships that were not handed over, and the newest one.
    pub(super) members: Vec<Membership>,
    /// The opened shards, in the order of their entries.
    pub(super) shards: Vec<Opened>,
    /// The last storage that the manifests vouch for, by the secondary's name and key.
    pub(super) vouched: BTreeMap<(String, String), Vouched>,
    /// The largest number of entries that any life with the believed settled state was restored with.
    pub(super) entries: Option<GlobalIndex>,
}

impl Rules {
    /// The problem, if there is one, that no secondary can solve.
    pub(super) fn keys_changed(&self) -> Option<Problem> {
        self.members.iter().enumerate().find_map(|(at, of)| {
            let later: Vec<_> = self.members[at + 1..]
                .iter()
                .flat_map(|later| &later.secondaries)
                .collect();
            let newest = |one: &SecondaryConfig| later.iter().rev().find(|of| of.name == one.name);
            let lost: Vec<String> = of
                .secondaries
                .iter()
                .filter(|one| newest(one).is_some_and(|newest| newest.vkey != one.vkey))
                .map(|one| one.name.to_string())
                .collect();
            let need = must_accept(of);
            let waits = !lost.is_empty() && of.secondaries.len() - lost.len() < need;
            waits.then_some(Problem::KeysChanged {
                need,
                of: of.secondaries.len(),
                generation: of.generation,
                lost,
            })
        })
    }

    /// Whether too few secondaries answered for the restored log to sign.
    pub(super) fn absent(&self, sources: &[Source]) -> Option<Problem> {
        self.members.iter().find_map(|of| {
            let answers = |one: &&SecondaryConfig| {
                let mut own = sources
                    .iter()
                    .filter(|source| source.vkey.as_ref() == Some(&one.vkey));
                own.any(|source| source.incarnation.is_some())
            };
            let (answered, need) = (
                of.secondaries.iter().filter(answers).count(),
                must_accept(of),
            );
            (answered < need).then_some(Problem::Absent {
                need,
                of: of.secondaries.len(),
                generation: of.generation,
                answered,
            })
        })
    }

    /// The first problem with a shard that can be found before any copy of it is read.
    pub(super) fn before(&self, at: usize, sources: &[Source]) -> Option<Problem> {
        let shard = &self.shards[at];
        self.lacking(&shard.name, sources)
            .or_else(|| only_longer(shard, sources))
    }

    /// All problems with a shard of which `size` entries can be restored.
    pub(super) fn after(&self, at: usize, size: TreeSize, sources: &[Source]) -> Vec<Problem> {
        let shard = &self.shards[at];
        let problems = [
            self.lacking(&shard.name, sources),
            only_longer(shard, sources),
            self.moved(at, size, sources),
        ];
        problems.into_iter().flatten().collect()
    }

    /// The problem, if there is one, with `start` entries in all shards together.
    pub(super) fn fewer(&self, start: GlobalIndex) -> Option<Problem> {
        let before = self.entries.filter(|entries| start < *entries)?;
        Some(Problem::Fewer { before, start })
    }

    /// Whether the secondaries that count for a shard might lack published entries of it.
    fn lacking(&self, shard: &str, sources: &[Source]) -> Option<Problem> {
        for (at, of) in self.members.iter().enumerate() {
            let joint = (at + 1 < self.members.len()).then_some(of.generation);
            if of.quorum == 0 {
                return Some(Problem::NoQuorum { joint });
            }
            let not_counted = of.secondaries.iter();
            let not_counted = not_counted.map(|one| self.counts(one, shard, sources));
            let not_counted: Vec<_> = not_counted.filter_map(Result::err).collect();
            let counted = of.secondaries.len() - not_counted.len();
            if counted < of.enough() {
                return Some(Problem::TooFew {
                    counted,
                    of: of.secondaries.len(),
                    joint,
                    shard: shard.to_owned(),
                    need: of.enough(),
                    quorum: of.quorum,
                    reasons: not_counted.concat(),
                });
            }
        }
        None
    }

    /// Whether a secondary counts for a shard. If not: the reason for each source that has its key.
    fn counts(
        &self,
        secondary: &SecondaryConfig,
        shard: &str,
        sources: &[Source],
    ) -> Result<(), Vec<NotCounted>> {
        let own = sources
            .iter()
            .filter(|source| source.vkey.as_ref() == Some(&secondary.vkey));
        let mut reasons = Vec::new();
        for source in own {
            let (name, url) = (secondary.name.to_string(), source.url.clone());
            reasons.push(if let Some(why) = source.without_manifest.clone() {
                NotCounted::WithoutManifest { name, url, why }
            } else if let Some(why) = source.discounted.get(shard).cloned() {
                NotCounted::Discounted { name, url, why }
            } else if self.is_replaced(secondary, source.incarnation.as_deref()) {
                NotCounted::Replaced { name, url }
            } else {
                return Ok(());
            });
        }
        if reasons.is_empty() {
            reasons.push(NotCounted::NotNamed {
                name: secondary.name.to_string(),
                url: secondary.url.clone(),
            });
        }
        Err(reasons)
    }

    /// Whether the storage that answers for a secondary is known to have less than was counted for that secondary.
    fn is_replaced(&self, secondary: &SecondaryConfig, incarnation: Option<&str>) -> bool {
        let key = (secondary.name.to_string(), secondary.vkey.clone());
        let newest = self.vouched.get(&key);
        newest.is_some_and(|one| !one.whole || one.incarnation != incarnation.unwrap_or(UNNAMED))
    }

    /// Whether later entries would get other indexes if `size` entries of this shard are restored.
    fn moved(&self, at: usize, size: TreeSize, sources: &[Source]) -> Option<Problem> {
        let (shard, later) = self.shards[at..].split_first()?;
        let closed = shard.closed.filter(|closed| *closed > size)?;
        let has_entries = |shard: &&Opened| {
            let mut has = sources.iter().filter_map(|of| of.has.get(&shard.name));
            has.any(|checkpoint| checkpoint.size > 0)
        };
        Some(Problem::Moved {
            shard: shard.name.clone(),
            closed,
            size,
            later: later.iter().find(has_entries)?.name.clone(),
        })
    }
}

/// How many secondaries of a membership must accept a restored log before it signs.
fn must_accept(of: &Membership) -> usize {
    of.enough().max(of.quorum as usize)
}

/// Whether no copy of a closed shard can be used, because each of them has more entries than the shard was closed with.
fn only_longer(shard: &Opened, sources: &[Source]) -> Option<Problem> {
    let closed = shard.closed.filter(|closed| *closed > TreeSize::ZERO)?;
    let name = &shard.name;
    let mut have = sources
        .iter()
        .filter(|source| source.has.contains_key(name))
        .peekable();
    have.peek()?;
    have.all(|source| source.up_to(name, Some(closed)).is_none())
        .then(|| Problem::OnlyLonger {
            shard: name.clone(),
            closed,
        })
}

/// The copies with more entries than their shard was closed with.
pub(super) fn longer(shard: &Opened, sources: &[Source]) -> Vec<LeftOut> {
    let longer = sources.iter().filter_map(|source| {
        let (has, closed) = (source.has.get(&shard.name)?, shard.closed?);
        (source.up_to(&shard.name, Some(closed)).is_none()).then(|| LeftOut::Longer {
            url: source.url.clone(),
            shard: shard.name.clone(),
            has: TreeSize::new(has.size),
            closed,
        })
    });
    longer.collect()
}

/// The source whose copy of a shard is used, and its size: the one that has most of it, but no more than the shard was closed with. Copies that
/// cannot be used are passed over. `None` if there is no copy.
pub(super) fn best(shard: &Opened, sources: &[Source]) -> Option<(usize, TreeSize)> {
    let has = |source: &Source| {
        let cosigned = source.up_to(&shard.name, shard.closed)?;
        (!source.faults.contains_key(&shard.name)).then_some(TreeSize::new(cosigned.size))
    };
    let have = sources.iter().enumerate();
    have.filter_map(|(at, source)| Some((at, has(source)?)))
        .max_by_key(|(at, size)| (*size, std::cmp::Reverse(*at)))
}

/// Called when the entries of a shard contradict each other. Of the sources that know only an earlier life (`by_earlier_life`), it leaves out the
/// one with the most entries. `None` if there is no such source.
pub(super) fn leave_out_superseded(
    sources: &mut [Source],
    shard: &str,
    why: &str,
) -> Option<(TreeSize, LeftOut)> {
    let earlier = sources.iter_mut().filter(|source| source.by_earlier_life);
    let most = earlier.max_by_key(|source| source.has.get(shard).map(|has| has.size))?;
    let had = TreeSize::new(most.has.remove(shard)?.size);
    most.discounted
        .insert(shard.to_owned(), Discounted::Superseded);
    let left_out = LeftOut::Superseded {
        url: most.url.clone(),
        shard: shard.to_owned(),
        why: why.to_owned(),
    };
    Some((had, left_out))
}
