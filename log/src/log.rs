//! One log on this replica: what writers, readers and operators ask of it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use config::{LogConfig, ShardState};
use tlog::{Hash, TILE_WIDTH, TilePath, TileSet, bundle, leaf_hash};
use tokio::sync::watch;

use crate::halt::Halt;
use crate::merge::fetch::read_batch;
use crate::merge::pending::Pending;
use crate::merge::sth::read_published;
use crate::metrics::LogMetrics;
use crate::order::batch;
use crate::order::batcher::Batcher;
use crate::order::commit::{CommitError, Order};
use crate::order::slot::Tokens;
use crate::order::state::{Gate, Phase, State};
use crate::record;
use crate::shard::keys::Kek;
use crate::shard::{Shards, SignError};
use crate::store::{Coordination, Objects, StoreError};

/// The running configuration.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) generation: u64,
    pub(crate) document: Arc<LogConfig>,
}

/// What the parts of one log share.
pub struct Core {
    pub(crate) name: String,
    pub(crate) store: Arc<dyn Coordination>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) kek: Arc<Kek>,
    pub(crate) order: Order,
    pub(crate) batcher: Batcher,
    pub(crate) tokens: Tokens,
    pub(crate) pending: Arc<Pending>,
    pub(crate) shards: Shards,
    pub(crate) halt: Arc<Halt>,
    pub(crate) metrics: Arc<LogMetrics>,
    pub(crate) published: watch::Sender<u64>,
    /// Size of each shard at its last cut, whose partial tiles go when they are completed.
    pub(crate) last_cut: tokio::sync::Mutex<HashMap<String, u64>>,
    pub(crate) running: ArcSwap<Running>,
    /// Why publication does not go on, and whether for want of space.
    pub(crate) trouble: Mutex<Option<(String, bool)>>,
    /// Less space is free than the operator keeps in reserve.
    pub(crate) low_space: Arc<AtomicBool>,
    /// This replica's clock is off the store's; it does not propose.
    pub(crate) skewed: Arc<AtomicBool>,
    pub(crate) max_pending: usize,
}

/// An entry's place, given once it is ordered and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Global index.
    pub index: u64,
    /// The shard it is in.
    pub shard: Arc<str>,
    /// Index in that shard's tree.
    pub leaf_index: u64,
}

/// Why an entry was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No bytes.
    #[error("the entry is empty")]
    Empty,
    /// Over 65,535 bytes.
    #[error("the entry is longer than 65535 bytes")]
    TooLarge,
    /// The log is frozen.
    #[error("shard {shard} is frozen")]
    Frozen {
        /// The shard that was active.
        shard: String,
        /// Since when, milliseconds since the Unix epoch.
        since_ms: u64,
    },
    /// The log is about to freeze.
    #[error("the log is closing")]
    Closing,
    /// The log is halted on this replica.
    #[error("the log is halted: {reason}")]
    Halted {
        /// Why.
        reason: String,
    },
    /// No space left.
    #[error("no space left: {detail}")]
    Full {
        /// Where.
        detail: String,
    },
    /// More than can be published.
    #[error("overloaded: {reason}")]
    Overloaded {
        /// What is exhausted.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// It may or may not have been ordered.
    #[error("the outcome could not be learned")]
    Unknown,
}

impl AppendError {
    pub(crate) fn overloaded(reason: &str) -> Self {
        Self::Overloaded {
            reason: reason.to_owned(),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// Why something could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The log is halted on this replica.
    #[error("the log is halted: {reason}")]
    Halted {
        /// Why.
        reason: String,
    },
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A checkpoint could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// An entry and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRecord {
    /// The shard.
    pub shard: Arc<str>,
    /// Index in its tree.
    pub leaf_index: u64,
    /// The entry.
    pub bytes: Bytes,
}

/// Proof that an entry is under a signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The shard.
    pub shard: Arc<str>,
    /// Index in its tree.
    pub leaf_index: u64,
    /// From the leaf's sibling upward.
    pub proof: Vec<Hash>,
    /// The signed checkpoint it leads to.
    pub checkpoint: String,
}

/// A log's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Takes writes.
    Open,
    /// About to freeze.
    Closing,
    /// Takes no writes.
    Frozen,
    /// Stopped on this replica.
    Halted,
}

/// Positions, as global indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Decided and durable.
    pub ordered: u64,
    /// In the trees.
    pub integrated: u64,
    /// Under signed checkpoints.
    pub published: u64,
}

/// A shard, for those who look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// Name.
    pub name: String,
    /// State; the active one shows as frozen while the log is.
    pub state: ShardState,
    /// Tree ID.
    pub tree_id: u64,
    /// Checkpoint origin.
    pub origin: String,
    /// Verifier key.
    pub vkey: String,
    /// Global index of its first entry, once open.
    pub start_index: Option<u64>,
    /// Entries ordered into it, once open.
    pub length: Option<u64>,
    /// Entries under its checkpoint.
    pub published: Option<u64>,
    /// Root of its checkpoint.
    pub root: Option<Hash>,
}

/// A log as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Name.
    pub log: String,
    /// Condition.
    pub condition: Condition,
    /// Why halted, since when frozen, or what holds publication up.
    pub reason: Option<String>,
    /// Running generation.
    pub generation: u64,
    /// Its entity tag.
    pub etag: String,
    /// Positions.
    pub watermarks: Watermarks,
    /// Last publication, milliseconds since the Unix epoch.
    pub published_at_ms: Option<u64>,
    /// Oldest first.
    pub shards: Vec<ShardView>,
}

/// A handle on one log; clones are the same log.
#[derive(Clone)]
pub struct Log {
    pub(crate) core: Arc<Core>,
}

impl Core {
    /// Where an object of a shard lies.
    pub(crate) fn object_path(&self, shard: &str, rest: &str) -> String {
        format!("{}/{shard}/{rest}", self.name)
    }

    pub(crate) fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.running.load().document)
    }

    pub(crate) fn set_trouble(&self, why: Option<String>, full: bool) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why.map(|w| (w, full));
    }

    fn trouble(&self) -> Option<(String, bool)> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn frozen(&self, state: &State) -> Option<AppendError> {
        match state.gate {
            Gate::Open => None,
            Gate::Closing => Some(AppendError::Closing),
            Gate::Frozen { time, .. } => {
                let shard = state
                    .active()
                    .map(|s| s.identity.name.clone())
                    .unwrap_or_default();
                Some(AppendError::Frozen {
                    shard,
                    since_ms: time,
                })
            }
        }
    }

    pub(crate) fn append_error(&self, error: CommitError) -> AppendError {
        match error {
            // A freeze that was lifted since still refused this write.
            CommitError::Frozen => self
                .frozen(&self.order.state())
                .unwrap_or(AppendError::Closing),
            CommitError::Store(StoreError::Full(detail)) => AppendError::Full { detail },
            CommitError::Store(e) => {
                tracing::warn!(error = %e, "a commit failed; nothing was written");
                AppendError::overloaded("the store failed; nothing was written")
            }
            CommitError::Refused(_) | CommitError::Unknown(_) => match self.halt.reason() {
                Some(reason) => AppendError::Halted { reason },
                None => AppendError::Unknown,
            },
        }
    }

    /// Loads the config document that the state names, when it is not the one that runs.
    pub(crate) async fn update_running(&self) -> Result<(), StoreError> {
        let state = self.order.state();
        if state.generation == self.running.load().generation {
            return Ok(());
        }
        let key = self.order.keys.document(&state.document);
        let missing = || StoreError::Corrupt(format!("{key} is missing; run `logd fsck`"));
        let bytes = self.store.get(&key).await?.ok_or_else(missing)?;
        let document: LogConfig = serde_json::from_slice(&bytes)
            .map_err(|e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`")))?;
        if record::digest(&bytes) != state.document {
            return Err(StoreError::Corrupt(format!(
                "{key}: its bytes changed; run `logd fsck`"
            )));
        }
        let running = Arc::new(Running {
            generation: state.generation,
            document: Arc::new(document),
        });
        self.running.rcu(|old| {
            if old.generation < running.generation {
                Arc::clone(&running)
            } else {
                Arc::clone(old)
            }
        });
        Ok(())
    }

    /// The bundle that holds `leaf` of a shard with `published` entries published.
    async fn bundle(
        &self,
        shard: &str,
        leaf: u64,
        published: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        let index = leaf / TILE_WIDTH;
        let full = TilePath::entries(index, 256);
        let whole = self.object_path(shard, &full.to_string());
        if (index + 1) * TILE_WIDTH <= published {
            return self.objects.get(&whole).await;
        }
        let partial = TilePath::entries(index, (published % TILE_WIDTH) as u16);
        match self
            .objects
            .get(&self.object_path(shard, &partial.to_string()))
            .await?
        {
            Some(bytes) => Ok(Some(bytes)),
            None => self.objects.get(&whole).await,
        }
    }

    /// Published entries as bundle-encoded bytes; `None` when they are not published.
    pub(crate) async fn published_range(
        &self,
        start: u64,
        count: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        let state = self.order.state();
        let Some(shard) = state.shard_at(start) else {
            return Ok(None);
        };
        let first = start - shard.start().unwrap_or(start);
        let Some(row) = read_published(self, &shard.identity.name).await? else {
            return Ok(None);
        };
        if row.size < first + count {
            return Ok(None);
        }
        let mut out = BytesMut::new();
        let mut leaf = first;
        while leaf < first + count {
            let Some(bytes) = self.bundle(&shard.identity.name, leaf, row.size).await? else {
                return Ok(None);
            };
            let entries =
                bundle::entries(&bytes).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let skip = usize::try_from(leaf % TILE_WIDTH).unwrap_or(0);
            let before = leaf;
            for entry in entries
                .into_iter()
                .skip(skip)
                .take(usize::try_from(first + count - leaf).unwrap_or(256))
            {
                batch::push(&mut out, entry);
                leaf += 1;
            }
            if leaf == before {
                return Ok(None);
            }
        }
        Ok(Some(out.freeze()))
    }
}

impl Log {
    /// The log's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Counters.
    pub fn metrics(&self) -> &LogMetrics {
        &self.core.metrics
    }

    /// Appends an entry. The answer means: ordered and durable on disk; it survives kill and power loss, and never moves.
    pub fn append(
        &self,
        entry: Bytes,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static {
        let queued = self
            .admit(&entry)
            .and_then(|room| self.core.batcher.append(entry, room));
        async move { queued?.await }
    }

    /// The room for more unpublished bytes, or why there is none.
    fn admit(&self, entry: &Bytes) -> Result<usize, AppendError> {
        let core = &self.core;
        if entry.is_empty() {
            return Err(AppendError::Empty);
        }
        if entry.len() > bundle::MAX_ENTRY {
            return Err(AppendError::TooLarge);
        }
        if let Some(reason) = core.halt.reason() {
            return Err(AppendError::Halted { reason });
        }
        if let Some(refused) = core.frozen(&core.order.state()) {
            return Err(refused);
        }
        if core.low_space.load(Relaxed) {
            return Err(AppendError::Full {
                detail: "less space is free than is kept in reserve".into(),
            });
        }
        if core.skewed.load(Relaxed) {
            return Err(AppendError::overloaded(
                "this replica's clock is off the store's by more than 5 s",
            ));
        }
        let pending = core.pending.bytes();
        if pending >= core.max_pending {
            return Err(match core.trouble() {
                Some((detail, true)) => AppendError::Full { detail },
                Some((why, false)) => {
                    AppendError::overloaded(&format!("publication is held up: {why}"))
                }
                None => AppendError::overloaded("entries arrive faster than they can be published"),
            });
        }
        if let Some((detail, true)) = core.trouble() {
            return Err(AppendError::Full { detail });
        }
        Ok(core.max_pending - pending)
    }

    fn alive(&self) -> Result<(), ReadError> {
        self.core
            .halt
            .reason()
            .map_or(Ok(()), |reason| Err(ReadError::Halted { reason }))
    }

    /// Waits until a signed checkpoint covers a global index.
    pub async fn wait_published(&self, index: u64) -> Result<(), ReadError> {
        let mut published = self.core.published.subscribe();
        tokio::select! {
            reached = published.wait_for(|at| *at > index) => drop(reached),
            reason = self.core.halt.halted() => return Err(ReadError::Halted { reason }),
        }
        Ok(())
    }

    /// The state, with the slots of other replicas read when `index` is not known yet.
    async fn state_with(&self, index: u64) -> Result<Option<Arc<State>>, ReadError> {
        let mut state = self.core.order.state();
        if index >= state.size && !self.core.halt.is_halted() {
            self.core.order.refresh().await?;
            state = self.core.order.state();
        }
        Ok((index < state.size).then_some(state))
    }

    /// The entry at a global index, from the moment it is ordered.
    pub async fn entry(&self, index: u64) -> Result<Option<EntryRecord>, ReadError> {
        let Some(state) = self.state_with(index).await? else {
            return Ok(None);
        };
        let Some(at) = state.shard_at(index) else {
            return Ok(None);
        };
        let leaf_index = index - at.start().unwrap_or(index);
        let Some(shard) = self.core.shards.get(&state, &at.identity.name) else {
            return Ok(None);
        };
        let nth = |bytes: &Bytes, n: u64| -> Result<Option<EntryRecord>, ReadError> {
            let entries = batch::entries(bytes).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let found = usize::try_from(n)
                .ok()
                .and_then(|n| entries.get(n).copied());
            Ok(found.map(|e| EntryRecord {
                shard: Arc::clone(&shard.name),
                leaf_index,
                bytes: bytes.slice_ref(e),
            }))
        };
        // Twice: it may be published and let go between the two places.
        for _ in 0..2 {
            if let Some(held) = self.core.pending.find(index)
                && let Some(bytes) = read_batch(&self.core, &held).await?
            {
                return nth(&bytes, index - held.start);
            }
            let published = match shard.published() {
                known if known > leaf_index => known,
                _ => read_published(&self.core, &shard.name)
                    .await?
                    .map_or(0, |row| row.size),
            };
            if published > leaf_index
                && let Some(bytes) = self.core.bundle(&shard.name, leaf_index, published).await?
            {
                return nth(&bytes, leaf_index % TILE_WIDTH);
            }
        }
        Err(StoreError::Corrupt(format!(
            "entry {index} is ordered but its bytes are missing; run `logd fsck`"
        ))
        .into())
    }

    /// Proof that the entry at a global index is under a signed checkpoint; `None` until it is published. A proof that does not
    /// hold is never given out: the log halts.
    pub async fn inclusion(&self, index: u64) -> Result<Option<Inclusion>, ReadError> {
        self.alive()?;
        let Some(state) = self.state_with(index).await? else {
            return Ok(None);
        };
        let Some(at) = state.shard_at(index) else {
            return Ok(None);
        };
        let leaf_index = index - at.start().unwrap_or(index);
        let Some(shard) = self.core.shards.get(&state, &at.identity.name) else {
            return Ok(None);
        };
        for _ in 0..8 {
            let Some(signed) = shard.signed.load_full().filter(|s| s.at.size > leaf_index) else {
                return Ok(None);
            };
            // A partial tile may go as soon as the full one is there; then a newer checkpoint is, too.
            let Some(tiles) = self
                .tiles(
                    &shard.name,
                    tlog::inclusion_tiles(leaf_index, signed.at.size),
                )
                .await?
            else {
                tokio::task::yield_now().await;
                continue;
            };
            let Some(entry) = self.entry(index).await? else {
                return Ok(None);
            };
            let proof = tlog::inclusion_proof(leaf_index, signed.at.size, &tiles)
                .map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let leaf = leaf_hash(&entry.bytes);
            if let Err(e) =
                tlog::verify_inclusion(leaf_index, signed.at.size, &leaf, &proof, &signed.at.root)
            {
                let reason = format!(
                    "the tiles of shard {} do not lead from entry {index} to the signed root: {e}; run `logd fsck`",
                    shard.name
                );
                self.core.halt.halt(reason.clone());
                return Err(ReadError::Halted { reason });
            }
            return Ok(Some(Inclusion {
                shard: Arc::clone(&shard.name),
                leaf_index,
                proof,
                checkpoint: signed.note.clone(),
            }));
        }
        Err(StoreError::Corrupt(format!(
            "tiles of shard {} are missing; run `logd fsck`",
            shard.name
        ))
        .into())
    }

    async fn tiles(&self, shard: &str, paths: Vec<TilePath>) -> Result<Option<TileSet>, ReadError> {
        let mut set = TileSet::default();
        for path in paths {
            let object = self.core.object_path(shard, &path.to_string());
            let Some(bytes) = self.core.objects.get(&object).await? else {
                return Ok(None);
            };
            if let Err(e) = set.insert(path, &bytes) {
                let reason = format!("{object}: {e}; run `logd fsck`");
                self.core.halt.halt(reason.clone());
                return Err(ReadError::Halted { reason });
            }
        }
        Ok(Some(set))
    }

    /// The newest signed checkpoint of a shard; an empty one while it is planned or has nothing published. `None`: no such shard.
    pub async fn checkpoint(&self, shard: &str) -> Result<Option<String>, ReadError> {
        let state = self.core.order.state();
        let Some(shard) = self.core.shards.get(&state, shard) else {
            return Ok(None);
        };
        if let Some(signed) = shard.signed.load().as_ref() {
            return Ok(Some(signed.note.clone()));
        }
        self.alive()?;
        if read_published(&self.core, &shard.name)
            .await?
            .is_some_and(|row| row.size > 0)
        {
            let path = self.core.object_path(&shard.name, "checkpoint");
            let why = format!(
                "{path} is missing or not the one that was published; a restart writes it again"
            );
            return Err(StoreError::Corrupt(why).into());
        }
        let signer = shard
            .signer(&self.core.order.keys, &*self.core.store, &self.core.kek)
            .await?;
        Ok(Some(shard.checkpoint(signer, 0, tlog::empty_root())?))
    }

    /// A tile, a bundle or the seal of a shard: `tile/…` or `seal`. `None` for anything else and for what is not there.
    pub async fn object(&self, shard: &str, path: &str) -> Result<Option<Bytes>, ReadError> {
        let known = self
            .core
            .order
            .state()
            .shards
            .iter()
            .any(|s| s.identity.name == shard);
        if !known || (path != "seal" && path.parse::<TilePath>().is_err()) {
            return Ok(None);
        }
        Ok(self
            .core
            .objects
            .get(&self.core.object_path(shard, path))
            .await?)
    }

    /// The log as it stands.
    pub fn status(&self) -> Status {
        let core = &self.core;
        let state = core.order.state();
        let running = core.running.load_full();
        let frozen = matches!(state.gate, Gate::Frozen { .. });
        let shards: Vec<ShardView> = state
            .shards
            .iter()
            .map(|shard| {
                let signed = core
                    .shards
                    .get(&state, &shard.identity.name)
                    .and_then(|s| s.signed.load_full());
                ShardView {
                    name: shard.identity.name.clone(),
                    state: match shard.phase {
                        Phase::Planned => ShardState::Planned,
                        Phase::Active { .. } if frozen => ShardState::Frozen,
                        Phase::Active { .. } => ShardState::Active,
                        Phase::Frozen { .. } => ShardState::Frozen,
                    },
                    tree_id: shard.identity.tree_id,
                    origin: shard.identity.origin.clone(),
                    vkey: shard.identity.vkey.clone(),
                    start_index: shard.start(),
                    length: state.length(shard),
                    published: signed
                        .as_ref()
                        .map(|s| s.at.size)
                        .or(shard.start().map(|_| 0)),
                    root: signed.map(|s| s.at.root),
                }
            })
            .collect();
        let (condition, reason) = match (core.halt.reason(), state.gate) {
            (Some(reason), _) => (Condition::Halted, Some(reason)),
            (None, Gate::Open) => (Condition::Open, core.trouble().map(|(why, _)| why)),
            (None, Gate::Closing) => (Condition::Closing, None),
            (None, Gate::Frozen { slot, .. }) => {
                (Condition::Frozen, Some(format!("frozen in slot {slot}")))
            }
        };
        let published_at_ms = state.shards.iter().rev().find_map(|shard| {
            core.shards
                .get(&state, &shard.identity.name)?
                .signed
                .load()
                .as_ref()
                .map(|s| s.at.time)
        });
        Status {
            log: core.name.clone(),
            condition,
            reason,
            generation: running.generation,
            etag: running.document.etag(running.generation),
            watermarks: Watermarks {
                ordered: state.size,
                integrated: core.metrics.integrated.get(),
                published: *core.published.borrow(),
            },
            published_at_ms,
            shards,
        }
    }

    /// The running configuration, with the fields that the server fills in.
    pub fn config(&self) -> LogConfig {
        let state = self.core.order.state();
        let running = self.core.running.load_full();
        let mut document = (*running.document).clone();
        document.generation = Some(running.generation);
        for shard in &mut document.shards {
            let Some(known) = state
                .shards
                .iter()
                .find(|s| s.identity.name == shard.name.as_str())
            else {
                continue;
            };
            shard.tree_id = Some(known.identity.tree_id.to_string());
            shard.vkey = Some(known.identity.vkey.clone());
            shard.start_index = known.start();
            if let Phase::Frozen { length, .. } = known.phase {
                shard.length = Some(length);
                let signed = self
                    .core
                    .shards
                    .get(&state, &known.identity.name)
                    .and_then(|s| s.signed.load_full());
                shard.root_hash = signed
                    .filter(|s| s.at.size == length)
                    .map(|s| s.at.root.to_string());
            }
        }
        document
    }
}
