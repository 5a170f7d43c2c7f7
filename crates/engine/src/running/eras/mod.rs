//! The configuration that is in force for each entry: a function of the order, never of "now". An **era** is the run of entries that
//! are ordered under one generation.
//!
//! A size of the log is published under the eras of its entries, even if the running configuration has changed since. So entries that were
//! ordered after a quorum was raised are never published under the old one.
//!
//! A change of the secondaries or of `backupQuorum` is **joint**: from its slot on, the earlier quorum and the new one must
//! both hold a size before it is published. The change is handed over, and the old quorum no longer needed, when
//!
//! 1. a quorum of the old secondaries holds a manifest that names the new ones, and
//! 2. a quorum of the new ones holds everything that was ordered before the change.
//!
//! So there is always a *base*: a membership whose quorum holds everything that was published. Manifests list the memberships from the base
//! on. This is enough for a restore. A restore asks N-q+1 of the N secondaries of every membership that the newest manifest it finds lists.
//! If a hand-over had led away from the oldest of those, a quorum of it would hold a manifest that names the next base; one of the
//! secondaries that were asked would have shown it, and the list would be longer. The same holds for that base, and so on to the current
//! one: its quorum holds everything that was published, and one of that quorum was asked.
//!
//! What must never happen: a size is published without the quorum of the base, or the base goes back.

use order::{Generation, SlotNumber};
use std::sync::Arc;

use bytes::Bytes;
use logconfig::{LogConfig, MergeConfig, SecondaryConfig, WitnessConfig};
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::position::{self, SecondaryHolding};
use crate::running::Running;
use order::keys::trailing_number;
use order::slot::{Control, Slot};
use store::record;
use store::{Guard, Key, Outcome, StoreError, Transaction};
use tlog::GlobalIndex;

/// Rows read at a time.
const SCAN_PAGE: usize = 64;

/// The secondaries of some generations, and how many of them must hold a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The first of these generations.
    pub generation: Generation,
    /// Global index of the first entry that is ordered under it.
    pub start: GlobalIndex,
    /// How many must hold a size before it is published.
    pub quorum: u32,
    /// The secondaries that the quorum counts.
    pub secondaries: Vec<SecondaryConfig>,
}

/// Whether both are the same secondary. It may have another address, but not another key.
pub(crate) fn same(one: &SecondaryConfig, other: &SecondaryConfig) -> bool {
    one.name == other.name && one.vkey == other.vkey
}

impl Membership {
    /// Whether the same secondaries and the same quorum are asked for.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let has = |one| other.secondaries.iter().any(|other| same(one, other));
        self.quorum == other.quorum
            && self.secondaries.len() == other.secondaries.len()
            && self.secondaries.iter().all(has)
    }

    /// Whether it names this secondary, by this key.
    pub(crate) fn names(&self, held: &SecondaryHolding) -> bool {
        let named =
            |one: &SecondaryConfig| one.name.as_str() == held.secondary && one.vkey == held.vkey;
        self.secondaries.iter().any(named)
    }

    /// How many of its secondaries must hold a manifest that names the next membership before the next one takes over, when `foreign` of them are
    /// third-party mirrors, which keep no manifest. A restore counts only the secondaries that keep one, and asks N-q+1 of them; every such group
    /// must contain one that has the manifest. If there are fewer, only a forced restore is possible, and one manifest is enough for it.
    pub fn told(&self, foreign: usize) -> usize {
        let (quorum, own) = (
            self.quorum as usize,
            self.secondaries.len().saturating_sub(foreign),
        );
        quorum.saturating_sub(foreign).max(own.min(1).min(quorum))
    }

    /// How many of its secondaries must be asked to include one from every quorum: N-q+1.
    pub fn enough(&self) -> usize {
        (self.secondaries.len() + 1).saturating_sub(self.quorum as usize)
    }
}

/// A generation, as far as the merge asks for it.
#[derive(Clone, Debug)]
struct Era {
    generation: Generation,
    /// Global index of the first entry that is ordered under it.
    start: GlobalIndex,
    merge: Arc<MergeConfig>,
    witnesses: Arc<WitnessConfig>,
}

impl Era {
    fn new(generation: Generation, start: GlobalIndex, document: &LogConfig) -> Self {
        Self {
            generation,
            start,
            merge: Arc::new(document.merge.clone()),
            witnesses: Arc::new(document.witnesses.clone()),
        }
    }

    fn membership(&self) -> Membership {
        Membership {
            generation: self.generation,
            start: self.start,
            quorum: self.merge.backup_quorum,
            secondaries: self.merge.secondaries.clone(),
        }
    }
}

/// The eras from the one that covers what was published last up to now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eras {
    /// The generation that was written down as the base; 0 before one was.
    base: Generation,
    /// The memberships that bind, the base first; one when no change is joint.
    members: Vec<Membership>,
    /// Oldest first, without gaps.
    list: Vec<Era>,
}

impl Eras {
    pub(crate) fn newest(&self) -> Generation {
        self.list
            .last()
            .map_or(Generation::ZERO, |era| era.generation)
    }

    /// The generation that is written down as the base; 0 before one is.
    pub(crate) fn base(&self) -> Generation {
        self.base
    }

    /// The memberships that bind, the base first.
    pub(crate) fn members(&self) -> &[Membership] {
        &self.members
    }

    /// Whether a change of the secondaries or of the quorum is not handed over yet.
    pub(crate) fn joint(&self) -> bool {
        self.members.len() > 1
    }

    /// Whether one of them names this secondary, by this key.
    pub(crate) fn names(&self, secondary: &str, vkey: &str) -> bool {
        let mut all = self.members.iter().flat_map(|of| &of.secondaries);
        all.any(|one| one.name.as_str() == secondary && one.vkey == vkey)
    }

    /// Every secondary that one of them names, the newest first; each once. A secondary whose name another one has taken is not asked any
    /// more.
    pub(crate) fn secondaries(&self) -> Vec<SecondaryConfig> {
        let mut all: Vec<SecondaryConfig> = Vec::new();
        for one in self.members.iter().rev().flat_map(|of| &of.secondaries) {
            if all.iter().all(|other| other.name != one.name) {
                all.push(one.clone());
            }
        }
        all
    }

    /// The witnesses that cosign a checkpoint over everything before this global index: of the newest era that begins there or before.
    pub(crate) fn witnesses(&self, end: GlobalIndex) -> Option<Arc<WitnessConfig>> {
        let covered = self.list.iter().rev().find(|era| era.start <= end);
        let era = covered.or(self.list.first())?;
        Some(Arc::clone(&era.witnesses))
    }

    /// The storage nodes that these eras name.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &str> {
        let nodes = self.list.iter().flat_map(|era| &era.merge.storage.nodes);
        nodes.map(|node| node.name.as_str())
    }

    fn push(&mut self, mut era: Era) {
        if let Some(last) = self.list.last() {
            if last.merge == era.merge {
                era.merge = Arc::clone(&last.merge);
            }
            if last.witnesses == era.witnesses {
                era.witnesses = Arc::clone(&last.witnesses);
            }
        }
        self.joined(era.membership());
        self.list.push(era);
    }

    /// Adds a membership. One that equals the last replaces it, since the addresses of its secondaries can have changed.
    fn joined(&mut self, member: Membership) {
        match self.members.last_mut() {
            Some(last) if last.same(&member) => last.secondaries = member.secondaries,
            _ => self.members.push(member),
        }
    }

    /// Drops the memberships before the one of `base`.
    fn handed_over(&mut self, base: Generation) {
        self.base = self.base.max(base);
        let stay = self.members.iter().rposition(|of| of.generation <= base);
        self.members.drain(..stay.unwrap_or(0));
    }

    /// How many eras at the beginning are published whole and can be dropped; the newest of them stays.
    fn past(&self, published: GlobalIndex) -> usize {
        let after = self.list.iter().skip(1);
        after.take_while(|era| era.start <= published).count()
    }

    /// Drops the eras that [`Self::past`] counts.
    fn prune(&mut self, published: GlobalIndex) {
        self.list.drain(..self.past(published));
    }
}

impl Ledger {
    /// The era of a generation, from its slot; `None` when that is not known, because the log was restored since or an older version kept
    /// no index.
    async fn era(&self, generation: Generation) -> Result<Option<Era>, StoreError> {
        let keys = &self.keys;
        let key = keys.generation(generation);
        let Some(row) = self.store.get(&key).await? else {
            return Ok(None);
        };
        let corrupt = |e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`"));
        let number = record::decode_number(&row).map_err(corrupt)?;
        let item = keys.history_item(SlotNumber::new(number));
        let Some(bytes) = self.store.get(&item).await? else {
            return Ok(None);
        };
        let slot: Slot = record::decode(&bytes).map_err(corrupt)?;
        let decided = slot.control.as_ref().map(|decision| &decision.control);
        match decided {
            Some(Control::Reconfigure { base, document, .. }) if base.next() == generation => {
                let document = self.settings(document).await?;
                Ok(Some(Era::new(generation, slot.start, &document)))
            }
            _ => Ok(None),
        }
    }

    /// Reads back the eras of the unpublished entries, and the memberships that bind.
    async fn read_eras(&self) -> Result<Eras, StoreError> {
        let (store, keys, state) = (&*self.store, &self.keys, self.state());
        let published = position::published_index(store, keys, &state).await?;
        let base = self.base().await?;
        let (mut list, mut generation) = (Vec::new(), state.generation);
        while generation > Generation::ZERO {
            let era = match self.era(generation).await? {
                Some(era) => era,
                // It binds all entries, of every era.
                None if list.is_empty() => Era::new(
                    generation,
                    GlobalIndex::ZERO,
                    &self.settings(&state.document).await?,
                ),
                None => break,
            };
            let covers = era.start <= published && base.is_none_or(|base| generation <= base);
            list.push(era);
            if covers {
                break;
            }
            generation = generation.before();
        }
        let mut eras = Eras::default();
        let corrupt = |key: &str, e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`"));
        let together = keys.inherited_together();
        if let Some(row) = store.get(&together).await? {
            let inherited: Vec<Membership> =
                record::decode(&row).map_err(|e| corrupt(&together, e))?;
            inherited.into_iter().for_each(|of| eras.joined(of));
        }
        for (key, row) in self.inherited().await? {
            eras.joined(record::decode(&row).map_err(|e| corrupt(&key, e))?);
        }
        list.into_iter().rev().for_each(|era| eras.push(era));
        // Without a row for the base, nothing was published under two memberships, so all published entries are under the first.
        eras.handed_over(base.unwrap_or_default());
        eras.prune(published);
        Ok(eras)
    }

    /// The memberships that a restored log took over, each in a row of its own, oldest first.
    async fn inherited(&self) -> Result<Vec<(Key, Bytes)>, StoreError> {
        let prefix = self.keys.inherited();
        let (mut rows, mut from) = (Vec::new(), prefix.clone());
        loop {
            let page = self.store.scan(&prefix, &from, SCAN_PAGE).await?;
            let full = page.len() == SCAN_PAGE;
            rows.extend(page);
            match rows.last() {
                Some((last, _)) if full => from = format!("{last}\0"),
                _ => return Ok(rows),
            }
        }
    }

    /// The generation whose quorum holds everything that was published, as the row says.
    async fn base(&self) -> Result<Option<Generation>, StoreError> {
        let key = self.keys.handover();
        let row = self.store.get(&key).await?;
        let row = row.as_deref().map(record::decode_numbered::<Generation>);
        let row = row.transpose().map(|row| row.map(|(_, base)| base));
        row.map_err(|e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`")))
    }
}

impl Running {
    /// Adds the generations that were decided since the last call.
    pub(crate) async fn update_eras(&self) -> Result<(), StoreError> {
        let wanted = self.ledger.state().generation;
        let known = self.eras.load().newest();
        if known == wanted {
            return Ok(());
        }
        if known == Generation::ZERO {
            let read = Arc::new(self.ledger.read_eras().await?);
            self.eras.rcu(|old| match old.newest() {
                Generation::ZERO => Arc::clone(&read),
                _ => Arc::clone(old),
            });
            return Ok(());
        }
        let mut generation = known;
        while generation < wanted {
            generation = generation.next();
            let era = self.ledger.era(generation).await?.ok_or_else(|| {
                let key = self.ledger.keys.generation(generation);
                StoreError::Corrupt(format!("{key} is missing; run `logd fsck`"))
            })?;
            self.eras.rcu(|old| {
                let mut eras = Eras::clone(old);
                if eras.newest().next() == generation {
                    eras.push(era.clone());
                }
                eras
            });
        }
        Ok(())
    }

    /// Learns from the row if another process has handed a change over.
    pub(crate) async fn update_base(&self) -> Result<(), StoreError> {
        if let Some(base) = self.ledger.base().await? {
            self.eras.rcu(|old| {
                let mut eras = Eras::clone(old);
                eras.handed_over(base);
                eras
            });
        }
        Ok(())
    }

    /// Drops the eras whose entries are all published.
    pub(crate) fn forget_eras(&self, published: GlobalIndex) {
        if self.eras.load().past(published) > 0 {
            self.eras.rcu(|old| {
                let mut eras = Eras::clone(old);
                eras.prune(published);
                eras
            });
        }
    }

    /// Writes down that a generation is the base, if the secondaries that were counted for that still hold what they held: `counted` are
    /// their guards. Returns whether it is now, or a later one.
    pub(crate) async fn hand_over(
        &self,
        generation: Generation,
        counted: Vec<Guard>,
    ) -> Result<bool, StoreError> {
        let keys = &self.ledger.keys;
        let eras = self.eras.load_full();
        let all = eras.members().last().map(|of| of.generation);
        let mut passed = eras.members().iter().rev();
        let base = passed.find(|of| of.generation <= generation);
        let mut transaction = Transaction {
            guards: counted,
            puts: vec![(
                keys.handover(),
                record::encode_numbered(generation.get(), &generation),
            )],
            ..Transaction::default()
        };
        let only_later = Guard::AtMost(keys.handover(), generation.get());
        transaction.guards.push(only_later);
        // The memberships before the base, which a restored log took over, bind nobody any more.
        let done = all.is_some_and(|all| all <= generation);
        if done {
            transaction.deletes.push(keys.inherited_together());
        }
        for (key, _) in self.ledger.inherited().await? {
            let of = trailing_number(&key).map(Generation::new);
            let before = of.is_some_and(|of| base.is_some_and(|base| of < base.generation));
            if done || before {
                transaction.deletes.push(key);
            }
        }
        match self.ledger.store.transact(transaction).await {
            // Refused: another process has written a later base, or something about one of the storages.
            Outcome::Committed | Outcome::Refused => {}
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e),
        }
        self.update_base().await?;
        self.progress.merged.send_modify(|count| *count += 1);
        Ok(self.eras.load().base() >= generation)
    }

    /// The sizes of a shard that the secondaries of the binding memberships have verified. A row counts only for the live incarnation, and
    /// only under the key that the configuration names.
    pub(crate) async fn held(&self, shard: &str) -> Result<Vec<SecondaryHolding>, StoreError> {
        let (store, keys) = (&*self.ledger.store, &self.ledger.keys);
        let mut all = Vec::new();
        for secondary in self.eras.load().secondaries() {
            let name = secondary.name.to_string();
            let (storage, _) = position::storage(store, keys, &name).await?;
            let live = position::live(store, keys, &name).await?;
            let live = live.filter(|live| live.vkey == secondary.vkey);
            let verified = match &live {
                Some(live) => {
                    position::verified(store, keys, &name, &live.incarnation, shard).await?
                }
                None => None,
            };
            all.push(SecondaryHolding {
                secondary: name,
                vkey: secondary.vkey,
                live,
                verified,
                storage,
            });
        }
        Ok(all)
    }

    pub(crate) fn held_by_before(&self) -> Option<(Generation, String)> {
        let eras = self.eras.load();
        let [before @ .., _] = eras.members() else {
            return None;
        };
        let first = before.first()?;
        let names = before.iter().flat_map(|of| &of.secondaries);
        let names: std::collections::BTreeSet<_> = names.map(|one| one.name.to_string()).collect();
        let names: Vec<_> = names.into_iter().collect();
        let why = format!(
            "the secondaries of generation {} to {} ({}) may not know of those of generation {}: a restore from them alone would miss what is published from now on, and not notice",
            first.generation,
            eras.newest().before(),
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            },
            eras.newest(),
        );
        Some((eras.newest(), why))
    }
}

#[cfg(test)]
mod tests;
