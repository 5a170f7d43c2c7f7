//! Finds the manifest to believe among those that the secondaries keep.
//!
//! What must never happen: the manifest of a copy that never signed anything is believed over that of a copy that did. The life of the former may
//! well be the later one.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::mirror::origin_hash;
use tlog::{GlobalIndex, Signer, TreeSize};

use crate::document;
use crate::position::Vouched;
use crate::replicate::manifest::Manifest;
use crate::restore::rules::{Opened, Rules};
use crate::restore::source::{Source, WithoutManifest};
use crate::restore::{Restore, RestoreError};
use crate::running::eras::Membership;
use mirror::{MAX_MANIFEST, Settled, SignedManifest};
use order::Generation;
use order::state::Phase;

/// How much a manifest may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// What its life has settled.
    settled: Settled,
    /// Whether its life may sign. If not, its life was restored from the one that settled this state.
    signs: bool,
    /// Its life, its number of slots and its edition, compared in this order.
    age: (u64, u64, u64),
}

impl Rank {
    /// The parts of the rank that concern only the life.
    fn of_life(self) -> (u64, bool, u64) {
        (self.settled.life, self.signs, self.age.0)
    }
}

/// A manifest that was found.
struct Found {
    manifest: Manifest,
    rank: Rank,
    /// How many entries its life was restored with, if it was restored and the envelope says so.
    entries: Option<GlobalIndex>,
}

/// The manifest that is believed.
pub(crate) struct Believed {
    pub(crate) manifest: Manifest,
    /// What its life has settled.
    pub(crate) settled: (u64, Generation),
    /// The latest life in any manifest that was found. It need not be the believed one: of two lives that were restored at the same time, the one
    /// that may sign is believed, even if it is the earlier one.
    pub(crate) life: u64,
    /// The largest number of entries that any life with the same settled state was restored with.
    pub(crate) entries: Option<GlobalIndex>,
    /// What each secondary has answered, by URL.
    pub(super) answered: BTreeMap<String, Answered>,
    /// The storages of its secondaries that any manifest found vouches for, each with the rank of that manifest.
    vouched: Vec<(Rank, Vouched)>,
}

/// What a secondary has answered to the question for its manifest.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    /// The storage that answered.
    pub(super) storage: Option<String>,
    /// Why it gave no manifest.
    pub(super) without: Option<WithoutManifest>,
    /// What the life of its manifest has settled.
    pub(super) settled: Option<Settled>,
}

impl Believed {
    /// The number of entries that a shard was closed with; `None` if it is not closed.
    fn closed(&self, shard: &str, phase: &Phase) -> Option<TreeSize> {
        let Phase::Frozen { length, .. } = phase else {
            return None;
        };
        Some(*self.manifest.lowered.get(shard).unwrap_or(length))
    }

    /// By the secondary's name: the storage that the restored log relies on, and whether it is whole. It is the storage that answered, or else the
    /// last one that a manifest vouches for.
    pub(super) fn relied_on(
        &self,
        members: &[Membership],
        sources: &[Source],
    ) -> BTreeMap<String, (String, bool)> {
        let vouched = self.storages();
        let mut relied_on = BTreeMap::new();
        for secondary in members.iter().flat_map(|of| &of.secondaries) {
            let name = secondary.name.as_str();
            let row = vouched.iter().find(|one| one.secondary == name);
            let row = row.filter(|one| one.vkey == secondary.vkey);
            let mut answered = sources
                .iter()
                .filter(|of| of.vkey.as_ref() == Some(&secondary.vkey) && of.incarnation.is_some());
            let one = match (answered.next(), row) {
                (Some(source), row) => source.incarnation.as_ref().map(|is| {
                    let whole = row.is_some_and(|row| row.whole && row.incarnation == *is);
                    (is.clone(), whole && source.faults.is_empty())
                }),
                (None, row) => row.map(|row| (row.incarnation.clone(), row.whole)),
            };
            relied_on.extend(one.map(|one| (name.to_owned(), one)));
        }
        relied_on
    }

    /// What it says about what a restore needs.
    pub(super) fn rules(&self) -> Result<Rules, RestoreError> {
        let members = self.members()?;
        let secondaries = members.iter().flat_map(|of| &of.secondaries);
        let vouched = secondaries.filter_map(|one| {
            let of = |row: &Vouched| row.secondary == one.name.as_str() && row.vkey == one.vkey;
            let key = (one.name.to_string(), one.vkey.clone());
            Some((key, self.newest(of)?))
        });
        let vouched = vouched.collect();
        let shards = self.manifest.state.shards.iter();
        let shards = shards.filter(|shard| shard.start().is_some());
        let shards = shards.map(|shard| Opened {
            name: shard.identity.name.clone(),
            closed: self.closed(&shard.identity.name, &shard.phase),
        });
        Ok(Rules {
            shards: shards.collect(),
            vouched,
            entries: self.entries,
            members,
        })
    }

    /// Whose copies count: the memberships that were not handed over, and the newest one.
    fn members(&self) -> Result<Vec<Membership>, RestoreError> {
        let manifest = &self.manifest;
        let config = document::whole(
            manifest.document.as_bytes(),
            &manifest.state.document,
            &manifest.state,
        )
        .map_err(|e| RestoreError::Contradiction(format!("the manifest's configuration: {e}")))?;
        let mut members = manifest.joint.clone();
        members.push(Membership {
            generation: manifest.state.generation,
            start: GlobalIndex::ZERO,
            quorum: config.merge.backup_quorum,
            secondaries: config.merge.secondaries,
        });
        Ok(members)
    }

    /// The last storage among the rows that `of` selects. Each row was true when it was written, and the newest row of the believed life names the
    /// last storage. A later life that signs nothing may still have noticed that this storage lost something.
    fn newest(&self, of: impl Fn(&Vouched) -> bool) -> Option<Vouched> {
        let all = || self.vouched.iter().filter(|(_, one)| of(one));
        let (rank, newest) = all().max_by_key(|(rank, one)| (rank.of_life(), one.number))?;
        let lost = all().any(|(by, one)| {
            let later = by.age.0 > rank.age.0 && one.number >= newest.number;
            later && one.incarnation == newest.incarnation && !one.whole
        });
        Some(Vouched {
            whole: newest.whole && !lost,
            ..newest.clone()
        })
    }

    /// The last storage of each secondary, from which the restored log starts.
    pub(crate) fn storages(&self) -> Vec<Vouched> {
        let names: BTreeSet<_> = self.vouched.iter().map(|(_, one)| &one.secondary).collect();
        let newest = |name: &String| self.newest(|one| one.secondary == *name);
        names.into_iter().filter_map(newest).collect()
    }
}

impl Restore {
    pub(crate) async fn manifest(
        &self,
        warnings: &mut Vec<String>,
    ) -> Result<Believed, RestoreError> {
        let path = format!("manifest/{}", origin_hash(&self.origin));
        let (mut best, mut why) = (None::<Found>, Vec::new());
        let (mut answered, mut vouched) = (BTreeMap::new(), Vec::new());
        let (mut life, mut counts) = (0, Vec::new());
        for url in &self.from {
            let mut storage = None;
            let found = self.one_manifest(url, &path, &mut storage).await;
            let without = match &found {
                Ok(Some(_)) => None,
                Ok(None) => Some(WithoutManifest::None),
                Err(e) => Some(WithoutManifest::Unusable(e.clone())),
            };
            why.extend(without.iter().map(|without| format!("{url}: {without}")));
            let settled = found.as_ref().ok().and_then(Option::as_ref);
            let one = Answered {
                storage,
                without,
                settled: settled.map(|found| found.rank.settled),
            };
            answered.insert(url.clone(), one);
            if let Ok(Some(found)) = found {
                let all = found.manifest.vouched.iter();
                vouched.extend(all.map(|one| (found.rank, one.clone())));
                life = found.rank.age.0.max(life);
                counts.push((found.rank.settled, found.entries));
                if best.as_ref().is_none_or(|best| best.rank < found.rank) {
                    best = Some(found);
                }
            }
        }
        match best {
            Some(Found { manifest, rank, .. }) => {
                warnings.extend(why);
                let settled = rank.settled;
                let counts = counts.into_iter().filter(|(of, _)| *of == settled);
                Ok(Believed {
                    manifest,
                    settled: (settled.life, Generation::new(settled.generation)),
                    life,
                    entries: counts.filter_map(|(_, entries)| entries).max(),
                    answered,
                    vouched,
                })
            }
            None => Err(RestoreError::Manifest {
                origin: self.origin.clone(),
                why,
            }),
        }
    }

    /// A secondary's manifest; `None` if it has none. Sets `storage` to the one that answered. An error says in words what is wrong.
    async fn one_manifest(
        &self,
        url: &str,
        path: &str,
        storage: &mut Option<String>,
    ) -> Result<Option<Found>, String> {
        let answer = self.asked(url, path, MAX_MANIFEST).await;
        let answer = answer.map_err(|e| e.to_string())?;
        *storage = answer.incarnation;
        if answer.status == 404 {
            return Ok(None);
        }
        let signed = SignedManifest::parse(&answer.body).map_err(|e| e.to_string())?;
        let manifest = Manifest::open(&signed, &self.kek).map_err(|e| e.to_string())?;
        let key = self.replication(&manifest)?;
        signed.verify(key.verifier()).map_err(|e| e.to_string())?;
        if signed.origin != self.origin {
            return Err(format!("its manifest is of {}", signed.origin));
        }
        let entries = signed.entries.filter(|entries| *entries != u64::MAX);
        Ok(Some(Found {
            manifest,
            rank: Rank {
                settled: signed.settled,
                signs: signed.may_sign(),
                age: signed.age(),
            },
            entries: entries.map(GlobalIndex::new),
        }))
    }

    pub(crate) fn replication(&self, manifest: &Manifest) -> Result<Signer, String> {
        let sealed = STANDARD
            .decode(&manifest.replication)
            .map_err(|e| e.to_string())?;
        let seed = self
            .kek
            .open(&sealed, &format!("replication/{}", self.origin))
            .map_err(|e| e.to_string())?;
        Signer::from_seed(&self.origin, &seed).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(settled: (u64, u64), life: u64) -> Rank {
        Rank {
            settled: Settled {
                life: settled.0,
                generation: settled.1,
            },
            signs: settled.0 == life,
            age: (life, 9, 9),
        }
    }

    #[test]
    fn what_settles_most_is_believed_then_what_signs_then_what_is_later() {
        let [lost, twin, later, first] = [
            rank((0, 5), 0),
            rank((0, 5), 8),
            rank((0, 5), 9),
            rank((7, 5), 7),
        ];
        assert!(first > lost && lost > later && later > twin);
        assert!(rank((0, 6), 8) > lost, "it was restored from more");
    }

    #[test]
    fn a_storage_is_what_the_life_that_signs_says_and_less_where_a_later_one_saw_it_lose_something()
    {
        let vouched = |incarnation: &str, number, whole| Vouched {
            secondary: "x".to_owned(),
            vkey: "key".to_owned(),
            incarnation: incarnation.to_owned(),
            number,
            whole,
        };
        let newest = |rows: Vec<(Rank, Vouched)>| {
            let believed = Believed {
                manifest: Manifest {
                    log: "log".into(),
                    state: order::state::State::default(),
                    document: "{}".into(),
                    joint: Vec::new(),
                    vouched: Vec::new(),
                    lowered: BTreeMap::new(),
                    forks: None,
                    keys: BTreeMap::new(),
                    replication: String::new(),
                },
                settled: (0, Generation::ZERO),
                life: 8,
                entries: None,
                answered: BTreeMap::new(),
                vouched: rows,
            };
            let storages = believed.storages();
            let [one] = &storages[..] else {
                panic!("{storages:?}")
            };
            (one.incarnation.clone(), one.whole)
        };
        let (first, twin) = (rank((7, 6), 7), rank((0, 5), 8));
        let is = |incarnation: &str, whole| (incarnation.to_owned(), whole);
        // The twin knows what was there before the first one noticed.
        let rows = vec![
            (first, vouched("a", 3, false)),
            (twin, vouched("a", 2, true)),
        ];
        assert_eq!(newest(rows), is("a", false));
        let rows = vec![
            (first, vouched("b", 4, true)),
            (twin, vouched("a", 2, true)),
        ];
        assert_eq!(newest(rows), is("b", true));
        let rows = vec![
            (first, vouched("a", 4, true)),
            (twin, vouched("a", 2, false)),
        ];
        assert_eq!(newest(rows), is("a", true));
        let rows = vec![
            (first, vouched("a", 2, true)),
            (twin, vouched("a", 3, false)),
        ];
        assert_eq!(newest(rows), is("a", false));
        let rows = vec![
            (first, vouched("a", 2, true)),
            (rank((7, 6), 9), vouched("b", 3, true)),
        ];
        assert_eq!(
            newest(rows),
            is("a", true),
            "a tie goes to the one that signs"
        );
    }
}
