//! Asks the secondaries for the manifest to use, and for the checkpoints that each has cosigned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use logconfig::SecondaryConfig;
use tlog::mirror::origin_hash;
use tlog::{Checkpoint, CosignerKey, GlobalIndex, Note, Signer, TreeSize};

use crate::document;
use crate::position::{UNNAMED, Vouched};
use crate::replicate::manifest::Manifest;
use crate::restore::{Restore, RestoreError};
use crate::running::eras::Membership;
use mirror::{COSIGNED, MAX_MANIFEST, Settled, SignedManifest};
use order::Generation;

/// A manifest that was found.
struct Found {
    manifest: Manifest,
    /// How much it may be believed: what its life has settled; then its age.
    rank: (Settled, (u64, u64, u64)),
    /// The life of the log that it describes.
    life: u64,
    /// How many entries this life was restored with, if it was restored and the envelope says so.
    entries: Option<GlobalIndex>,
}

/// The holdings of one secondary.
pub(crate) struct Source {
    pub(crate) url: String,
    /// Its key: that of the configured secondary at that URL, or the one that it cosigned with.
    pub(crate) vkey: Option<String>,
    /// Why it does not count for any shard: it gave no manifest.
    without_manifest: Option<String>,
    /// The storage that answers; `None` when the secondary does not name it, or does not answer.
    pub(crate) incarnation: Option<String>,
    /// The mirror checkpoints, by shard.
    pub(crate) has: BTreeMap<String, Checkpoint>,
    /// Shards for which it does not count, and why.
    pub(super) failed: BTreeMap<String, String>,
    /// Shards of which it has cosigned what it can't give, and why.
    pub(crate) damaged: BTreeMap<String, String>,
    /// How many questions for times it has left without an answer, in a row.
    pub(super) silent: AtomicU32,
}

impl Source {
    /// A shard was copied from others, with so many entries. If this one has cosigned more, of which it can't give its copy, it doesn't count;
    /// returns that size.
    pub(crate) fn discount_above(&mut self, shard: &str, size: TreeSize) -> Option<TreeSize> {
        let (why, has) = (self.damaged.get(shard)?, self.has.get(shard)?);
        let more = TreeSize::new(has.size);
        if more <= size {
            return None;
        }
        let why = format!(
            "it has cosigned {more} entries, of which the others have {size}, and its copy could not be read: {why}"
        );
        self.failed.insert(shard.to_owned(), why);
        Some(more)
    }
}

/// The manifest that is believed.
pub(crate) struct Believed {
    pub(crate) manifest: Manifest,
    /// What its life has settled.
    pub(crate) settled: (u64, Generation),
    /// The latest life of the log that any manifest found describes. It need not be the one that is believed: of two lives that were restored
    /// at once, the one that may sign is, although it may be the earlier one.
    pub(crate) life: u64,
    /// The most entries that any of these lives was restored with.
    pub(crate) entries: Option<GlobalIndex>,
    /// The storages that answered, and why they gave no manifest, by URL.
    answered: BTreeMap<String, (Option<String>, Option<String>)>,
    /// The storages of its secondaries that any manifest found vouches for, each with the life of that manifest.
    vouched: Vec<(u64, Vouched)>,
}

impl Believed {
    /// Whose copies count: the memberships that were not handed over, and the newest one.
    pub(crate) fn members(&self) -> Result<Vec<Membership>, RestoreError> {
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

    /// The reason, if any, why so many entries are too few. The log was restored before, and a restored log signs only once enough secondaries
    /// have verified its entries. If that life was lost before it signed, the manifests of the earlier life, which knew which secondary had
    /// what, may be gone.
    pub(crate) fn fewer(&self, start: GlobalIndex) -> Option<String> {
        let entries = self.entries.filter(|entries| start < *entries)?;
        Some(format!(
            "the log was restored with {entries} entries before, of which the secondaries that answered have {start}; one that did not answer must have the others"
        ))
    }

    /// Whether the storage that answers for a secondary is known to have less than was counted for that secondary.
    fn part(&self, secondary: &SecondaryConfig, incarnation: Option<&str>) -> bool {
        let of =
            |one: &Vouched| one.secondary == secondary.name.as_str() && one.vkey == secondary.vkey;
        // Each was true when it was written; the newest one found names the last storage.
        let newest = self.newest(of);
        newest.is_some_and(|one| !one.whole || one.incarnation != incarnation.unwrap_or(UNNAMED))
    }

    fn newest(&self, of: impl Fn(&Vouched) -> bool) -> Option<&Vouched> {
        let all = self.vouched.iter().filter(|(_, one)| of(one));
        let newest = all.max_by_key(|(life, one)| (*life, one.number));
        newest.map(|(_, one)| one)
    }

    /// The last storage of each secondary, from which the restored log starts.
    pub(crate) fn storages(&self) -> Vec<&Vouched> {
        let names: BTreeSet<_> = self.vouched.iter().map(|(_, one)| &one.secondary).collect();
        let newest = |name: &String| self.newest(|one| one.secondary == *name);
        names.into_iter().filter_map(newest).collect()
    }
}

/// What a secondary lacks that is new, or another operator's mirror, which never has one.
const NO_MANIFEST: &str = "it has no manifest of this log";

impl Source {
    /// The warning about another operator's mirror that has copies and, as it should, no manifest.
    pub(crate) fn is_mirror(&self) -> Option<String> {
        let mirror = self.incarnation.is_none() && !self.has.is_empty();
        let without = self.without_manifest.as_deref() == Some(NO_MANIFEST);
        (mirror && without).then(|| format!("{}: {NO_MANIFEST}", self.url))
    }
}

impl Restore {
    /// The newest checkpoint that a secondary has cosigned; another operator's mirror serves only that one.
    async fn newest(
        &self,
        url: &str,
        origin: &str,
        storage: Option<&str>,
    ) -> Result<Option<Bytes>, RestoreError> {
        const MOST: usize = 64 << 10;
        let hash = origin_hash(origin);
        for name in [COSIGNED, "checkpoint"] {
            let path = format!("{hash}/{name}");
            let found = self.get(url, &path, MOST, storage).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    pub(crate) async fn manifest(
        &self,
        warnings: &mut Vec<String>,
    ) -> Result<Believed, RestoreError> {
        let path = format!("manifest/{}", origin_hash(&self.origin));
        let (mut best, mut why) = (None::<Found>, Vec::new());
        let (mut answered, mut vouched) = (BTreeMap::new(), Vec::new());
        let (mut life, mut entries) = (0, None);
        for url in &self.from {
            let mut storage = None;
            let found = self.one_manifest(url, &path, &mut storage).await;
            let without = match &found {
                Ok(Some(_)) => None,
                // It may be a new storage that was not told what the earlier one had, so it does not count.
                Ok(None) => Some(NO_MANIFEST.to_owned()),
                Err(e) => Some(e.clone()),
            };
            why.extend(without.iter().map(|without| format!("{url}: {without}")));
            answered.insert(url.clone(), (storage, without));
            if let Ok(Some(found)) = found {
                let all = found.manifest.vouched.iter();
                vouched.extend(all.map(|one| (found.life, one.clone())));
                (life, entries) = (found.life.max(life), found.entries.max(entries));
                if best.as_ref().is_none_or(|best| best.rank < found.rank) {
                    best = Some(found);
                }
            }
        }
        match best {
            Some(Found {
                manifest,
                rank: (settled, _),
                ..
            }) => {
                warnings.extend(why);
                Ok(Believed {
                    manifest,
                    settled: (settled.life, Generation::new(settled.generation)),
                    life,
                    entries,
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

    /// A secondary's manifest; `None`: it has none. Notes which storage answered.
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
            rank: (signed.settled, signed.age()),
            life: signed.restored,
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

    /// The checkpoints that each secondary has cosigned. A secondary that gives no checkpoint, or a wrong one, does not count for that
    /// shard.
    pub(crate) async fn sources(
        &self,
        believed: &Believed,
        members: &[Membership],
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Source>, RestoreError> {
        let log = self
            .replication(&believed.manifest)
            .map_err(RestoreError::Contradiction)?;
        let known: Vec<_> = members
            .iter()
            .rev()
            .flat_map(|of| &of.secondaries)
            .collect();
        let keys: Vec<(String, CosignerKey)> = known
            .iter()
            .filter_map(|one| Some((one.vkey.clone(), one.vkey.parse().ok()?)))
            .collect();
        let mut sources = Vec::new();
        for url in &self.from {
            let configured = known
                .iter()
                .find(|one| one.url.trim_end_matches('/') == url.trim_end_matches('/'));
            let (incarnation, without_manifest) =
                believed.answered.get(url).cloned().unwrap_or_default();
            let mut source = Source {
                url: url.clone(),
                vkey: configured.map(|one| one.vkey.clone()),
                without_manifest,
                incarnation,
                has: BTreeMap::new(),
                failed: BTreeMap::new(),
                damaged: BTreeMap::new(),
                silent: AtomicU32::new(0),
            };
            let state = &believed.manifest.state;
            for shard in state.shards.iter().filter(|s| s.start().is_some()) {
                let (name, origin) = (&shard.identity.name, &shard.identity.origin);
                let got = match self
                    .newest(url, origin, source.incarnation.as_deref())
                    .await
                {
                    Ok(None) => continue,
                    Ok(Some(bytes)) => opened(&bytes, origin, &log, &keys),
                    Err(e) => Err(e.to_string()),
                };
                match got {
                    Ok((checkpoint, vkey)) => {
                        source.vkey = Some(vkey);
                        source.has.insert(name.clone(), checkpoint);
                    }
                    Err(why) => {
                        warnings.push(format!(
                            "{url} is left out for shard {name}: its checkpoint: {why}"
                        ));
                        source.failed.insert(name.clone(), why);
                    }
                }
            }
            sources.push(source);
        }
        Ok(sources)
    }
}

/// The reason, if any, why the restored log would wait forever for the earlier secondaries. A secondary whose key has changed since accepts
/// nothing under the old one.
pub(crate) fn waiting(members: &[Membership]) -> Option<String> {
    members.iter().enumerate().find_map(|(at, of)| {
        let later: Vec<_> = members[at + 1..]
            .iter()
            .flat_map(|later| &later.secondaries)
            .collect();
        let newest = |one: &SecondaryConfig| later.iter().rev().find(|of| of.name == one.name);
        let lost: Vec<&str> = of
            .secondaries
            .iter()
            .filter(|one| newest(one).is_some_and(|newest| newest.vkey != one.vkey))
            .map(|one| one.name.as_str())
            .collect();
        let need = of.enough().max(of.quorum as usize);
        (!lost.is_empty() && of.secondaries.len() - lost.len() < need).then(|| {
            format!(
                "{need} of the {} secondaries of generation {}, before their change was handed over, must take the restored log before it signs anything; {} got another key by that change, and cannot",
                of.secondaries.len(),
                of.generation,
                lost.join(", ")
            )
        })
    })
}

/// The reason, if any, why the secondaries that answered might lack published entries of a shard.
pub(crate) fn lacking(
    believed: &Believed,
    members: &[Membership],
    sources: &[Source],
    shard: &str,
) -> Option<String> {
    for (at, of) in members.iter().enumerate() {
        let joint = if at + 1 < members.len() {
            format!(
                " of generation {}, before their change was handed over",
                of.generation
            )
        } else {
            String::new()
        };
        if of.quorum == 0 {
            return Some(format!(
                "backupQuorum{joint} was 0: what was published may be on no secondary"
            ));
        }
        let not_counted: Vec<_> = of
            .secondaries
            .iter()
            .filter_map(|one| why_not_counted(believed, one, sources, shard))
            .collect();
        let counted = of.secondaries.len() - not_counted.len();
        if counted < of.enough() {
            return Some(format!(
                "{counted} of the {} secondaries{joint} count for shard {shard}, {} must (backupQuorum is {}) so that everything published is on one of them; not counted: {}",
                of.secondaries.len(),
                of.enough(),
                of.quorum,
                not_counted.join("; ")
            ));
        }
    }
    None
}

/// The reason, if any, why entries would get other indexes than they were published with: the first of these shards was closed with `length`
/// entries, of which `size` are there, and a later one has entries. Older shards are published first.
pub(crate) fn moved(
    names: &[String],
    length: TreeSize,
    size: TreeSize,
    sources: &[Source],
) -> Option<String> {
    let (name, later) = names.split_first()?;
    let has_entries = |name: &&String| {
        let mut has = sources.iter().filter_map(|source| source.has.get(*name));
        has.any(|checkpoint| checkpoint.size > 0)
    };
    let later = later.iter().find(has_entries).filter(|_| length > size)?;
    Some(format!(
        "shard {name} was closed with {length} entries, of which the secondaries have {size}; there are entries of shard {later}, which would get other indexes than they were published with"
    ))
}

/// The reason, if any, why a secondary does not count for a shard.
fn why_not_counted(
    believed: &Believed,
    secondary: &SecondaryConfig,
    sources: &[Source],
    shard: &str,
) -> Option<String> {
    let name = &secondary.name;
    let own = sources
        .iter()
        .filter(|source| source.vkey.as_ref() == Some(&secondary.vkey));
    let mut why = Vec::new();
    for source in own {
        let (url, failed) = (&source.url, source.failed.get(shard));
        if let Some(failed) = source.without_manifest.as_ref().or(failed) {
            why.push(format!("{name} ({url}): {failed}"));
        } else if believed.part(secondary, source.incarnation.as_deref()) {
            why.push(format!(
                "{name} ({url}) does not count: its storage is another one than it had, and had not verified everything again as far as the manifests say"
            ));
        } else {
            return None;
        }
    }
    match why.is_empty() {
        true => Some(format!(
            "{name} ({}) is not among those that --from names",
            secondary.url
        )),
        false => Some(why.join("; ")),
    }
}

/// A mirror checkpoint: signed by the log's replication key, cosigned by a configured secondary; returned with that secondary's key.
fn opened(
    bytes: &[u8],
    origin: &str,
    log: &Signer,
    keys: &[(String, CosignerKey)],
) -> Result<(Checkpoint, String), String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let note = Note::parse(text).map_err(|e| e.to_string())?;
    note.verify(&[log.verifier()]).map_err(|e| e.to_string())?;
    let checkpoint = Checkpoint::parse(note.text).map_err(|e| e.to_string())?;
    if checkpoint.origin != origin {
        return Err(format!("its origin is {}", checkpoint.origin));
    }
    for (vkey, key) in keys {
        if key.find(&note).map_err(|e| e.to_string())?.is_some() {
            return Ok((checkpoint, vkey.clone()));
        }
    }
    Err("no configured secondary has cosigned it".to_owned())
}
