//! The lives of a log: each restore from the secondaries begins a new one.
//!
//! What must never happen: two lives both publish. A restored life may not be the only one: the lost primary may come back, and the log may be
//! restored twice at the same time from the same secondaries. So before a restored life signs anything:
//!
//! 1. It is **accepted**: N-q+1 of the N secondaries of every membership that the restore found have accepted its manifest. From
//!    then on they refuse every earlier life, which therefore can't reach a quorum any more.
//! 2. A secondary that has more entries than the life was restored with refuses its manifest, because an earlier life has continued there. The
//!    secondary compares only after it has stopped accepting the earlier life, so nothing can happen in between. What an earlier life did without
//!    writing an entry (it sealed a shard, or changed its secondaries) shows in the generation of its manifest. Before such a step a quorum must have
//!    accepted that manifest from a life that may sign; from then on a life that was restored from less is refused ([`mirror::Settled`]).
//! 3. N-q+1 of them, and at least q, have verified the entries that it was restored with. A secondary that has accepted the manifest may still hold
//!    other entries than this life has: it never verifies the entries of this life, so it counts for one life only. And entries that were copied from
//!    a single secondary may never have been published; from now on they are.
//!
//! A life that learns of a later one stops for good. Lives are ordered by their time, and at random within one millisecond.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use order::Generation;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::ledger::Ledger;
use crate::position;
use crate::running::Running;
use crate::running::eras::Membership;
use mirror::{PeerLife, Settled, Stamp};
use order::state::State;
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};
use tlog::{GlobalIndex, TreeSize, UnixMillis};

/// Random bits at the end of a life's number.
const CHANCE: u32 = 22;

/// The life of a restored log, and what it began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Life {
    /// The number of the life. A later life has a larger number.
    pub id: u64,
    /// The generation that it was restored in.
    pub generation: Generation,
    /// How many entries it was restored with, over all shards.
    pub entries: GlobalIndex,
    /// By secondary: the storage that it had when the log was restored, and whether that storage was whole. A storage that has replaced this one may
    /// lack what an earlier life did meanwhile, so it does not count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub storages: BTreeMap<String, (String, bool)>,
    /// Closed shards that were restored with fewer entries than they were closed with: by name, the size that they were closed with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lowered: BTreeMap<String, TreeSize>,
    /// The settled state of the manifests that it was restored from. Rows of older versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<(u64, Generation)>,
    /// After a forced restore: the names of the secondaries that must accept its manifest before it signs. Third-party mirrors are not among them,
    /// since they accept no manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<Vec<String>>,
    /// If an earlier restore was forced and the log had not grown after it: the size of the log up to which entries that were signed may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<GlobalIndex>,
}

/// A life that begins now, after the one numbered `before`; `random` distinguishes it from others of the same millisecond.
pub(crate) fn new(now: UnixMillis, before: u64, random: u64) -> u64 {
    let chance = random & ((1 << CHANCE) - 1);
    let number = now.get().checked_shl(CHANCE).unwrap_or(u64::MAX) | chance;
    number.max(before.saturating_add(1))
}

/// When a life began. Older versions wrote just that down.
pub(crate) fn began(id: u64) -> UnixMillis {
    UnixMillis::new(if id >> 48 == 0 { id } else { id >> CHANCE })
}

impl Life {
    /// The size up to which a root that is signed after this state may be the second one for its size. `None` unless the log was restored by force
    /// and has not grown since. Rows of the first versions do not say whether a restore was forced.
    pub(crate) fn forks(&self, state: &State) -> Option<GlobalIndex> {
        let forced = self.forced.as_ref().map(|_| self.entries);
        let forced = forced.filter(|entries| *entries != GlobalIndex::new(u64::MAX));
        self.forks.max(forced).filter(|most| state.size <= *most)
    }

    /// [`Self::forks`], up to any size.
    pub(crate) fn may_fork(&self, state: &State) -> bool {
        self.forks(state).is_some()
    }

    /// Whether it was restored by force and nobody has changed the log since. Such a life counts for no more than what it was restored from, because
    /// secondaries that did not answer may know a later state of the log.
    fn is_tentative(&self, state: &State) -> bool {
        self.may_fork(state) && state.generation == self.generation
    }
}

/// The life of one log, and whether it may sign.
pub(crate) struct LogLife {
    running: Arc<Running>,
    /// The life of this log, once it has been read.
    restored: OnceCell<Option<Life>>,
    /// Whether it may sign: it was never restored, or its life is announced.
    announced: AtomicBool,
    /// Why it may not, when this process looked last.
    waits: ArcSwapOption<String>,
}

impl LogLife {
    pub(crate) fn new(running: Arc<Running>) -> Self {
        Self {
            running,
            restored: OnceCell::new(),
            announced: AtomicBool::new(false),
            waits: ArcSwapOption::empty(),
        }
    }

    /// Why it may not sign yet, as far as this process knows. A server that only takes writes says that too.
    pub(crate) fn waits(&self) -> Option<String> {
        // What another task found before it was announced may have been noted after that.
        let waits = || self.waits.load().as_deref().cloned();
        (!self.is_announced()).then(waits).flatten()
    }

    /// Whether it may sign, as far as this process knows.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.load(Relaxed)
    }

    /// The life of this log; `None` if it was never restored.
    pub(crate) async fn known(&self) -> Result<Option<&Life>, StoreError> {
        let read = async {
            let keys = &self.running.ledger.keys;
            if let Some(row) = self.running.ledger.store.get(&keys.life()).await? {
                let life = record::decode(&row);
                return life
                    .map(Some)
                    .map_err(|e| StoreError::Corrupt(format!("{}: {e}", keys.life())));
            }
            let Some(row) = self.running.ledger.store.get(&keys.restored()).await? else {
                return Ok(None);
            };
            let id = record::decode_number(&row)
                .map_err(|e| StoreError::Corrupt(format!("{}: {e}", keys.restored())))?;
            // Restored by an older version, which signed at once.
            Ok(Some(Life {
                id,
                generation: Generation::ZERO,
                entries: GlobalIndex::new(u64::MAX),
                storages: BTreeMap::new(),
                lowered: BTreeMap::new(),
                settled: None,
                forced: Some(Vec::new()),
                forks: None,
            }))
        };
        Ok(self.restored.get_or_try_init(|| read).await?.as_ref())
    }

    /// [`Life::may_fork`], as far as this process has read.
    pub(crate) fn may_fork(&self, state: &State) -> bool {
        let life = self.restored.get().and_then(Option::as_ref);
        life.is_some_and(|life| life.may_fork(state))
    }

    /// Whether it was restored, as far as this process has read.
    pub(crate) fn is_restored(&self) -> bool {
        self.restored.get().is_some_and(Option::is_some)
    }

    /// The life as requests to secondaries name it; `None` if the log was never restored.
    pub(crate) async fn for_peers(&self) -> Result<Option<PeerLife>, StoreError> {
        let life = self.known().await?;
        Ok(life.map(|life| PeerLife {
            id: life.id,
            entries: life.entries.get(),
        }))
    }

    /// Whether it may sign, as far as any process of this life has found.
    pub(crate) async fn may_sign(&self) -> Result<bool, StoreError> {
        Ok(match self.known().await? {
            Some(life) if !self.is_announced() => {
                self.running.ledger.announced_life().await? >= life.id
            }
            _ => true,
        })
    }

    /// The closed shards that have fewer entries here than they were closed with, each with the size that it was closed with: another restore may
    /// still find up to that many. Empty once this life may sign or, after a forced restore, once the log has grown.
    pub(crate) async fn lowered(
        &self,
        state: &State,
    ) -> Result<BTreeMap<String, TreeSize>, StoreError> {
        let may_sign = self.may_sign().await?;
        let life = self.known().await?;
        let open = life.filter(|life| !may_sign || life.may_fork(state));
        Ok(open.map_or_else(BTreeMap::new, |life| life.lowered.clone()))
    }

    /// What a manifest says about the life if it is sent now. `generation` is at most that of the state.
    pub(crate) async fn stamp(
        &self,
        state: &State,
        generation: Generation,
        edition: u64,
    ) -> Result<Stamp, StoreError> {
        let life = self.known().await?;
        let restored = life.map_or(0, |life| life.id);
        let settles = self.may_sign().await? && !life.is_some_and(|life| life.is_tentative(state));
        let before = life.and_then(|life| life.settled);
        let before = before.unwrap_or_default();
        let (by, generation) = if settles {
            (restored, generation)
        } else {
            before
        };
        Ok(Stamp {
            restored,
            entries: life.map_or(u64::MAX, |life| life.entries.get()),
            // When the life becomes able to sign, it settles more without a new slot; so the edition must grow.
            edition: 2 * edition + u64::from(settles),
            settled: Settled {
                life: by,
                generation: generation.get(),
            },
        })
    }

    /// Why this life of the log may not sign yet; `None` when it may, from then on.
    pub(crate) async fn unannounced(&self, state: &State) -> Result<Option<String>, StoreError> {
        if self.is_announced() {
            return Ok(None);
        }
        if let Some(life) = self.known().await?
            && let Some(why) = self.running.look_around(life, state).await?
        {
            self.waits.store(Some(Arc::new(why.clone())));
            return Ok(Some(why));
        }
        self.announced.store(true, Relaxed);
        Ok(None)
    }
}

impl Running {
    async fn look_around(&self, life: &Life, state: &State) -> Result<Option<String>, StoreError> {
        let (store, keys) = (&*self.ledger.store, &self.ledger.keys);
        if self.ledger.announced_life().await? >= life.id {
            return Ok(None);
        }
        let mut counted = Vec::new();
        match &life.forced {
            Some(names) => {
                let mut missing = Vec::new();
                for name in names {
                    let (storage, _) = position::storage(store, keys, name).await?;
                    let row = position::manifest(store, keys, name).await?;
                    if row.is_none_or(|row| row.life < life.id) {
                        missing.push(name.as_str());
                    }
                    counted.push(position::unmoved(keys, name, storage));
                }
                if !missing.is_empty() {
                    return Ok(Some(format!(
                        "the restored log signs nothing before the secondaries that it was restored from have accepted it; not yet accepted by: {}",
                        missing.join(", ")
                    )));
                }
            }
            None => {
                let eras = self.eras.load_full();
                let members = eras.members().iter();
                for of in members.filter(|of| of.generation <= life.generation) {
                    match self.ledger.announced_to(of, life).await? {
                        Acceptance::Enough(guards) => counted.extend(guards),
                        Acceptance::TooFew(why) => return Ok(Some(why)),
                    }
                    // For two lives with different entries to pass, one secondary would have to verify both, which it never does.
                    let count = of.enough().max(of.quorum as usize);
                    match self.holding(of, count, life.entries, state).await? {
                        Some(holding) => counted.extend(holding),
                        None => {
                            return Ok(Some(format!(
                                "the restored log signs nothing before {count} of its {} secondaries have verified the {} entries that it was restored with",
                                of.secondaries.len(),
                                life.entries
                            )));
                        }
                    }
                }
            }
        }
        counted.push(Guard::AtMost(keys.announced(), life.id));
        let transaction = Transaction {
            guards: counted,
            puts: vec![(keys.announced(), record::encode_numbered(life.id, &life.id))],
            ..Transaction::default()
        };
        match store.transact(transaction).await {
            Outcome::Committed => Ok(None),
            // Another process has announced the life, or has found that a secondary lacks what it was counted for.
            Outcome::Refused if self.ledger.announced_life().await? >= life.id => Ok(None),
            Outcome::Refused => Ok(Some(
                "the restored log signs nothing before its secondaries have accepted it; the storage of one of them was replaced while they were counted, so they are counted again".to_owned(),
            )),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// Whether `count` secondaries of a membership have verified everything before a global index. If so, returns guards for a transaction that
    /// relies on it: they refuse the transaction once a counted secondary turns out to hold less.
    pub(crate) async fn holding(
        &self,
        of: &Membership,
        count: usize,
        index: GlobalIndex,
        state: &State,
    ) -> Result<Option<Vec<Guard>>, StoreError> {
        let Some((last, size)) = position::end(state, index) else {
            return Ok(Some(Vec::new()));
        };
        let held = self.held(&last.identity.name).await?;
        let has = |held: &&position::SecondaryHolding| {
            held.verified.as_ref().is_some_and(|v| v.size >= size)
        };
        let have = held.iter().filter(|held| of.names(held)).filter(has);
        let keys = &self.ledger.keys;
        let counted = have.map(|one| position::unmoved(keys, &one.secondary, one.storage));
        let counted: Vec<_> = counted.collect();
        Ok((counted.len() >= count).then_some(counted))
    }
}

/// Whether enough secondaries of a membership have accepted a life.
enum Acceptance {
    /// They have; with guards for a transaction that relies on it.
    Enough(Vec<Guard>),
    /// The reason why they have not.
    TooFew(String),
}

impl Ledger {
    /// The newest life that was announced; 0 if none was.
    async fn announced_life(&self) -> Result<u64, StoreError> {
        let row = self.store.get(&self.keys.announced()).await?;
        let row = row.and_then(|row| record::decode_numbered::<u64>(&row).ok());
        Ok(row.map_or(0, |(_, id)| id))
    }

    /// Whether enough secondaries of a membership have accepted this life.
    async fn announced_to(&self, of: &Membership, life: &Life) -> Result<Acceptance, StoreError> {
        let (store, keys) = (&*self.store, &self.keys);
        let (mut missing, mut counted, mut replaced) = (Vec::new(), Vec::new(), Vec::new());
        for secondary in &of.secondaries {
            let name = secondary.name.as_str();
            let (number, storage) = position::storage(store, keys, name).await?;
            let row = position::manifest(store, keys, name).await?;
            // A third-party mirror refuses no earlier life, so it never counts here; a restore does not count it either.
            let Some(row) = row.filter(|row| row.vkey == secondary.vkey && row.life >= life.id)
            else {
                missing.push(name);
                continue;
            };
            let lost = storage.is_some_and(|now| now.incarnation == row.incarnation && !now.whole);
            let is = |(of, whole): &(String, bool)| row.incarnation == *of && !(*whole && lost);
            match life.storages.get(name).is_some_and(is) {
                true => counted.push(position::unmoved(keys, name, number)),
                false => replaced.push(name),
            }
        }
        let have = counted.len();
        if have >= of.enough() {
            return Ok(Acceptance::Enough(counted));
        }
        let mut why = format!(
            "the restored log signs nothing before {} of its {} secondaries have accepted it, so that no other copy of it can publish; accepted by {have} so far",
            of.enough(),
            of.secondaries.len()
        );
        if !missing.is_empty() {
            why += &format!(
                "; not yet accepted by: {} (a secondary that runs an older version of logd does not count)",
                missing.join(", ")
            );
        }
        if !replaced.is_empty() {
            why += &format!(
                "; replaced since the restore, so they do not count: {}",
                replaced.join(", ")
            );
        }
        if of.secondaries.len() - replaced.len() < of.enough() {
            why += &format!(
                "; too few secondaries are left: keep this server running until {} of them have all its entries, then stop it, keep its folder, and restore the log again into a new one; that needs --force, since a replaced storage does not count: read \"After a forced restore\" in docs/operations.md first",
                of.enough()
            );
        }
        Ok(Acceptance::TooFew(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_ordered_by_time_then_by_chance_and_always_grow() {
        let now = 1_790_000_000_123;
        let life = new(UnixMillis::new(now), 0, u64::MAX);
        assert_eq!(began(life), UnixMillis::new(now));
        assert!(new(UnixMillis::new(now + 1), 0, 0) > life);
        // A clock that was set back, and what an older version wrote.
        assert_eq!(new(UnixMillis::new(5), life, 7), life + 1);
        assert_eq!(began(now), UnixMillis::new(now));
        assert!(life > now);
        assert_ne!(
            new(UnixMillis::new(now), 0, 1),
            new(UnixMillis::new(now), 0, 2),
            "two of one millisecond are two"
        );
    }
}
