//! Asks the secondaries for the checkpoints that each has cosigned, and says which of them count.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;

use bytes::Bytes;
use logconfig::SecondaryConfig;
use tlog::mirror::origin_hash;
use tlog::{Checkpoint, CosignerKey, Note, Signer, TreeSize};

use crate::restore::believed::{Believed, NO_MANIFEST};
use crate::restore::{Restore, RestoreError};
use crate::running::eras::Membership;
use mirror::COSIGNED;

/// The holdings of one secondary.
pub(crate) struct Source {
    pub(crate) url: String,
    /// Its key: that of the configured secondary at that URL, or the one that it cosigned with.
    pub(crate) vkey: Option<String>,
    /// Why it does not count for any shard: it gave no manifest.
    without_manifest: Option<String>,
    /// The storage that answers; `None` when the secondary does not name it, or does not answer.
    pub(crate) incarnation: Option<String>,
    /// Whether its manifest settles an earlier life than the believed one: neither the believed life nor one that was restored from it has sent it a
    /// manifest.
    pub(super) by_earlier_life: bool,
    /// The mirror checkpoints, by shard.
    pub(crate) has: BTreeMap<String, Checkpoint>,
    /// Shards for which it does not count, and why.
    pub(super) failed: BTreeMap<String, String>,
    /// Shards that it has cosigned but cannot give whole, and why.
    pub(crate) damaged: BTreeMap<String, String>,
    /// How many requests for times it has left unanswered, in a row.
    pub(super) silent: AtomicU32,
}

impl Source {
    /// Its checkpoint of a shard. `None` if it has none, or if that one is larger than the shard was closed with.
    pub(crate) fn up_to(&self, shard: &str, closed: Option<TreeSize>) -> Option<&Checkpoint> {
        let has = self.has.get(shard)?;
        closed
            .is_none_or(|closed| has.size <= closed.get())
            .then_some(has)
    }

    /// Called once a shard was copied from others, with `size` entries. If this source has cosigned more and its copy is damaged, it no longer counts
    /// for the shard; returns the size that it has cosigned.
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

impl Source {
    /// If this is a third-party mirror, which has copies and, as it should, no manifest: the warning about it.
    pub(crate) fn is_mirror(&self) -> Option<String> {
        let mirror = self.incarnation.is_none() && !self.has.is_empty();
        let without = self.without_manifest.as_deref() == Some(NO_MANIFEST);
        (mirror && without).then(|| format!("{}: {NO_MANIFEST}", self.url))
    }
}

impl Restore {
    /// The newest checkpoint that a secondary has cosigned; a third-party mirror serves only that one.
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
            let answered = believed.answered.get(url).cloned().unwrap_or_default();
            // A later life was announced to enough other secondaries before it could sign, so what only this one has was never published.
            let by_earlier_life = answered
                .settled
                .is_some_and(|settled| settled.life < believed.settled.0);
            let mut source = Source {
                url: url.clone(),
                vkey: configured.map(|one| one.vkey.clone()),
                without_manifest: answered.without,
                incarnation: answered.storage,
                by_earlier_life,
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
                "{need} of the {} secondaries of generation {}, before their change was handed over, must accept the restored log before it signs anything; {} got another key in that change and cannot accept it",
                of.secondaries.len(),
                of.generation,
                lost.join(", ")
            )
        })
    })
}

/// The reason, if any, why the restored log would wait for secondaries that did not answer. They may come back, unless their keys are lost.
pub(crate) fn absent(members: &[Membership], sources: &[Source]) -> Option<String> {
    members.iter().find_map(|of| {
        let answers = |one: &&SecondaryConfig| {
            let mut own = sources
                .iter()
                .filter(|source| source.vkey.as_ref() == Some(&one.vkey));
            own.any(|source| source.incarnation.is_some())
        };
        let answered = of.secondaries.iter().filter(answers).count();
        let need = of.enough().max(of.quorum as usize);
        (answered < need).then(|| {
            format!(
                "{need} of the {} secondaries of generation {} must accept the restored log before it signs anything, and {answered} answered",
                of.secondaries.len(),
                of.generation
            )
        })
    })
}

/// Called when the entries of a shard contradict each other. Of the secondaries that know only an earlier life (`by_earlier_life`), it leaves out the
/// one with the most entries, and returns that number and a warning. `None` if there is no such secondary.
pub(super) fn leave_out_earlier(
    sources: &mut [Source],
    shard: &str,
    why: &str,
) -> Option<(TreeSize, String)> {
    let earlier = sources.iter_mut().filter(|source| source.by_earlier_life);
    let most = earlier.max_by_key(|source| source.has.get(shard).map(|has| has.size))?;
    let had = most.has.remove(shard)?;
    let of_another = "its entries are of another copy of the log, which was superseded";
    most.failed.insert(shard.to_owned(), of_another.to_owned());
    let warning = format!(
        "{} is left out for shard {shard}: {of_another} ({why}). Keep its folder until you have compared its checkpoint with those of your readers; then start it with a new folder that is empty but for its key",
        most.url
    );
    Some((TreeSize::new(had.size), warning))
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

/// The reason, if any, why no copy of a closed shard can be used: each of them has more entries than the shard was closed with.
pub(crate) fn only_longer(
    sources: &[Source],
    shard: &str,
    closed: Option<TreeSize>,
) -> Option<String> {
    let closed = closed.filter(|closed| *closed > TreeSize::ZERO)?;
    let mut have = sources
        .iter()
        .filter(|source| source.has.contains_key(shard))
        .peekable();
    have.peek()?;
    have.all(|source| source.up_to(shard, Some(closed)).is_none())
        .then(|| {
            format!(
                "shard {shard} was closed with {closed} entries, but every secondary that answered has more of it, from another copy of the log"
            )
        })
}

/// Warnings about copies with more entries than their shard was closed with.
pub(crate) fn longer(sources: &[Source], shard: &str, closed: Option<TreeSize>) -> Vec<String> {
    let longer = sources.iter().filter_map(|source| {
        let (has, closed) = (source.has.get(shard)?, closed?);
        (source.up_to(shard, Some(closed)).is_none()).then(|| {
            format!(
                "{} is left out for shard {shard}: it has {} entries, but the shard was closed with {closed}, so the additional entries are from another copy of the log. Keep its folder until you have compared its checkpoint with those of your readers; then start it with a new folder that is empty but for its key",
                source.url, has.size
            )
        })
    });
    longer.collect()
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
                "{name} ({url}) does not count: its storage was replaced, and according to the manifests it has not verified everything again"
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
