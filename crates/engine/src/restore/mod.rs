//! Rebuilds a lost log from its secondaries.
//!
//! No secondary is trusted: entries must lead to roots that were cosigned, and the manifest must open with the key-encryption key. What
//! must never happen: a restored log is smaller than its readers have seen it.
//!
//! Everything that was published is on `backupQuorum` (q) of the N secondaries, so any N-q+1 of them include one that has all of it. The secondaries
//! and q are those of the newest manifest that was found; where it lists several memberships, N-q+1 of each are needed. Why a newer configuration
//! can't be missed: see [`crate::running::eras`]. A secondary counts for a shard only if it has a manifest, gave a checkpoint of that shard that it has
//! cosigned, and answers from the storage that the manifests vouch for. (A storage that replaced a lost one may hold only a part: see
//! `replicate::storage`.) A secondary whose copy is damaged counts if another copy has as many entries as the damaged one has cosigned.
//!
//! The restored log is another *life* of the log. Before it signs anything it is announced to the secondaries, which from then
//! on refuse every earlier life: see [`crate::life`].
//!
//! `believed` and `sources` ask the secondaries for manifests and checkpoints; `rules` decides, and asks nobody; `reading` goes through the shards, for
//! a restore and for a drill (`check`); `copy` reads one copy, and `write` makes the rows of the restored log.

mod ask;
mod believed;
mod check;
mod copy;
mod reading;
mod rules;
mod source;
mod sources;
mod times;
mod write;

pub use check::{CheckedCopy, Drill};
pub use source::Fault;

use ambient::Ambient;
use order::Generation;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::life;
use crate::life::Life;
use crate::shard::keys::Kek;
use mirror::PeerClient;
use order::keys::LOGS;
use order::state::{Intake, Phase};
use reading::{Reading, Whole};
use source::Source;
use store::{Coordination, Objects, StoreError};
use times::Unanswered;
use tlog::{GlobalIndex, TreeSize, UnixMillis};

/// The restored order begins this many slots above the manifest, so that it is above all slots that were decided after the manifest.
const JUMP: u64 = 1 << 32;

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// No secondary has the manifest.
    #[error("no secondary has a manifest of {origin} that this key-encryption key opens: {}", .why.join("; "))]
    Manifest {
        /// The log's origin, without a shard.
        origin: String,
        /// The answer of each secondary.
        why: Vec<String>,
    },
    /// Published entries may be missing.
    #[error(
        "{0}; name every secondary with --from; only when the others are lost, --force restores what these have and leaves the log frozen"
    )]
    TooFew(String),
    /// Entries and cosigned roots contradict each other.
    #[error("{0}")]
    Contradiction(String),
    /// A secondary did not give its copy.
    #[error("{url}: {why}")]
    Peer {
        /// The address of that secondary.
        url: String,
        /// The secondary's answer, or the reason why there is none.
        why: String,
    },
    /// The copy of a secondary is not what it has cosigned.
    #[error("{url}: {why}")]
    Damaged {
        /// The address of that secondary.
        url: String,
        /// What is wrong with its copy.
        why: String,
    },
    /// A new store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A step that must come before the log exists failed.
    #[error("{0}")]
    Last(String),
    /// The object store has an object of the log that no restore wrote.
    #[error(
        "the object store has {0} already, which no restore wrote: it may be all that is left of the log, so name a new folder"
    )]
    Occupied(String),
    /// Another system's shards are being imported into a log of this name.
    #[error(
        "an import into the log {0} has begun in these stores; drop it with `logctl import rekor --drop --log {0}`, or name new stores"
    )]
    Importing(String),
    /// An import into a log of this name was dropped, and a run of the drop may still delete objects.
    #[error(
        "a drop of an import into the log {log} was interrupted in these stores, and what was interrupted may still delete objects: run the same command again in {seconds} s, or name new stores"
    )]
    Dropping {
        /// The name that the log would have had.
        log: String,
        /// Seconds until nothing can be deleted any more.
        seconds: u64,
    },
    /// A log of this name exists already, or another restore makes it.
    #[error(
        "the stores have a log {0} already, or another restore of it has begun there since: leave them alone, and name a new folder"
    )]
    Exists(String),
}

/// A restore: which log, from which secondaries, into which stores.
pub struct Restore {
    /// The log's origin, without a shard.
    pub origin: String,
    /// The addresses of the secondaries.
    pub from: Vec<String>,
    /// The key that opens what the primary sealed.
    pub kek: Kek,
    /// Continue although published entries may be missing.
    pub force: bool,
    /// The client for the secondaries.
    pub peers: Arc<dyn PeerClient>,
    /// The coordination store that the log is written to; no log is in it.
    pub coordination: Arc<dyn Coordination>,
    /// The object store that the trees are written to; it may hold what an interrupted restore left.
    pub objects: Arc<dyn Objects>,
    /// The time from which the log continues, and the randomness that makes this life different from others.
    pub ambient: Ambient,
}

/// The result of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The name of the restored log.
    pub log: String,
    /// The generation with which it continues.
    pub generation: Generation,
    /// When the manifest that was believed was made, by the log's own time: milliseconds since the Unix epoch.
    pub time: UnixMillis,
    /// Entries, in all shards.
    pub entries: GlobalIndex,
    /// Each opened shard: its name, its entries, and where they came from.
    pub shards: Vec<(String, TreeSize, String)>,
    /// Differences from the lost log, in words for an operator.
    pub warnings: Vec<String>,
}

impl Restore {
    /// Restores the log. Its name is written last, with the rows from which a server starts; until then the restore can be run again.
    ///
    /// # Errors
    /// [`RestoreError`]; then the stores have no log.
    pub async fn run(&self) -> Result<Restored, RestoreError> {
        self.run_and_then(|_| Ok(())).await
    }

    /// Restores the log as [`Self::run`] does. Once everything but the log's name is written, it calls `last` with the name, to make what must exist
    /// before the log does.
    ///
    /// # Errors
    /// [`RestoreError`], of `last` too; then the stores have no log.
    pub async fn run_and_then(
        &self,
        last: impl FnOnce(&str) -> Result<(), String>,
    ) -> Result<Restored, RestoreError> {
        let mut warnings = Vec::new();
        let believed = self.manifest(&mut warnings).await?;
        let manifest = &believed.manifest;
        let row = format!("{LOGS}{}", manifest.log);
        if self.coordination.get(&row).await?.is_some() {
            return Err(RestoreError::Exists(manifest.log.clone()));
        }
        let begun = self.next(&manifest.log).await?;
        let reading = Reading::begin(self, Some(&begun), &believed, warnings);
        let mut reading = reading.await?;
        let replication = self.replication(manifest);
        let key = replication.map_err(RestoreError::Contradiction)?;
        let key = key.verifier().clone();
        match reading.rules.absent(&reading.sources) {
            Some(problem) if self.force => reading.problems.push(problem),
            Some(problem) => reading.warnings.push(format!(
                "{problem}: start the others, each with its key. Only where they are lost with their keys, restore with --force"
            )),
            None => {}
        }
        self.begin(&begun).await?;
        let mut state = manifest.state.clone();
        let time = state.time;
        let (mut shards, mut positions) = (Vec::new(), Vec::new());
        let mut start = GlobalIndex::ZERO;
        let mut rebuilt = Vec::clone(&state.shards);
        let mut lowered = BTreeMap::new();
        let unanswered = Unanswered::none(&reading.sources);
        let opened = rebuilt.iter_mut().filter(|shard| shard.start().is_some());
        for (at, shard) in opened.enumerate() {
            let Whole { size, root, url } = reading.shard(at).await?;
            let name = shard.identity.name.clone();
            match &mut shard.phase {
                Phase::Frozen {
                    start: first,
                    length,
                } => {
                    let closed = reading.rules.shards[at].closed.unwrap_or(*length);
                    if closed != size {
                        lowered.insert(name.clone(), closed);
                    }
                    (*first, *length) = (start, size);
                }
                Phase::Active { start: first } => *first = start,
                Phase::Planned => {}
            }
            if crate::times::are_kept(&shard.identity) {
                let sources = &reading.sources;
                let lacking = self.times(&begun, &shard.identity, size, &key, sources, &unanswered);
                match lacking.await? {
                    0 => {}
                    lacking => reading.warnings.push(format!(
                        "shard {name}: no secondary knows when {lacking} of its {size} entries were ordered; Rekor's first API does not answer these"
                    )),
                }
            }
            start = start + size;
            positions.push((name.clone(), size, root));
            shards.push((name, size, url));
        }
        reading.end(start)?;
        let Reading {
            rules,
            sources,
            problems,
            mut warnings,
            ..
        } = reading;
        let is_forced = !problems.is_empty();
        let own = is_forced.then_some(start);
        // The log may have grown beyond this size since the manifest was made.
        let inherited = manifest.forks.filter(|most| start <= *most);
        let forks = own.max(inherited);
        if let (None, Some(most)) = (own, forks) {
            warnings.push(format!(
                "forced: the log was restored by force before, with {most} entries, and has not grown since"
            ));
        }
        // Several shards may have the same problem.
        let problems: BTreeSet<_> = problems.iter().map(ToString::to_string).collect();
        warnings.extend(problems.iter().map(|problem| format!("forced: {problem}")));
        state.shards = Arc::new(rebuilt);
        state.size = start;
        state.len += JUMP;
        state.time = UnixMillis::new(self.ambient.time.now_ms().max(state.time.get() + 1));
        if matches!(state.intake, Intake::Closing) {
            warnings.push("the log was closing; it is open again".to_owned());
            state.intake = Intake::Open;
        }
        if forks.is_some() {
            // A larger size may have been signed; nothing is signed for it again before an operator unfreezes the log.
            state.intake = Intake::Frozen {
                slot: state.len.back(1),
                time: state.time,
            };
            warnings.push("the log is frozen, because what it signs next may be a second root of a size that was signed before: read \"After a forced restore\" in docs/operations.md before you unfreeze it".to_owned());
        }
        let name = |source: &Source| {
            let all = rules.members.iter().rev().flat_map(|of| &of.secondaries);
            let mut named = all.filter(|one| Some(&one.vkey) == source.vkey.as_ref());
            named.next().map(|one| one.name.to_string())
        };
        let random = self.ambient.random.number().map_err(StoreError::from)?;
        let life = Life {
            // Later than all earlier lives, even if the clock is wrong.
            id: life::new(state.time, believed.life, random),
            generation: state.generation,
            entries: start,
            storages: believed.relied_on(&rules.members, &sources),
            lowered,
            settled: Some(believed.settled),
            // A secondary that did not answer, or a third-party mirror, would never accept the manifest.
            forced: is_forced.then(|| {
                let own = sources.iter().filter(|of| of.incarnation.is_some());
                own.filter_map(name).collect()
            }),
            forks: inherited,
        };
        self.write(&begun, &believed, &state, &positions, &life, last)
            .await?;
        Ok(Restored {
            log: manifest.log.clone(),
            generation: state.generation,
            time,
            entries: start,
            shards,
            warnings,
        })
    }
}
