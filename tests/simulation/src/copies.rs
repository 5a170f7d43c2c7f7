//! The judge of the copies: what secondaries cosigned, what they have, and whether it was enough for what readers see.
//!
//! What binds an entry follows from the history of the log, which is complete only later. So it is noted who had what when a position was
//! decided, and judged when all is calm or the history is about to be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use logconfig::LogConfig;
use mirror::Mirror;
use order::Generation;
use order::keys::Keys;
use store::{Coordination as _, Key, MemoryCoordination, MemoryObjects, Objects as _, record};
use tlog::mirror::origin_hash;
use tlog::{Checkpoint, Hash, Note, Policy, TileKind, TilePath, bundle};

use crate::eras::Eras;
use crate::judge::Judge;
use crate::plan::Change;
use crate::secondary::Secondary;
use crate::trees;
use crate::writer::LOG;

/// Rows of a coordination store.
pub type StoreRows = BTreeMap<Key, Bytes>;

/// A position that was decided: its root, and who had it at that moment.
struct Decided {
    root: Hash,
    holders: Vec<String>,
    /// The newest generation at that moment.
    generation: u64,
    /// By another restored primary, whose history is not that of the log.
    elsewhere: bool,
}

#[derive(Default)]
struct Known {
    /// By secondary, origin and size: the root that it cosigned. After a restore, each disk that forgot what was not published is one of
    /// its own.
    cosigned: BTreeMap<(String, String, u64), Hash>,
    /// By origin: the newest checkpoint that readers saw.
    shown: BTreeMap<String, (u64, Hash)>,
    /// By origin and size, since the log began or was restored.
    decided: BTreeMap<(String, u64), Decided>,
    /// By origin and size: the witnesses on each checkpoint that readers saw.
    notes: BTreeMap<(String, u64), BTreeSet<Vec<String>>>,
    /// The largest number of a generation that the store was seen to have.
    generation: u64,
    /// Changes that were decided, each with the generation after it.
    told: Vec<(Change, u64)>,
    /// By origin: where the shards began that the log was restored with.
    starts: BTreeMap<String, u64>,
    /// By origin: how many entries they had.
    restored: BTreeMap<String, u64>,
    /// The same of another primary that was restored beside this one.
    twin: BTreeMap<String, u64>,
}

/// The judge of the copies of one life.
pub struct Copies {
    judge: Arc<Judge>,
    /// All witnesses that there are.
    witnesses: Option<Policy>,
    known: Mutex<Known>,
}

const ON_QUORUM: &str = "what is published is on the quorum";

impl Copies {
    /// With a policy that names all witnesses.
    pub fn new(judge: Arc<Judge>, witnesses: &str) -> Self {
        Self {
            witnesses: Policy::parse(witnesses).ok(),
            judge,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk of a secondary that remembers what it cosigned.
    fn disk(&self, secondary: &Secondary) -> String {
        match secondary.disks() {
            disks if disks > 1 && !self.known().restored.is_empty() => {
                format!("{} {disks}", secondary.name)
            }
            _ => secondary.name.clone(),
        }
    }

    /// Notes what a secondary has of a shard by its own rows. It has never had another root at that size.
    fn look(&self, secondary: &Secondary, origin: &str) -> Option<(u64, Hash)> {
        let (size, root) = secondary.holds(origin)?;
        let key = (self.disk(secondary), origin.to_owned(), size);
        let first = *self.known().cosigned.entry(key).or_insert(root);
        if first != root {
            let what = format!(
                "{}, {origin} at {size}: {first}, then {root}",
                secondary.name
            );
            self.judge.object("a secondary cosigns one history", what);
        }
        Some((size, root))
    }

    /// A secondary has cosigned so many entries of a shard.
    pub fn cosigned(&self, secondary: &Secondary, origin: &str, size: u64) {
        let held = self.look(secondary, origin);
        if secondary.running().is_some() && held.is_none_or(|(held, _)| held < size) {
            let what = format!(
                "{}, {origin}: cosigned {size}, has {held:?}",
                secondary.name
            );
            self.judge.object("a secondary has what it cosigns", what);
        }
    }

    /// An operator was told that a change is made, with the generation after it.
    pub fn told(&self, change: Change, generation: u64) {
        let judged = matches!(
            change,
            Change::Secondaries(_) | Change::Quorum(_) | Change::Policy(_)
        );
        if judged {
            self.known().told.push((change, generation));
        }
    }

    /// A row was written, by another restored primary or not. If it is a published position, it is noted who has it.
    pub fn written(
        &self,
        secondaries: &[Arc<Secondary>],
        store: &MemoryCoordination,
        (key, row): (&str, &Bytes),
        elsewhere: bool,
    ) {
        let Some(shard) = key.strip_prefix(&Keys::new(LOG).all_published()) else {
            return;
        };
        let origin = format!("example.org/{LOG}/{shard}");
        let read = record::decode_numbered::<BTreeMap<String, serde_json::Value>>(row);
        let root = read.as_ref().ok().and_then(|(_, row)| row.get("root"));
        let root = root.and_then(|root| serde_json::from_value(root.clone()).ok());
        let (Ok((size, _)), Some(root)) = (&read, root) else {
            let what = format!("{key}: {read:?}");
            return self.judge.object("the judge reads rows", what);
        };
        let at = (origin, *size);
        if *size == 0 || self.known().decided.contains_key(&at) {
            return;
        }
        let number = |secondary: &Secondary| storage_number(store, &secondary.name);
        let holders = self.holders(secondaries, &at.0, *size, root, &number);
        let mut known = self.known();
        while has_generation(store, known.generation + 1) {
            known.generation += 1;
        }
        let generation = known.generation;
        let decided = Decided {
            root,
            holders,
            generation,
            elsewhere,
        };
        known.decided.insert(at, decided);
    }

    /// Readers see this checkpoint of a shard from now on.
    pub fn shown(&self, path: &str, note: &str) {
        let of_log = path
            .strip_prefix(LOG)
            .is_some_and(|path| path.starts_with('/'));
        let Ok(parsed) = Note::parse(note) else {
            return;
        };
        let Ok(Checkpoint {
            origin, size, root, ..
        }) = Checkpoint::parse(parsed.text)
        else {
            return;
        };
        if !of_log || size == 0 {
            return;
        }
        let signed = self.witnesses.iter().flat_map(|policy| &policy.witnesses);
        let signed = signed.filter(|one| matches!(one.key.find(&parsed), Ok(Some(_))));
        let signed: Vec<String> = signed.map(|one| one.name.clone()).collect();
        let mut known = self.known();
        let at = (origin.clone(), size);
        let decided = known.decided.get(&at).map(|decided| decided.root);
        let has = |of: &BTreeMap<String, u64>| of.get(&at.0).is_some_and(|has| *has >= size);
        let restored = has(&known.restored) || has(&known.twin);
        if decided != Some(root) && !restored {
            let what = format!("{origin} at {size}: {root}, decided {decided:?}");
            self.judge.object("a position is decided first", what);
        }
        known.notes.entry(at).or_default().insert(signed);
        let newest = known.shown.entry(origin).or_insert((size, root));
        if newest.0 < size {
            *newest = (size, root);
        }
    }

    /// The secondaries that have so many entries of a shard, under this root; or had them, and the log, whose row about the storage has that
    /// number, cannot know that they are lost.
    fn holders(
        &self,
        secondaries: &[Arc<Secondary>],
        origin: &str,
        size: u64,
        root: Hash,
        number: &dyn Fn(&Secondary) -> u64,
    ) -> Vec<String> {
        let mut held = Vec::new();
        for secondary in secondaries {
            let has = self.look(secondary, origin);
            let mut has = has
                .into_iter()
                .chain(secondary.had(origin, number(secondary)));
            let key = (self.disk(secondary), origin.to_owned(), size);
            let other = self.known().cosigned.get(&key).is_some_and(|r| *r != root);
            if has.any(|(has, _)| has >= size) && !other {
                held.push(secondary.name.clone());
            }
        }
        held
    }

    /// The same, without any that are lost.
    fn holders_now(
        &self,
        secondaries: &[Arc<Secondary>],
        origin: &str,
        (size, root): (u64, Hash),
    ) -> Vec<String> {
        self.holders(secondaries, origin, size, root, &|_| u64::MAX)
    }

    /// A secondary was started again, and says that it has so many entries of a shard: no less than its rows.
    pub fn restarted(&self, secondary: &Secondary, mirror: &Mirror) {
        for shard in mirror.status() {
            let held = self.look(secondary, &shard.origin);
            let size = held.map_or(0, |(size, _)| size);
            // A store that went back beneath its servers is where two histories come from, and the alarm stays.
            let raised = shard.alarm.is_some() && !self.judge.is_in_doubt();
            let alarm = raised || shard.broken.is_some();
            let known = shard.broken.is_some() && secondary.is_touched();
            if !known && (shard.mirrored.get() < size || shard.next.get() < size || alarm) {
                let what = format!("{}: its rows have {size}: {shard:?}", secondary.name);
                self.judge.object("a secondary finds what it had", what);
            }
        }
    }

    /// What readers saw beyond these sizes, by origin, is lost: the log was restored by force.
    pub fn forget_lost(&self, agreed: &BTreeMap<String, u64>) {
        let has = |origin: &String, size| agreed.get(origin).is_some_and(|has| *has >= size);
        let mut known = self.known();
        known.shown.retain(|origin, (size, _)| has(origin, *size));
    }

    /// The log was restored with these shards, by origin. `forks`: it may have a second history, which its secondaries cosign.
    pub fn restored(
        &self,
        starts: BTreeMap<String, u64>,
        sizes: BTreeMap<String, u64>,
        generation: u64,
        forks: bool,
    ) {
        let mut known = self.known();
        known.generation = generation;
        known.decided.clear();
        known.notes.clear();
        known.told.clear();
        known.twin.clear();
        if forks {
            known.cosigned.clear();
        }
        (known.starts, known.restored) = (starts, sizes);
    }

    /// Another primary was restored with these shards, by origin.
    pub fn restored_too(&self, sizes: BTreeMap<String, u64>) {
        self.known().twin = sizes;
    }

    /// How many entries of a shard the log was restored with.
    pub fn restored_size(&self, origin: &str) -> Option<u64> {
        self.known().restored.get(origin).copied()
    }

    /// A shard that the log was restored with and that is not signed again yet: its secondaries must take the log first.
    pub fn unsigned(&self, objects: &MemoryObjects) -> Option<String> {
        let restored = self.known().restored.clone();
        let sized = restored.into_iter().filter(|(_, size)| *size > 0);
        let mut shards =
            sized.filter_map(|(origin, _)| Some(origin.rsplit_once('/')?.1.to_owned()));
        shards.find(|shard| {
            let found = objects.get(&format!("{LOG}/{shard}/checkpoint"));
            !matches!(found.now_or_never(), Some(Ok(Some(_))))
        })
    }

    /// Everything that was decided so far, judged by the history in these rows.
    pub fn review(&self, rows: &StoreRows) -> Option<Eras> {
        let eras = match Eras::read(rows, &self.known().starts) {
            Ok(eras) => eras,
            Err(error) => {
                self.judge.object("the judge reads rows", error);
                return None;
            }
        };
        let known = self.known();
        let ours = known.decided.iter().filter(|(_, one)| !one.elsewhere);
        for ((origin, size), decided) in ours {
            let Some(start) = eras.start(origin) else {
                let what = format!("{origin} at {size} is published");
                self.judge
                    .object("the history knows what is published", what);
                continue;
            };
            // What the log was restored with is older than its history.
            if eras.of_last(start + size).is_none() {
                continue;
            }
            let (holders, until) = (&decided.holders, decided.generation);
            if !eras
                .binding(start + size, until)
                .any(|era| era.is_held(holders))
            {
                let era = eras.of_last(start + size);
                let what = format!("{origin} at {size}: {holders:?} had it, {era:?}");
                self.judge.object(ON_QUORUM, what);
            }
        }
        for ((origin, size), by) in &known.notes {
            let end = eras.start(origin).unwrap_or(0) + size;
            // As above: what is signed again of it is under a policy that the history may not have.
            if eras.of_last(end).is_none() {
                continue;
            }
            let witnessed = |by: &Vec<String>| eras.at(end).any(|era| era.is_witnessed(by));
            if let Some(by) = by.iter().find(|by| !witnessed(by)) {
                let what = format!("{origin} at {size}: {by:?}, {:?}", eras.of_last(end));
                self.judge
                    .object("what is published has its witnesses", what);
            }
        }
        for (change, generation) in &known.told {
            let era = eras.generation(*generation);
            let fits = era.is_some_and(|era| match change {
                Change::Secondaries(chosen) => {
                    let number = |name: &String| name.rsplit('-').next()?.parse().ok();
                    let chosen_one = |name| number(name).is_some_and(|n| chosen.has(n));
                    era.secondaries.iter().all(chosen_one) && era.quorum == chosen.quorum as usize
                }
                Change::Quorum(quorum) => era.quorum == *quorum as usize,
                Change::Policy(chosen) => era.policy.is_empty() == (chosen.who == 0),
                _ => true,
            });
            if !fits {
                let what = format!("{change:?}, generation {generation}: {era:?}");
                self.judge.object("a change is what its author asked", what);
            }
        }
        drop(known);
        Some(eras)
    }

    /// What a secondary of this document lacks of what readers saw; all is calm.
    pub fn lacking(&self, secondaries: &[Arc<Secondary>], config: &LogConfig) -> Option<String> {
        let shown = self.known().shown.clone();
        shown.into_iter().find_map(|(origin, (size, root))| {
            let held = self.holders_now(secondaries, &origin, (size, root));
            let named = config.merge.secondaries.iter();
            let mut lack = named.filter(|one| !held.contains(&one.name.to_string()));
            lack.next()
                .map(|one| format!("secondary {} lacks {origin} at {size}", one.name))
        })
    }

    /// All is calm: each secondary's entries lead to the root that it cosigned, and everything that readers saw is on the quorum.
    pub async fn last(&self, secondaries: &[Arc<Secondary>], rows: &StoreRows) {
        let Some(eras) = self.review(rows) else {
            return;
        };
        let shown = self.known().shown.clone();
        for (origin, (size, root)) in shown {
            let held = self.holders_now(secondaries, &origin, (size, root));
            if let Some(era) = eras.newest()
                && !era.is_held(&held)
            {
                let what = format!("{origin} at {size}: at the end {held:?} have it");
                self.judge.object(ON_QUORUM, what);
            }
            for secondary in secondaries {
                let Some((has, root)) = self.look(secondary, &origin) else {
                    continue;
                };
                let whole = match secondary.running() {
                    Some((_, mirror)) => whole(&mirror, &origin, has, root).await,
                    None => Err("it does not run".to_owned()),
                };
                if let Err(error) = whole {
                    let what = format!("{}, {origin} at {has}: {error}", secondary.name);
                    self.judge.object("a secondary has what it cosigns", what);
                }
            }
        }
    }
}

/// Whether a generation was decided.
fn has_generation(store: &MemoryCoordination, generation: u64) -> bool {
    let key = Keys::new(LOG).generation(Generation::new(generation));
    matches!(store.get(&key).now_or_never(), Some(Ok(Some(_))))
}

/// The number of the log's row about the storage of a secondary.
pub fn storage_number(store: &MemoryCoordination, secondary: &str) -> u64 {
    let row = store.get(&Keys::new(LOG).storage(secondary)).now_or_never();
    let row = row.and_then(Result::ok).flatten();
    row.and_then(|row| record::decode_number(&row).ok())
        .unwrap_or(0)
}

/// Whether the bundles of a mirror lead to the root.
async fn whole(mirror: &Mirror, origin: &str, size: u64, root: Hash) -> Result<(), String> {
    let hash = origin_hash(origin);
    let mut leaves = Vec::new();
    for tile in 0.. {
        let Some(path) = TilePath::at(TileKind::Entries, tile, size) else {
            break;
        };
        let bytes = mirror.tile(&hash, path).await.map_err(|e| e.to_string())?;
        let bytes = bytes.ok_or_else(|| format!("{path}: not there"))?;
        let all = bundle::entries(&bytes).map_err(|e| format!("{path}: {e}"))?;
        let width = usize::from(path.width);
        leaves.extend(all.iter().take(width).map(|entry| trees::leaf(entry)));
    }
    if leaves.len() as u64 != size {
        return Err(format!("{} entries", leaves.len()));
    }
    match trees::root(&leaves) == root.0 {
        true => Ok(()),
        false => Err("its entries have another root".to_owned()),
    }
}
