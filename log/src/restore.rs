//! Rebuilds a lost log from its secondaries.
//!
//! A secondary is believed in nothing: entries must lead to roots that were cosigned, and the manifest must open with the
//! key-encryption key. What must never happen: a restored log that is smaller than what its readers have seen.
//!
//! Whatever was published is on `backupQuorum` (q) of the N secondaries, so any N-q+1 of them have one that has it all. The
//! secondaries and q are those that the newest manifest names that was found; where it lists several memberships, N-q+1 of each
//! are needed. Why a newer configuration can't be missed: see [`crate::merge::eras`]. A secondary counts only where it has a
//! manifest, where its storage is the one that the manifests found vouch for (one whose disk was lost may be filled again in
//! part: see `merge::backup::storage`), and for a shard only where it gave what it has of it.
//!
//! The restored log is another *life* of the log. Before it signs anything it is announced to the secondaries, which from then
//! on refuse every earlier life: see [`crate::merge::life`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use config::SecondaryConfig;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tlog::mirror::origin_hash;
use tlog::{Checkpoint, CosignerKey, Hash, Note, Signer, TILE_WIDTH, TileKind, TilePath, bundle};

use crate::Kek;
use crate::document;
use crate::merge::eras::Membership;
use crate::merge::life::{self, Life};
use crate::merge::peers::{PeerAnswer, PeerError, PeerRequest, Peers};
use crate::merge::position::{Position, UNNAMED, Vouched};
use crate::merge::tree::ShardTree;
use crate::mirror::manifest::MAX_MANIFEST;
use crate::mirror::{COSIGNED, Manifest, SignedManifest};
use crate::order::commit::now_ms;
use crate::order::keys::{Keys, LOGS, RESTORING};
use crate::order::slot::{Action, Control, Decision, Slot, Token};
use crate::order::snapshot;
use crate::order::state::{Gate, Phase, State};
use crate::record;
use crate::shard::Published;
use crate::store::{Coordination, Guard, Key, Objects, Outcome, StoreError, Transaction};

/// Time for one request.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bundles on their way at once.
const AT_ONCE: usize = 8;
/// Tiles written at once.
const BATCH: usize = 256;
/// The restored order begins so many slots behind the manifest: behind whatever was decided after it.
const JUMP: u64 = 1 << 32;

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// No secondary has the manifest.
    #[error("no secondary has a manifest of {origin} that this key-encryption key opens: {}", .why.join("; "))]
    Manifest {
        /// The log's origin.
        origin: String,
        /// What each said.
        why: Vec<String>,
    },
    /// What was published may be missing.
    #[error("{0}; with --force what they have is restored")]
    TooFew(String),
    /// Entries and cosigned roots contradict each other.
    #[error("{0}")]
    Contradiction(String),
    /// A secondary did not give what it has.
    #[error("{url}: {why}")]
    Peer {
        /// Which.
        url: String,
        /// What happened.
        why: String,
    },
    /// The new stores.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is such a log already.
    #[error("the stores have a log {0} already: a restore needs new ones")]
    Exists(String),
}

/// What to restore, from where to where.
pub struct Restore {
    /// The log's origin, without a shard.
    pub origin: String,
    /// Where the secondaries are.
    pub from: Vec<String>,
    /// Opens what the primary sealed.
    pub kek: Kek,
    /// Go on although something that was published may be missing.
    pub force: bool,
    /// Asks them.
    pub peers: Arc<dyn Peers>,
    /// New and empty.
    pub coordination: Arc<dyn Coordination>,
    /// New and empty.
    pub objects: Arc<dyn Objects>,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The log.
    pub log: String,
    /// Its generation, which goes on.
    pub generation: u64,
    /// When the manifest that was believed was made, as the log's own time tells: milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Entries, in all shards.
    pub entries: u64,
    /// Each opened shard: its name, its entries, and where they came from.
    pub shards: Vec<(String, u64, String)>,
    /// What is not as it was.
    pub warnings: Vec<String>,
}

/// What orders a manifest among others: the life of its log, its slots, its edition.
type Age = (u64, u64, u64);

/// What one secondary has.
struct Source {
    url: String,
    /// The keys that it can have: of the configured secondary at that URL, or the one that it cosigned with.
    vkey: Option<String>,
    /// It has a manifest.
    described: bool,
    /// Which storage answers; none where it does not say so, or does not answer.
    incarnation: Option<String>,
    /// The mirror checkpoints, by shard.
    has: BTreeMap<String, Checkpoint>,
    /// Shards for which it does not count.
    failed: BTreeSet<String>,
}

/// The manifest that is believed.
struct Believed {
    manifest: Manifest,
    /// The life that it is of.
    life: u64,
    /// The storages that answered, and whether they have a manifest, by URL.
    storages: BTreeMap<String, (Option<String>, bool)>,
    /// Which storages of its secondaries are vouched for, by all manifests of that life.
    vouched: Vec<Vouched>,
}

impl Believed {
    /// Whether the storage that answers for a secondary is known to have less than was counted for that secondary.
    fn part(&self, secondary: &SecondaryConfig, incarnation: Option<&str>) -> bool {
        let of =
            |one: &&Vouched| one.secondary == secondary.name.as_str() && one.vkey == secondary.vkey;
        // Each was true when it was written; the newest that was found says which storage it was last.
        let newest = self.vouched.iter().filter(of).max_by_key(|one| one.number);
        newest.is_some_and(|one| !one.whole || one.incarnation != incarnation.unwrap_or(UNNAMED))
    }
}

impl Restore {
    /// Restores the log. Its name is written last of all, with what a server begins with: until then it can be begun again.
    ///
    /// # Errors
    /// [`RestoreError`]; then the stores have no log.
    pub async fn run(&self) -> Result<Restored, RestoreError> {
        let mut warnings = Vec::new();
        let believed = self.manifest(&mut warnings).await?;
        let manifest = &believed.manifest;
        let row = format!("{LOGS}{}", manifest.log);
        if self.coordination.get(&row).await?.is_some() {
            return Err(RestoreError::Exists(manifest.log.clone()));
        }
        let config = document::whole(
            manifest.document.as_bytes(),
            &manifest.state.document,
            &manifest.state,
        )
        .map_err(|e| RestoreError::Contradiction(format!("the manifest's configuration: {e}")))?;
        let mut members = manifest.joint.clone();
        members.push(Membership {
            generation: manifest.state.generation,
            start: 0,
            quorum: config.merge.backup_quorum,
            secondaries: config.merge.secondaries.clone(),
        });
        let mut sources = self.sources(&believed, &members, &mut warnings).await?;
        let mut state = manifest.state.clone();
        let time_ms = state.time;
        let mut shards = Vec::new();
        let mut positions = Vec::new();
        let mut start = 0;
        let mut rebuilt = Vec::clone(&state.shards);
        let names: Vec<_> = rebuilt.iter().map(|s| s.identity.name.clone()).collect();
        let mut forced = BTreeSet::new();
        for (at, shard) in rebuilt.iter_mut().enumerate() {
            if shard.start().is_none() {
                continue;
            }
            let name = shard.identity.name.clone();
            let (size, root, url) = loop {
                if let Some(problem) = lacking(&believed, &members, &sources, &name) {
                    if !self.force {
                        return Err(RestoreError::TooFew(problem));
                    }
                    forced.insert(problem);
                }
                match self.shard(&manifest.log, &name, &sources).await {
                    // The next one that has it, if there are enough without this one.
                    Err((Some(bad), RestoreError::Peer { url, why })) => {
                        warnings.push(format!("{url} is left out for shard {name}: {why}"));
                        sources[bad].failed.insert(name.clone());
                        sources[bad].has.remove(&name);
                    }
                    Err((_, e)) => return Err(e),
                    Ok(copied) => break copied,
                }
            };
            match &mut shard.phase {
                Phase::Frozen {
                    start: first,
                    length,
                } => {
                    // Older shards are published first: what a later one has may be published, and would get other indexes.
                    let later = names.iter().skip(at + 1);
                    let mut later = later.filter(|name| {
                        let has = sources.iter().filter_map(|source| source.has.get(*name));
                        has.clone().any(|checkpoint| checkpoint.size > 0)
                    });
                    if *length > size
                        && let Some(later) = later.next()
                    {
                        let problem = format!(
                            "shard {name} was closed with {length} entries, of which the secondaries have {size}; there are entries of shard {later}, which would get other indexes than they were published with"
                        );
                        if !self.force {
                            return Err(RestoreError::TooFew(problem));
                        }
                        forced.insert(problem);
                    } else if *length != size {
                        warnings.push(format!(
                            "shard {name} was closed with {length} entries, of which {size} were copied: the others are lost, and what follows moves"
                        ));
                    }
                    (*first, *length) = (start, size);
                }
                Phase::Active { start: first } => *first = start,
                Phase::Planned => {}
            }
            start += size;
            positions.push((name.clone(), size, root));
            shards.push((name, size, url));
        }
        warnings.extend(forced.iter().map(|problem| format!("forced: {problem}")));
        state.shards = Arc::new(rebuilt);
        state.size = start;
        state.len += JUMP;
        state.time = now_ms().max(state.time + 1);
        if matches!(state.gate, Gate::Closing) {
            warnings.push("the log was closing; it is open again".to_owned());
            state.gate = Gate::Open;
        }
        if !forced.is_empty() {
            // Whatever was signed beyond this size, nothing else is signed for it before an operator says so.
            state.gate = Gate::Frozen {
                slot: state.len - 1,
                time: state.time,
            };
            warnings.push("the log is frozen, because what it signs next may be a second root of a size that was signed before: read \"After a forced restore\" in docs/operations.md before you unfreeze it".to_owned());
        }
        let name = |source: &Source| {
            let all = members.iter().rev().flat_map(|of| &of.secondaries);
            let mut named = all.filter(|one| Some(&one.vkey) == source.vkey.as_ref());
            named.next().map(|one| one.name.to_string())
        };
        let life = Life {
            // Later than all of its lives before, whatever the clock says.
            id: life::new(state.time, believed.life)
                .map_err(|e| StoreError::Io(format!("no randomness: {e}")))?,
            generation: state.generation,
            entries: start,
            // One that did not answer, and somebody else's mirror, would never take it.
            forced: (!forced.is_empty()).then(|| {
                let own = sources.iter().filter(|of| of.incarnation.is_some());
                own.filter_map(name).collect()
            }),
        };
        self.write(manifest, &state, &positions, &life, row).await?;
        Ok(Restored {
            log: manifest.log.clone(),
            generation: state.generation,
            time_ms,
            entries: start,
            shards,
            warnings,
        })
    }

    async fn get(&self, url: &str, path: &str, most: usize) -> Result<Option<Bytes>, RestoreError> {
        let answer = self.asked(url, path, most).await?;
        Ok((answer.status == 200).then_some(answer.body))
    }

    /// An answer of 200 or 404.
    async fn asked(&self, url: &str, path: &str, most: usize) -> Result<PeerAnswer, RestoreError> {
        let failed = |why: String| RestoreError::Peer {
            url: url.to_owned(),
            why: format!("{path}: {why}"),
        };
        let mut last = None;
        for _ in 0..3 {
            let request = PeerRequest {
                url: format!("{}/{path}", url.trim_end_matches('/')),
                body: None,
                timeout: PATIENCE,
                most,
                life: None,
            };
            match self.peers.send(request).await {
                Ok(answer) if matches!(answer.status, 200 | 404) => return Ok(answer),
                Ok(answer) => last = Some(answer.words()),
                Err(e @ PeerError::TooLong(_)) => return Err(failed(e.to_string())),
                Err(e) => last = Some(e.to_string()),
            }
        }
        Err(failed(last.unwrap_or_default()))
    }

    /// The newest checkpoint that a secondary has cosigned; somebody else's mirror serves it as its only one.
    async fn newest(&self, url: &str, origin: &str) -> Result<Option<Bytes>, RestoreError> {
        const MOST: usize = 64 << 10;
        let hash = origin_hash(origin);
        match self.get(url, &format!("{hash}/{COSIGNED}"), MOST).await? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.get(url, &format!("{hash}/checkpoint"), MOST).await,
        }
    }

    /// The newest manifest.
    async fn manifest(&self, warnings: &mut Vec<String>) -> Result<Believed, RestoreError> {
        let path = format!("manifest/{}", origin_hash(&self.origin));
        let (mut best, mut why) = (None::<(Age, Manifest)>, Vec::new());
        let (mut storages, mut vouched) = (BTreeMap::new(), Vec::new());
        for url in &self.from {
            let mut storage = None;
            let found = self.one_manifest(url, &path, &mut storage).await;
            storages.insert(url.clone(), (storage, matches!(found, Ok(Some(_)))));
            match found {
                Ok(Some((age, manifest))) => {
                    vouched.push((age.0, manifest.vouched.clone()));
                    if best.as_ref().is_none_or(|(best, _)| *best < age) {
                        best = Some((age, manifest));
                    }
                }
                // It may be a new storage, that has not been told what the one before it had: it does not count.
                Ok(None) => why.push(format!("{url}: it has no manifest of this log")),
                Err(e) => why.push(format!("{url}: {e}")),
            }
        }
        match best {
            Some(((life, ..), manifest)) => {
                warnings.extend(why);
                let vouched = vouched.into_iter().filter(|(of, _)| *of == life);
                Ok(Believed {
                    manifest,
                    life,
                    storages,
                    vouched: vouched.flat_map(|(_, vouched)| vouched).collect(),
                })
            }
            None => Err(RestoreError::Manifest {
                origin: self.origin.clone(),
                why,
            }),
        }
    }

    /// A manifest, and what orders it among others. `None`: there is none. Notes which storage answered.
    async fn one_manifest(
        &self,
        url: &str,
        path: &str,
        storage: &mut Option<String>,
    ) -> Result<Option<(Age, Manifest)>, String> {
        let answer = self.asked(url, path, MAX_MANIFEST).await;
        let answer = answer.map_err(|e| e.to_string())?;
        *storage = answer.incarnation;
        if answer.status == 404 {
            return Ok(None);
        }
        let signed = SignedManifest::parse(&answer.body).map_err(|e| e.to_string())?;
        let manifest = signed.open(&self.kek).map_err(|e| e.to_string())?;
        let key = self.replication(&manifest)?;
        signed.verify(key.verifier()).map_err(|e| e.to_string())?;
        if signed.origin != self.origin {
            return Err(format!("its manifest is of {}", signed.origin));
        }
        Ok(Some((signed.age(), manifest)))
    }

    fn replication(&self, manifest: &Manifest) -> Result<Signer, String> {
        let sealed = STANDARD
            .decode(&manifest.replication)
            .map_err(|e| e.to_string())?;
        let seed = self
            .kek
            .open(&sealed, &format!("replication/{}", self.origin))
            .map_err(|e| e.to_string())?;
        Signer::from_seed(&self.origin, &seed).map_err(|e| e.to_string())
    }

    /// What each secondary has cosigned. One that does not give a checkpoint, or gives one that is not right, does not count for
    /// that shard.
    async fn sources(
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
            let (incarnation, described) = believed.storages.get(url).cloned().unwrap_or_default();
            let mut source = Source {
                url: url.clone(),
                vkey: configured.map(|one| one.vkey.clone()),
                described,
                incarnation,
                has: BTreeMap::new(),
                failed: BTreeSet::new(),
            };
            let state = &believed.manifest.state;
            for shard in state.shards.iter().filter(|s| s.start().is_some()) {
                let (name, origin) = (&shard.identity.name, &shard.identity.origin);
                let got = match self.newest(url, origin).await {
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
                        source.failed.insert(name.clone());
                    }
                }
            }
            sources.push(source);
        }
        Ok(sources)
    }

    /// Copies a shard from the secondary that has most of it, and checks it against what all of them have cosigned. A failure
    /// says which source's it is.
    async fn shard(
        &self,
        log: &str,
        shard: &str,
        sources: &[Source],
    ) -> Result<(u64, Hash, String), (Option<usize>, RestoreError)> {
        let has = |source: &Source| source.has.get(shard).map(|c| c.size);
        let most = sources.iter().enumerate();
        let most = most.filter_map(|(at, source)| Some((has(source)?, at)));
        let Some((size, at)) = most.max_by_key(|(size, at)| (*size, std::cmp::Reverse(*at))) else {
            return Ok((0, tlog::empty_root(), String::new()));
        };
        let best = &sources[at];
        let copied = self.copied(log, shard, size, best, sources).await;
        copied.map_err(|e| match e {
            e @ RestoreError::Peer { .. } => (Some(at), e),
            e => (None, e),
        })
    }

    async fn copied(
        &self,
        log: &str,
        shard: &str,
        size: u64,
        best: &Source,
        sources: &[Source],
    ) -> Result<(u64, Hash, String), RestoreError> {
        let origin = best.has.get(shard).map_or("", |c| c.origin.as_str());
        let hash = origin_hash(origin);
        // Roots that were cosigned at smaller sizes must be those of this tree.
        let mut roots: BTreeMap<u64, Vec<(&str, Hash)>> = BTreeMap::new();
        for source in sources {
            if let Some(checkpoint) = source.has.get(shard) {
                let list = roots.entry(checkpoint.size).or_default();
                list.push((&source.url, checkpoint.root));
            }
        }
        tracing::info!(shard, size, from = best.url, "restoring");
        let mut tree = ShardTree::default();
        let mut differs = None;
        let mut check = |tree: &ShardTree| {
            let list = roots.get(&tree.size()).into_iter().flatten();
            for (url, root) in list.filter(|(_, root)| *root != tree.root()) {
                let why = format!(
                    "shard {shard} at size {}: the entries of {} lead to the root {}, {url} has cosigned {root}",
                    tree.size(),
                    best.url,
                    tree.root()
                );
                differs.get_or_insert(why);
            }
        };
        check(&tree);
        let bundles = size.div_ceil(TILE_WIDTH);
        let read = stream::iter(0..bundles)
            .map(|index| {
                let path = TilePath::at(TileKind::Entries, index, size);
                let path = path.unwrap_or(TilePath::entries(index, 256));
                let object = format!("{hash}/{path}");
                async move {
                    let most = 256 * (bundle::MAX_ENTRY + 2);
                    let bytes = self.get(&best.url, &object, most).await?;
                    let bytes = bytes.ok_or_else(|| RestoreError::Peer {
                        url: best.url.clone(),
                        why: format!("{path} is missing"),
                    })?;
                    Ok::<_, RestoreError>((path, bytes))
                }
            })
            .buffered(AT_ONCE);
        tokio::pin!(read);
        let mut out = Vec::new();
        while let Some((path, bytes)) = read.try_next().await? {
            let entries = bundle::entries(&bytes).map_err(|e| RestoreError::Peer {
                url: best.url.clone(),
                why: format!("{path}: {e}"),
            })?;
            if entries.len() != usize::from(path.width) {
                return Err(RestoreError::Peer {
                    url: best.url.clone(),
                    why: format!("{path} has {} entries", entries.len()),
                });
            }
            for entry in entries {
                tree.push(entry, &mut out);
                check(&tree);
            }
            if out.len() >= BATCH {
                self.put(log, shard, std::mem::take(&mut out)).await?;
            }
        }
        let own = best.has.get(shard).map(|checkpoint| checkpoint.root);
        if own.is_some_and(|root| root != tree.root()) {
            // Its storage is damaged; what the others have says nothing against it.
            return Err(RestoreError::Peer {
                url: best.url.clone(),
                why: format!("its entries do not lead to the root that it cosigned at size {size}"),
            });
        }
        if let Some(why) = differs {
            return Err(RestoreError::Contradiction(why));
        }
        out.extend(tree.partials());
        self.put(log, shard, out).await?;
        Ok((size, tree.root(), best.url.clone()))
    }

    async fn put(
        &self,
        log: &str,
        shard: &str,
        tiles: Vec<(TilePath, Bytes)>,
    ) -> Result<(), RestoreError> {
        let objects: Vec<_> = tiles
            .into_iter()
            .map(|(path, bytes)| (format!("{log}/{shard}/{path}"), bytes))
            .collect();
        if !objects.is_empty() {
            self.objects.put(objects).await?;
        }
        Ok(())
    }

    /// The rows that a server opens: a snapshot with nothing before it, and the positions.
    async fn write(
        &self,
        manifest: &Manifest,
        state: &State,
        positions: &[(String, u64, Hash)],
        life: &Life,
        log: String,
    ) -> Result<(), RestoreError> {
        let keys = Keys::new(&manifest.log);
        let decode = |what: &str, text: &str| {
            STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(|e| RestoreError::Contradiction(format!("{what}: {e}")))
        };
        let base = manifest.joint.first();
        let base = base.map_or(state.generation, |of| of.generation);
        // The restored generation is one to go back to, and history goes on from there.
        let mut operation = [0; 16];
        getrandom::fill(&mut operation)
            .map_err(|e| StoreError::Io(format!("no randomness: {e}")))?;
        let operation = Token::from_bytes(operation);
        let slot = Slot {
            format: 1,
            number: state.len - 1,
            start: state.size,
            time: state.time,
            previous: Hash([0; 32]),
            batches: Vec::new(),
            control: Some(Decision {
                operation,
                request: state.document,
                action: Action::Configure,
                actor: "restore".to_owned(),
                control: Control::Reconfigure {
                    base: state.generation.saturating_sub(1),
                    document: state.document,
                    plan: Vec::new(),
                    open: None,
                },
                reason: Some(format!(
                    "restored from its secondaries with {} entries",
                    state.size
                )),
            }),
        };
        let mut last = vec![
            (keys.history_item(slot.number), record::encode(&slot)),
            (
                keys.generation(state.generation),
                record::encode_number(slot.number),
            ),
            (
                keys.operation(operation),
                record::encode_number(slot.number),
            ),
            (keys.handover(), record::encode_numbered(base, &base)),
            (keys.life(), record::encode(life)),
            (keys.floor(), record::encode_number(state.len)),
            (keys.restored(), record::encode_number(life.id)),
        ];
        last.extend(snapshot::rows(&keys, state));
        let stored = manifest.document.clone().into_bytes();
        let limit = self.coordination.value_limit();
        let mut puts = document::rows(&keys, limit, &state.document, stored);
        for of in &manifest.joint {
            let key = keys.inherited_membership(of.generation);
            puts.push((key, record::encode(of)));
        }
        puts.extend(snapshot::frozen_rows(&keys, state, 0));
        puts.push((
            keys.replication(),
            decode("the replication key", &manifest.replication)?,
        ));
        for (id, sealed) in &manifest.keys {
            puts.push((keys.signing_key(*id), decode("a signing key", sealed)?));
        }
        for (shard, size, root) in positions {
            let (size, root) = (*size, *root);
            let cut = Position {
                size,
                root,
                slots: state.len,
            };
            let published = Published {
                size,
                root,
                time: now_ms(),
            };
            puts.push((keys.root(shard, size), record::encode(&root)));
            puts.push((keys.integrated(shard), record::encode_numbered(size, &cut)));
            puts.push((
                keys.published(shard),
                record::encode_numbered(size, &published),
            ));
        }
        // No server opens the log before its name is there, so most rows may come in several transactions.
        self.begin(&manifest.log, &keys).await?;
        let mut puts = puts.into_iter().peekable();
        while puts.peek().is_some() {
            let some = puts.by_ref().take(snapshot::ROWS).collect();
            let put = Transaction {
                puts: some,
                ..Transaction::default()
            };
            self.transact(&manifest.log, put).await?;
        }
        last.push((log.clone(), record::encode(&manifest.log)));
        let there = Transaction {
            guards: vec![Guard::Absent(log)],
            puts: last,
            deletes: vec![format!("{RESTORING}{}", manifest.log)],
        };
        self.transact(&manifest.log, there).await
    }

    /// Notes that the log's rows are those of an unfinished restore, and removes what an earlier one left. Rows that no restore has
    /// written are not touched: they may be all that is left of a log.
    async fn begin(&self, log: &str, keys: &Keys) -> Result<(), RestoreError> {
        let note = format!("{RESTORING}{log}");
        let begun = self.coordination.get(&note).await?.is_some();
        let prefix = keys.all();
        loop {
            let rows = self.coordination.scan(&prefix, &prefix, snapshot::ROWS);
            let deletes: Vec<Key> = rows.await?.into_iter().map(|(key, _)| key).collect();
            if deletes.is_empty() {
                break;
            }
            if !begun {
                return Err(RestoreError::Exists(log.to_owned()));
            }
            let remove = Transaction {
                deletes,
                ..Transaction::default()
            };
            self.transact(log, remove).await?;
        }
        let put = Transaction {
            puts: vec![(note, record::encode(&log))],
            ..Transaction::default()
        };
        self.transact(log, put).await
    }

    async fn transact(&self, log: &str, transaction: Transaction) -> Result<(), RestoreError> {
        match self.coordination.transact(transaction).await {
            Outcome::Committed => Ok(()),
            Outcome::Refused => Err(RestoreError::Exists(log.to_owned())),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e.into()),
        }
    }
}

/// Why those that answered are not sure to have everything of a shard that was published, if they are not.
fn lacking(
    believed: &Believed,
    members: &[Membership],
    sources: &[Source],
    shard: &str,
) -> Option<String> {
    let counts = |source: &&Source| source.described && !source.failed.contains(shard);
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
        let mut asked = BTreeSet::new();
        let mut parts = String::new();
        for one in &of.secondaries {
            for source in sources.iter().filter(counts) {
                if source.vkey.as_ref() != Some(&one.vkey) {
                    continue;
                }
                if believed.part(one, source.incarnation.as_deref()) {
                    parts.push_str(&format!(
                        "; {} does not count: its storage is another one than secondary {} had, and had not verified everything again as far as the manifests say",
                        source.url, one.name
                    ));
                } else {
                    asked.insert(&one.vkey);
                }
            }
        }
        if asked.len() < of.enough() {
            return Some(format!(
                "{} of the {} secondaries{joint} have a manifest and answered for shard {shard}, {} must (backupQuorum is {}) so that everything published is on one of them{parts}",
                asked.len(),
                of.secondaries.len(),
                of.enough(),
                of.quorum
            ));
        }
    }
    None
}

/// A mirror checkpoint: signed by the log's replication key, cosigned by a configured secondary; with the key of that.
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
