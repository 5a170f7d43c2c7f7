//! Rebuilds a lost log from its secondaries.
//!
//! A secondary is believed in nothing: entries must lead to roots that were cosigned, and the manifest must open with the
//! key-encryption key. What must never happen: a restored log that is smaller than what its readers have seen. Whatever was
//! published is on `backupQuorum` (q) of the N secondaries, so any N-q+1 of them have one that has it all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use config::LogConfig;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tlog::mirror::origin_hash;
use tlog::{Checkpoint, CosignerKey, Hash, Note, Signer, TILE_WIDTH, TileKind, TilePath, bundle};

use crate::Kek;
use crate::merge::peers::{PeerError, PeerRequest, Peers};
use crate::merge::position::Position;
use crate::merge::tree::ShardTree;
use crate::mirror::manifest::MAX_MANIFEST;
use crate::mirror::{COSIGNED, Manifest, SignedManifest};
use crate::order::commit::now_ms;
use crate::order::keys::{Keys, LOGS};
use crate::order::state::{Gate, Phase, State};
use crate::record;
use crate::shard::Published;
use crate::store::{Coordination, Guard, Objects, Outcome, StoreError, Transaction};

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
    /// Each opened shard: its name, its entries, and where they came from.
    pub shards: Vec<(String, u64, String)>,
    /// What is not as it was.
    pub warnings: Vec<String>,
}

/// What one secondary has.
struct Source {
    url: String,
    /// Which of the configured ones it is.
    name: Option<String>,
    /// The mirror checkpoints, by shard.
    has: BTreeMap<String, Checkpoint>,
}

impl Restore {
    /// Restores the log. The stores are written last of all, in one transaction.
    ///
    /// # Errors
    /// [`RestoreError`]; then the stores have no log.
    pub async fn run(&self) -> Result<Restored, RestoreError> {
        let mut warnings = Vec::new();
        let manifest = self.manifest(&mut warnings).await?;
        let row = format!("{LOGS}{}", manifest.log);
        if self.coordination.get(&row).await?.is_some() {
            return Err(RestoreError::Exists(manifest.log));
        }
        let config: LogConfig = serde_json::from_str(&manifest.document).map_err(|e| {
            RestoreError::Contradiction(format!("the manifest's configuration: {e}"))
        })?;
        let sources = self.sources(&manifest, &config, &mut warnings).await?;
        self.enough(&config, &sources, &mut warnings)?;
        let mut state = manifest.state.clone();
        let mut shards = Vec::new();
        let mut positions = Vec::new();
        let mut start = 0;
        let mut rebuilt = Vec::clone(&state.shards);
        for shard in &mut rebuilt {
            if shard.start().is_none() {
                continue;
            }
            let name = shard.identity.name.clone();
            let (size, root, url) = self.shard(&manifest.log, &name, &sources).await?;
            match &mut shard.phase {
                Phase::Frozen { start: at, length } => {
                    if *length != size {
                        warnings.push(format!(
                            "shard {name} was closed with {length} entries, of which {size} were copied: the others are lost, and what follows moves"
                        ));
                    }
                    (*at, *length) = (start, size);
                }
                Phase::Active { start: at } => *at = start,
                Phase::Planned => {}
            }
            start += size;
            positions.push((name.clone(), size, root));
            shards.push((name, size, url));
        }
        state.shards = Arc::new(rebuilt);
        state.size = start;
        state.len += JUMP;
        // Later than all of its life before, whatever the clock says: secondaries know its lives apart by this.
        state.time = now_ms().max(state.time + 1);
        if matches!(state.gate, Gate::Closing) {
            warnings.push("the log was closing; it is open again".to_owned());
            state.gate = Gate::Open;
        }
        self.write(&manifest, &state, &positions, row).await?;
        Ok(Restored {
            log: manifest.log,
            generation: state.generation,
            shards,
            warnings,
        })
    }

    async fn get(&self, url: &str, path: &str, most: usize) -> Result<Option<Bytes>, RestoreError> {
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
            };
            match self.peers.send(request).await {
                Ok(answer) if answer.status == 200 => return Ok(Some(answer.body)),
                Ok(answer) if answer.status == 404 => return Ok(None),
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
    async fn manifest(&self, warnings: &mut Vec<String>) -> Result<Manifest, RestoreError> {
        let path = format!("manifest/{}", origin_hash(&self.origin));
        let (mut best, mut why) = (None::<((u64, u64), Manifest)>, Vec::new());
        for url in &self.from {
            match self.one_manifest(url, &path).await {
                Ok((age, manifest)) => {
                    if best.as_ref().is_none_or(|(best, _)| *best < age) {
                        best = Some((age, manifest));
                    }
                }
                Err(e) => why.push(format!("{url}: {e}")),
            }
        }
        match best {
            Some((_, manifest)) => {
                warnings.extend(why);
                Ok(manifest)
            }
            None => Err(RestoreError::Manifest {
                origin: self.origin.clone(),
                why,
            }),
        }
    }

    /// A manifest, and what orders it among others: when its log was last restored, and its slots.
    async fn one_manifest(&self, url: &str, path: &str) -> Result<((u64, u64), Manifest), String> {
        let bytes = self
            .get(url, path, MAX_MANIFEST)
            .await
            .map_err(|e| e.to_string())?
            .ok_or("it has no manifest of this log")?;
        let signed = SignedManifest::parse(&bytes).map_err(|e| e.to_string())?;
        let manifest = signed.open(&self.kek).map_err(|e| e.to_string())?;
        let key = self.replication(&manifest)?;
        signed.verify(key.verifier()).map_err(|e| e.to_string())?;
        if signed.origin != self.origin {
            return Err(format!("its manifest is of {}", signed.origin));
        }
        Ok(((signed.restored, signed.number), manifest))
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

    /// What each secondary has cosigned.
    async fn sources(
        &self,
        manifest: &Manifest,
        config: &LogConfig,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Source>, RestoreError> {
        let log = self
            .replication(manifest)
            .map_err(RestoreError::Contradiction)?;
        let keys: Vec<(String, CosignerKey)> = config
            .merge
            .secondaries
            .iter()
            .filter_map(|s| Some((s.name.to_string(), s.vkey.parse().ok()?)))
            .collect();
        let mut sources = Vec::new();
        'sources: for url in &self.from {
            let configured = config
                .merge
                .secondaries
                .iter()
                .find(|s| s.url.trim_end_matches('/') == url.trim_end_matches('/'));
            let mut source = Source {
                url: url.clone(),
                name: configured.map(|s| s.name.to_string()),
                has: BTreeMap::new(),
            };
            for shard in manifest.state.shards.iter().filter(|s| s.start().is_some()) {
                let origin = &shard.identity.origin;
                let bytes = match self.newest(url, origin).await {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => continue,
                    Err(e) => {
                        warnings.push(e.to_string());
                        continue 'sources;
                    }
                };
                let opened = opened(&bytes, origin, &log, &keys);
                let (checkpoint, name) = opened.map_err(|why| {
                    RestoreError::Contradiction(format!(
                        "{url}: the checkpoint of shard {}: {why}",
                        shard.identity.name
                    ))
                })?;
                source.name = Some(name);
                source.has.insert(shard.identity.name.clone(), checkpoint);
            }
            sources.push(source);
        }
        Ok(sources)
    }

    /// Whether those that answered are sure to have everything that was published.
    fn enough(
        &self,
        config: &LogConfig,
        sources: &[Source],
        warnings: &mut Vec<String>,
    ) -> Result<(), RestoreError> {
        let all = config.merge.secondaries.len();
        let quorum = config.merge.backup_quorum as usize;
        let asked: BTreeSet<&str> = sources.iter().filter_map(|s| s.name.as_deref()).collect();
        let problem = if quorum == 0 {
            Some("backupQuorum was 0: what was published may be on no secondary".to_owned())
        } else {
            let needed = (all + 1).saturating_sub(quorum);
            (asked.len() < needed).then(|| {
                format!(
                    "{} of the {all} secondaries answered, {needed} must (backupQuorum is {quorum}) so that everything published is on one of them",
                    asked.len()
                )
            })
        };
        match problem {
            None => Ok(()),
            Some(problem) if self.force => {
                warnings.push(format!("forced: {problem}"));
                Ok(())
            }
            Some(problem) => Err(RestoreError::TooFew(problem)),
        }
    }

    /// Copies a shard from the secondary that has most of it, and checks it against what all of them have cosigned.
    async fn shard(
        &self,
        log: &str,
        shard: &str,
        sources: &[Source],
    ) -> Result<(u64, Hash, String), RestoreError> {
        let has = |source: &Source| source.has.get(shard).map_or(0, |c| c.size);
        let Some(best) = sources.iter().max_by_key(|source| has(source)) else {
            return Ok((0, tlog::empty_root(), String::new()));
        };
        let size = has(best);
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
        let check = |tree: &ShardTree| {
            match roots.get(&tree.size()) {
            Some(list) => list.iter().try_for_each(|(url, root)| {
                if *root == tree.root() {
                    return Ok(());
                }
                Err(RestoreError::Contradiction(format!(
                    "shard {shard} at size {}: the entries of {} lead to the root {}, {url} has cosigned {root}",
                    tree.size(),
                    best.url,
                    tree.root()
                )))
            }),
            None => Ok(()),
        }
        };
        check(&tree)?;
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
                check(&tree)?;
            }
            if out.len() >= BATCH {
                self.put(log, shard, std::mem::take(&mut out)).await?;
            }
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
        log: String,
    ) -> Result<(), RestoreError> {
        let keys = Keys::new(&manifest.log);
        let decode = |what: &str, text: &str| {
            STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(|e| RestoreError::Contradiction(format!("{what}: {e}")))
        };
        let document = Bytes::from(manifest.document.clone());
        if record::digest(&document) != state.document {
            return Err(RestoreError::Contradiction(
                "the manifest's configuration is not the one that its state names".to_owned(),
            ));
        }
        let mut puts = vec![
            (keys.document(&state.document), document),
            (
                keys.replication(),
                decode("the replication key", &manifest.replication)?,
            ),
            (keys.snapshot(state.len), record::encode(state)),
            (keys.floor(), record::encode_number(state.len)),
            (keys.restored(), record::encode_number(state.time)),
        ];
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
        puts.push((log.clone(), record::encode(&manifest.log)));
        let transaction = Transaction {
            guards: vec![Guard::Absent(log)],
            puts,
            ..Transaction::default()
        };
        match self.coordination.transact(transaction).await {
            Outcome::Committed => Ok(()),
            Outcome::Refused => Err(RestoreError::Exists(manifest.log.clone())),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e.into()),
        }
    }
}

/// A mirror checkpoint: signed by the log's replication key, cosigned by a configured secondary.
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
    for (name, key) in keys {
        if key.find(&note).map_err(|e| e.to_string())?.is_some() {
            return Ok((checkpoint, name.clone()));
        }
    }
    Err("no configured secondary has cosigned it".to_owned())
}
