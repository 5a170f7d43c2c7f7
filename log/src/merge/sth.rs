//! `sth`: trees → durable tiles → the published position → signed checkpoints → seals. Older shards first.
//!
//! The order of the steps is the point: tiles are durable before a position covers them, the position is durable before it is
//! signed, and it never goes back. A root that differs from the one written for the same size is a HALT.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tlog::{Checkpoint, Seal, TilePath, partial_tiles};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::fetch::{Cut, ShardCut};
use crate::log::Core;
use crate::order::collect;
use crate::order::commit::now_ms;
use crate::order::slot::Token;
use crate::order::state::{Phase, State};
use crate::record;
use crate::shard::{Published, Shard, SignError, Signed};
use crate::store::{Guard, Outcome, StoreError, Transaction};

/// Why a publication did not go through.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("{0}")]
    Halt(String),
}

/// The publisher of one log.
pub struct Sth {
    /// The log.
    pub core: Arc<Core>,
    /// Asks the integrator for a cut.
    pub cuts: mpsc::Sender<oneshot::Sender<Cut>>,
    /// How far the integration is.
    pub integrated: watch::Receiver<u64>,
    /// Set when the log shuts down: publish what there is, then end.
    pub closing: watch::Receiver<bool>,
    /// The state after the last published slot.
    pub published: Arc<State>,
}

impl Sth {
    /// Runs until the log ends.
    pub async fn run(mut self) {
        let mut last = Instant::now();
        loop {
            let closing = *self.closing.borrow_and_update();
            let merge = self.core.config().merge.clone();
            let grew = self.published.len < self.core.order.state().len;
            let due = last
                + if grew {
                    merge.checkpoint_interval.duration()
                } else {
                    merge.idle_republish.duration()
                };
            if closing && !grew {
                return;
            }
            tokio::select! {
                _ = self.core.halt.halted() => return,
                () = tokio::time::sleep_until(due), if !closing => {}
                _ = self.integrated.changed(), if !closing && !grew => continue,
                _ = self.closing.changed(), if !closing => continue,
                () = std::future::ready(()), if closing => {}
            }
            last = Instant::now();
            if grew {
                self.publish().await
            } else {
                self.republish().await
            }
        }
    }

    async fn publish(&mut self) {
        let (send, receive) = oneshot::channel();
        if self.cuts.send(send).await.is_err() {
            return;
        }
        let Ok(cut) = receive.await else { return };
        if cut.state.len == self.published.len {
            // Ordered but not integrated yet: wait for the integrator instead of asking in a loop.
            tokio::select! { _ = self.integrated.changed() => {}, _ = self.core.halt.halted() => {} }
            return;
        }
        let began = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            match self.publish_cut(&cut).await {
                Ok(()) => break,
                Err(PublishError::Halt(why)) => return self.core.halt.halt(why),
                Err(e) => {
                    self.core.set_trouble(
                        Some(e.to_string()),
                        matches!(e, PublishError::Store(StoreError::Full(_))),
                    );
                    tracing::warn!(error = %e, "publication waits");
                }
            }
            tokio::select! { () = tokio::time::sleep(pause) => {}, _ = self.core.halt.halted() => return }
            pause = (pause * 2).min(Duration::from_secs(2));
            if *self.closing.borrow() && pause > Duration::from_secs(1) {
                return; // What is ordered is durable; the next start publishes it.
            }
        }
        self.core.set_trouble(None, false);
        self.core.metrics.publications.add(1);
        self.core
            .metrics
            .publish_seconds
            .observe(began.elapsed().as_secs_f64());
        self.published = Arc::clone(&cut.state);
        if let Err(e) = collect::collect(&self.core, &cut.state).await {
            tracing::warn!(error = %e, "collection waits for the next publication");
        }
    }

    async fn publish_cut(&self, cut: &Cut) -> Result<(), PublishError> {
        let core = &self.core;
        let shards: Vec<(&ShardCut, Arc<Shard>)> = cut
            .shards
            .iter()
            .filter_map(|s| Some((s, core.shards.get(&cut.state, &s.name)?)))
            .collect();
        // Another replica may have done this already; then there is nothing to write again.
        let mut todo = Vec::new();
        for (shard_cut, shard) in &shards {
            match self.row(&shard_cut.name).await? {
                Some(row) if row.size > shard_cut.size => self.adopt(shard, row).await?,
                // Published, but perhaps its author died before it signed: the root is the one computed here.
                Some(row) if row.size == shard_cut.size && row.root == shard_cut.root => {
                    if shard.published() != row.size || shard.signed.load().is_none() {
                        self.sign(shard, row).await?;
                    }
                }
                _ => todo.push((*shard_cut, shard)),
            }
        }
        let paths = |s: &ShardCut| {
            let name = s.name.clone();
            s.tiles
                .iter()
                .map(move |(path, bytes)| {
                    (core.object_path(&name, &path.to_string()), bytes.clone())
                })
                .collect::<Vec<_>>()
        };
        let tiles: Vec<(String, Bytes)> = todo.iter().flat_map(|(s, _)| paths(s)).collect();
        if !tiles.is_empty() {
            core.objects.put(tiles).await?;
        }
        let last = todo.len().saturating_sub(1);
        for (at, (shard_cut, shard)) in todo.iter().enumerate() {
            let done: &[_] = if at == last { &cut.batches } else { &[] };
            self.publish_shard(shard_cut, shard, done).await?;
        }
        for (shard_cut, shard) in &shards {
            self.delete_partials(shard_cut).await;
            self.seal(&cut.state, shard_cut, shard).await?;
        }
        // Another replica may be ahead: what is not integrated here is still needed here.
        let integrated = *self.integrated.borrow();
        let published = core.shards.published(&core.order.state()).min(integrated);
        core.metrics.published.set(published);
        core.pending.release(published);
        core.batcher.published(core, published);
        core.published
            .send_if_modified(|at| std::mem::replace(at, published) != published);
        Ok(())
    }

    async fn row(&self, shard: &str) -> Result<Option<Published>, StoreError> {
        read_published(&self.core, shard).await
    }

    /// One shard: root and position in one durable step, then the signature, then the checkpoint object.
    async fn publish_shard(
        &self,
        cut: &ShardCut,
        shard: &Arc<Shard>,
        batches: &[(Token, bool)],
    ) -> Result<(), PublishError> {
        let core = &self.core;
        let keys = &core.order.keys;
        let at = Published {
            size: cut.size,
            root: cut.root,
            time: now_ms(),
        };
        let root_key = keys.root(&cut.name, cut.size);
        let written = core.store.get(&root_key).await?;
        if let Some(bytes) = &written {
            let root: tlog::Hash = record::decode(bytes)
                .map_err(|e| PublishError::Halt(format!("{root_key}: {e}")))?;
            if root != cut.root {
                return Err(PublishError::Halt(format!(
                    "shard {} at size {}: this replica computes root {} where {root} was published; run `logd fsck`",
                    cut.name, cut.size, cut.root
                )));
            }
        }
        let mut transaction = Transaction {
            guards: vec![Guard::AtMost(keys.published(&cut.name), cut.size)],
            puts: vec![
                (
                    keys.published(&cut.name),
                    record::encode_numbered(cut.size, &at),
                ),
                (keys.integrated(&cut.name), record::encode_number(cut.size)),
            ],
            deletes: batches
                .iter()
                .filter(|(_, object)| !object)
                .map(|(token, _)| keys.batch(*token))
                .collect(),
        };
        if written.is_none() {
            transaction.guards.push(Guard::Absent(root_key.clone()));
            transaction.puts.push((root_key, record::encode(&cut.root)));
        }
        if let Some(before) = shard
            .signed
            .load()
            .as_ref()
            .filter(|s| s.at.size < cut.size)
        {
            transaction
                .deletes
                .push(keys.root(&cut.name, before.at.size));
        }
        match core.store.transact(transaction).await {
            Outcome::Committed => {}
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
            Outcome::Refused => {
                return Err(
                    StoreError::Io("another replica published at the same moment".into()).into(),
                );
            }
        }
        let objects: Vec<String> = batches
            .iter()
            .filter(|(_, object)| *object)
            .map(|(token, _)| keys.batch(*token))
            .collect();
        if !objects.is_empty() {
            core.objects.delete(objects).await?;
        }
        self.sign(shard, at).await
    }

    /// Signs a position that is durable, and puts the checkpoint where readers find it.
    async fn sign(&self, shard: &Arc<Shard>, at: Published) -> Result<(), PublishError> {
        let core = &self.core;
        let signer = shard
            .signer(&core.order.keys, &*core.store, &core.kek)
            .await?;
        let note = shard.checkpoint(signer, at.size, at.root)?;
        let path = core.object_path(&shard.name, "checkpoint");
        core.objects
            .put(vec![(path.clone(), Bytes::from(note.clone()))])
            .await?;
        shard.signed.store(Some(Arc::new(Signed {
            at: at.clone(),
            note,
        })));
        // A slower replica may have put an older checkpoint over a newer one: the position tells.
        match self.row(&shard.name).await? {
            Some(row) if row.size > at.size => self.adopt(shard, row).await,
            _ => Ok(()),
        }
    }

    /// Takes over a position that another replica published, with the checkpoint it signed. Where that is not there yet, the
    /// next cut brings this replica to the same size, and it signs itself.
    async fn adopt(&self, shard: &Arc<Shard>, row: Published) -> Result<(), PublishError> {
        if shard.published() >= row.size && shard.signed.load().is_some() {
            return Ok(());
        }
        let path = self.core.object_path(&shard.name, "checkpoint");
        if let Some(bytes) = self.core.objects.get(&path).await?
            && let Ok(note) = String::from_utf8(bytes.to_vec())
            && let Ok(checkpoint) = Checkpoint::open(&note, &shard.verifier()?)
            && checkpoint.size >= row.size
        {
            let at = Published {
                size: checkpoint.size,
                root: checkpoint.root,
                time: row.time,
            };
            shard.signed.store(Some(Arc::new(Signed { at, note })));
        }
        Ok(())
    }

    /// Says again what was said last, so that readers see a live log, and a lost checkpoint file comes back.
    async fn republish(&self) {
        let state = self.core.order.state();
        let Some(shard) = state
            .active()
            .and_then(|s| self.core.shards.get(&state, &s.identity.name))
        else {
            return;
        };
        let Some(signed) = shard.signed.load_full() else {
            return;
        };
        let at = Published {
            time: now_ms(),
            ..signed.at.clone()
        };
        let key = self.core.order.keys.published(&shard.name);
        let transaction = Transaction {
            guards: vec![Guard::AtMost(key.clone(), at.size)],
            puts: vec![(key, record::encode_numbered(at.size, &at))],
            ..Transaction::default()
        };
        if let Outcome::Committed = self.core.store.transact(transaction).await
            && let Err(e) = self.sign(&shard, at).await
        {
            tracing::warn!(error = %e, "cannot refresh the checkpoint");
        }
    }

    /// Partial tiles go once the full tile is there (tlog-tiles, "Partial Tiles"). Litter is harmless, so errors only count.
    async fn delete_partials(&self, cut: &ShardCut) {
        let mut last = self.core.last_cut.lock().await;
        let before = last.insert(cut.name.clone(), cut.size).unwrap_or(0);
        for tile in partial_tiles(before) {
            let full = TilePath { width: 256, ..tile };
            if !cut.tiles.iter().any(|(path, _)| *path == full) {
                continue;
            }
            let folder = self.core.object_path(&cut.name, &format!("{full}.p"));
            match self.core.objects.list(&folder).await {
                Ok(paths) => {
                    let count = paths.len() as u64;
                    if self.core.objects.delete(paths).await.is_ok() {
                        self.core.metrics.partials_deleted.add(count);
                    }
                }
                Err(e) => tracing::warn!(error = %e, folder, "cannot list partial tiles"),
            }
        }
    }

    /// Seals a shard that was rotated out and is published whole. Deterministic, so writing it twice is harmless.
    async fn seal(
        &self,
        state: &State,
        cut: &ShardCut,
        shard: &Arc<Shard>,
    ) -> Result<(), PublishError> {
        let core = &self.core;
        let Some(at) = state
            .shards
            .iter()
            .position(|s| s.identity.name == cut.name)
        else {
            return Ok(());
        };
        let Phase::Frozen { length, .. } = state.shards[at].phase else {
            return Ok(());
        };
        if length != cut.size {
            return Ok(());
        }
        let Some(next) = state.shards.get(at + 1) else {
            return Ok(());
        };
        let Some(successor) = core.shards.get(state, &next.identity.name) else {
            return Ok(());
        };
        let seal = Seal {
            origin: shard.identity.origin.clone(),
            size: cut.size,
            root: cut.root,
            successor_origin: successor.identity.origin.clone(),
            successor_key: successor.verifier()?,
        };
        let keys = &core.order.keys;
        let note = seal
            .sign(
                shard.signer(keys, &*core.store, &core.kek).await?,
                successor.signer(keys, &*core.store, &core.kek).await?,
            )
            .map_err(|e| SignError::Note {
                shard: cut.name.clone(),
                why: e.to_string(),
            })?;
        core.objects
            .put(vec![(
                core.object_path(&cut.name, "seal"),
                Bytes::from(note),
            )])
            .await?;
        Ok(())
    }
}

/// The published position of a shard, as its row says.
pub async fn read_published(core: &Core, shard: &str) -> Result<Option<Published>, StoreError> {
    let key = core.order.keys.published(shard);
    let Some(bytes) = core.store.get(&key).await? else {
        return Ok(None);
    };
    let (_, row) =
        record::decode_numbered(&bytes).map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?;
    Ok(Some(row))
}
