//! The judge of the copies: what secondaries cosigned, what they have, and whether it was enough for what readers see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mirror::Mirror;
use tlog::mirror::origin_hash;
use tlog::{Checkpoint, Hash, Note, Policy, TileKind, TilePath, bundle};

use crate::judge::{self, Judge};
use crate::peers::Peers;
use crate::secondary::Secondary;
use crate::writer::LOG;

#[derive(Default)]
struct Known {
    /// By secondary, origin and size: the root that it cosigned.
    cosigned: BTreeMap<(String, String, u64), Hash>,
    /// By origin: the newest checkpoint that readers saw.
    shown: BTreeMap<String, (u64, Hash)>,
}

/// The judge of the copies of one life.
pub struct Copies {
    judge: Arc<Judge>,
    peers: Peers,
    policy: Option<Policy>,
    known: Mutex<Known>,
}

impl Copies {
    /// With so many secondaries, and this policy for witnesses.
    pub fn new(judge: Arc<Judge>, peers: Peers, policy: &str) -> Self {
        let policy = Some(policy).filter(|policy| !policy.is_empty());
        Self {
            policy: policy.and_then(|policy| Policy::parse(policy).ok()),
            judge,
            peers,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a secondary has of a shard by its own rows. It has never had another root at that size.
    fn look(&self, secondary: &Secondary, origin: &str) -> Option<(u64, Hash)> {
        let (size, root) = secondary.holds(origin)?;
        let key = (secondary.name.clone(), origin.to_owned(), size);
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
        if held.is_none_or(|(held, _)| held < size) {
            let what = format!(
                "{}, {origin}: cosigned {size}, has {held:?}",
                secondary.name
            );
            self.judge.object("a secondary has what it cosigns", what);
        }
    }

    /// Readers see this checkpoint of a shard from now on.
    pub fn shown(&self, secondaries: &[Arc<Secondary>], path: &str, note: &str) {
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
        let held = self.holders(secondaries, &origin, size, root);
        if held.len() < self.peers.quorum as usize {
            let what = format!(
                "{origin} at {size}: {held:?} have it, the quorum is {}",
                self.peers.quorum
            );
            self.judge
                .object("what is published is on the quorum", what);
        }
        if let Some(policy) = &self.policy {
            let by = |at: usize| matches!(policy.witnesses[at].key.find(&parsed), Ok(Some(_)));
            if !policy.satisfied(by) {
                self.judge
                    .object("what is published has its witnesses", note.to_owned());
            }
        }
        let mut known = self.known();
        let newest = known.shown.entry(origin).or_insert((size, root));
        if newest.0 < size {
            *newest = (size, root);
        }
    }

    /// The secondaries that have so many entries of a shard, under this root.
    fn holders(
        &self,
        secondaries: &[Arc<Secondary>],
        origin: &str,
        size: u64,
        root: Hash,
    ) -> Vec<String> {
        let mut held = Vec::new();
        for secondary in secondaries {
            let Some((has, _)) = self.look(secondary, origin) else {
                continue;
            };
            let key = (secondary.name.clone(), origin.to_owned(), size);
            let other = self.known().cosigned.get(&key).is_some_and(|r| *r != root);
            if has >= size && !other {
                held.push(secondary.name.clone());
            }
        }
        held
    }

    /// A secondary was started again, and says that it has so many entries of a shard: no less than its rows.
    pub fn restarted(&self, secondary: &Secondary, mirror: &Mirror) {
        for shard in mirror.status() {
            let held = self.look(secondary, &shard.origin);
            let size = held.map_or(0, |(size, _)| size);
            let alarm = shard.alarm.is_some() || shard.broken.is_some();
            if shard.mirrored.get() < size || shard.next.get() < size || alarm {
                let what = format!("{}: its rows have {size}: {shard:?}", secondary.name);
                self.judge.object("a secondary finds what it had", what);
            }
        }
    }

    /// All is calm: each secondary's entries lead to the root that it cosigned, and everything that readers saw is on the quorum.
    pub async fn last(&self, secondaries: &[Arc<Secondary>]) {
        let shown = self.known().shown.clone();
        for (origin, (size, root)) in shown {
            let held = self.holders(secondaries, &origin, size, root);
            if held.len() < self.peers.quorum as usize {
                let what = format!("{origin} at {size}: at the end {held:?} have it");
                self.judge
                    .object("what is published is on the quorum", what);
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
        leaves.extend(all.iter().take(width).map(|entry| judge::leaf(entry)));
    }
    if leaves.len() as u64 != size {
        return Err(format!("{} entries", leaves.len()));
    }
    match judge::root(&leaves) == root.0 {
        true => Ok(()),
        false => Err("its entries have another root".to_owned()),
    }
}
