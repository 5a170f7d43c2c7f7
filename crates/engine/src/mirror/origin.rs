//! One mirrored log: its pending checkpoints, its entries, its mirror checkpoint, its alarm.
//!
//! One lock covers all of it, held during a write and never during a wait for a client.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tlog::mirror::{AddCheckpoint, EntriesHead, MirrorInfo, Package, read_package};
use tlog::{
    Checkpoint, Cosigner, Hash, TILE_WIDTH, TilePath, attach, empty_root, leaf_hash, subtree_root,
};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

use crate::integrate::tree::ShardTree;
use crate::ledger::now_ms;
use crate::mirror::files::{Files, Position, last_cosigned};
use crate::mirror::rows::{Alarm, Mirrored, Pending, Rows};
use crate::mirror::{OriginStatus, Refusal, now_seconds, transact};
use crate::peers::ask::PeerLife;
use store::record;
use store::{Coordination, Guard, StoreError, Transaction};

/// Pending checkpoints that are remembered, so that an upload that was overtaken can still end.
const PENDINGS: usize = 16;
/// How far below the next entry an upload may begin.
const SLACK: u64 = 32 * TILE_WIDTH;
/// Readers that wait for the lock at a time.
const READS: usize = 4;

/// Everything about the log, under its lock.
struct Held {
    pendings: BTreeMap<u64, Pending>,
    /// What is written down; the tree may be ahead of it.
    position: Position,
    mirrored: Option<Mirrored>,
    /// The newest mirror checkpoint with a signature of the shard's own key: the one that readers of the log can verify.
    served: Option<Mirrored>,
    alarm: Option<Alarm>,
    tree: ShardTree,
    files: Files,
    /// How often entries were let go: uploads from before are over.
    cuts: u64,
    /// A write or sync failed. The files are not touched any more: a second sync could succeed with the data lost.
    broken: Option<String>,
}

/// One mirrored log.
pub struct Origin {
    origin: String,
    rows: Rows,
    store: Arc<dyn Coordination>,
    cosigner: Arc<Cosigner>,
    held: Arc<Mutex<Held>>,
    /// Taken by a reader before the lock, which is given in turn: an upload waits for so many of them at most.
    reads: Semaphore,
    /// The life of its log that is accepted.
    life: Arc<AtomicU64>,
    shown: ArcSwap<OriginStatus>,
}

async fn row<T: serde::de::DeserializeOwned>(
    store: &dyn Coordination,
    key: &str,
    numbered: bool,
) -> Result<Option<T>, StoreError> {
    let Some(bytes) = store.get(key).await? else {
        return Ok(None);
    };
    let decoded = if numbered {
        record::decode_numbered(&bytes).map(|(_, row)| row)
    } else {
        record::decode(&bytes)
    };
    decoded
        .map(Some)
        .map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))
}

/// Runs file work on a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Refusal::Storage(format!("a task ended: {e}")))
}

impl Held {
    fn usable(&self) -> Result<(), Refusal> {
        match (&self.broken, &self.alarm) {
            (Some(why), _) => Err(Refusal::Storage(why.clone())),
            (None, Some(alarm)) => Err(Refusal::Alarm(Box::new(alarm.clone()))),
            (None, None) => Ok(()),
        }
    }

    fn pending_size(&self) -> u64 {
        self.pendings.last_key_value().map_or(0, |(size, _)| *size)
    }

    fn info(&self, end: u64) -> MirrorInfo {
        let known = self.committed(end).is_some() && end >= self.mirrored_size();
        MirrorInfo {
            size: if known { end } else { self.pending_size() },
            next: self.position.next,
            ticket: Vec::new(),
        }
    }

    fn mirrored_size(&self) -> u64 {
        self.mirrored.as_ref().map_or(0, |m| m.size)
    }

    /// What the log has committed itself to at `size`: one of the last pending checkpoints, or the mirror checkpoint, which stays
    /// a valid end of an upload however many pending ones came after it (C2SP tlog-mirror, "add-entries").
    fn committed(&self, size: u64) -> Option<Pending> {
        let mirrored = self.mirrored.as_ref().filter(|at| at.size == size);
        let cosigned = mirrored.map(|at| Pending {
            size,
            root: at.root,
            note: at.note.clone(),
        });
        self.pendings.get(&size).cloned().or(cosigned)
    }

    /// The root that is known here for a size, if one is.
    fn root(&self, size: u64) -> Result<Option<Hash>, StoreError> {
        if let Some(pending) = self.pendings.get(&size) {
            return Ok(Some(pending.root));
        }
        if size == self.tree.size() {
            return Ok(Some(self.tree.root()));
        }
        if size > self.position.next {
            return Ok(None);
        }
        self.files
            .root(size)
            .map(Some)
            .map_err(|e| StoreError::Io(e.to_string()))
    }

    /// Verifies and takes the packages that are whole in `bytes`. The answer is the number of bytes used.
    fn take(&mut self, upload: &mut Progress, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        let mut out = Vec::new();
        let mut wrong = None;
        while let Some(package) = Package::first(upload.at, upload.end) {
            let read = read_package(&bytes[used..], package.entries());
            let Some(read) = read.map_err(|e| Refusal::Malformed(e.to_string()))? else {
                break;
            };
            match self.take_package(&package, &read, upload, &mut out) {
                Ok(()) => {}
                Err(refusal) => {
                    wrong = Some(refusal);
                    break;
                }
            }
            used += read.length;
            upload.at = package.end;
            upload.taken = true;
        }
        if let Err(e) = self.files.write(&out) {
            let why = format!("writing entries: {e}");
            self.broken = Some(why.clone());
            return Err(Refusal::Storage(why));
        }
        wrong.map_or(Ok(used), Err)
    }

    fn take_package(
        &mut self,
        package: &Package,
        read: &tlog::mirror::PackageBytes<'_>,
        upload: &Progress,
        out: &mut Vec<crate::integrate::tree::TileBytes>,
    ) -> Result<(), Refusal> {
        // What stands before the package in its bundle is here already: the upload begins at the next entry or below.
        let before = (package.start - package.base) as u16;
        let mut leaves = Vec::with_capacity(TILE_WIDTH as usize);
        if before > 0 {
            let tile = TilePath::hashes(0, package.base / TILE_WIDTH, before);
            let here = self.tree.partials().into_iter().find(|(path, _)| {
                path.kind == tile.kind && path.index == tile.index && path.width >= before
            });
            let hashes = match here {
                Some((_, bytes)) => bytes
                    .as_chunks::<{ Hash::LEN }>()
                    .0
                    .iter()
                    .copied()
                    .map(Hash)
                    .collect(),
                None => self
                    .files
                    .hashes(tile)
                    .map_err(|e| Refusal::Storage(e.to_string()))?,
            };
            leaves.extend(hashes.into_iter().take(usize::from(before)));
        }
        leaves.extend(read.entries.iter().map(|entry| leaf_hash(entry)));
        let hash = subtree_root(&leaves).unwrap_or_else(empty_root);
        tlog::verify_subtree(
            package.subtree(),
            upload.end,
            &read.proof,
            &hash,
            &upload.root,
        )
        .map_err(|e| {
            Refusal::Wrong(format!("entries {} to {}: {e}", package.start, package.end))
        })?;
        let known = self.tree.size().saturating_sub(package.start) as usize;
        let new = read.entries.iter().zip(&leaves[usize::from(before)..]);
        for (entry, leaf) in new.skip(known) {
            self.tree.push_hashed(entry, *leaf, out);
        }
        Ok(())
    }

    /// Makes everything that was taken durable.
    fn sync(&mut self) -> Result<Position, Refusal> {
        let synced = self.files.write(&self.tree.partials()).and_then(|()| {
            self.files
                .sync(self.tree.size(), self.tree.partial_bundle())
        });
        synced.map_err(|e| {
            let why = format!("syncing entries: {e}");
            self.broken = Some(why.clone());
            Refusal::Storage(why)
        })
    }
}

impl Origin {
    /// Reads everything back, and checks that the entries lead to the root that was cosigned.
    pub async fn load(
        origin: &str,
        dir: &Path,
        store: Arc<dyn Coordination>,
        cosigner: Arc<Cosigner>,
        life: Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        let rows = Rows(tlog::mirror::origin_hash(origin));
        let position: Position = row(&*store, &rows.position(), false)
            .await?
            .unwrap_or_default();
        let mirrored: Option<Mirrored> = row(&*store, &rows.mirrored(), true).await?;
        let served = row(&*store, &rows.served(), true).await?;
        let alarm = row(&*store, &rows.alarm(), false).await?;
        let mut pendings = BTreeMap::new();
        for (key, bytes) in store
            .scan(&rows.pendings(), &rows.pendings(), 4 * PENDINGS)
            .await?
        {
            let pending: Pending =
                record::decode(&bytes).map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?;
            pendings.insert(pending.size, pending);
        }
        let folder = dir.to_owned();
        let at = mirrored.clone();
        let opened = blocking(move || {
            // Before anything is cut off.
            if let Some((size, root)) = last_cosigned(&folder)?
                && at.as_ref().is_none_or(|at| (at.size, at.root) != (size, root))
                && at.as_ref().is_none_or(|at| at.size <= size)
            {
                let known = at.as_ref().map_or(0, |at| at.size);
                return Ok(Err(format!(
                    "size {size} was cosigned here, and mirror.db knows of {known}: it is an older copy, or was put back without mirror.db-wal. \
                     Nothing was changed. Put the newest one back; or, to begin from zero as a new incarnation, move mirror.db and the \
                     data folder away and keep them"
                )));
            }
            let (files, tree) = Files::open(&folder, position)?;
            let wrong = match &at {
                Some(at) if files.root(at.size)? != at.root => Some(format!(
                    "the entries do not lead to the root that was cosigned at size {}: this storage is damaged. Start again with an empty one",
                    at.size
                )),
                _ => None,
            };
            Ok::<_, std::io::Error>(Ok((files, tree, wrong)))
        })
        .await
        .map_err(|e| StoreError::Io(e.to_string()))?;
        let opened = opened.map_err(|e| {
            StoreError::Corrupt(format!(
                "{origin} in {}: {e}. Start again with an empty storage: it copies everything anew",
                dir.display()
            ))
        })?;
        let (files, tree, broken) = opened
            .map_err(|why| StoreError::Corrupt(format!("{origin} in {}: {why}", dir.display())))?;
        let held = Held {
            pendings,
            position,
            mirrored,
            served,
            alarm,
            tree,
            files,
            cuts: 0,
            broken,
        };
        let loaded = Self {
            shown: ArcSwap::from_pointee(Self::shown_of(origin, &held)),
            origin: origin.to_owned(),
            rows,
            store,
            cosigner,
            held: Arc::new(Mutex::new(held)),
            reads: Semaphore::new(READS),
            life,
        };
        Ok(loaded)
    }

    fn shown_of(origin: &str, held: &Held) -> OriginStatus {
        OriginStatus {
            origin: origin.to_owned(),
            pending: held.pending_size(),
            next: held.position.next,
            mirrored: held.mirrored_size(),
            alarm: held.alarm.clone(),
            broken: held.broken.clone(),
        }
    }

    fn show(&self, held: &Held) {
        self.shown
            .store(Arc::new(Self::shown_of(&self.origin, held)));
    }

    /// The log's origin.
    pub fn name(&self) -> &str {
        &self.origin
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Whether a life of the log is accepted. Called under the lock, so that an earlier life cannot finish what it has begun.
    fn hears(&self, held: &Held, life: u64) -> Result<(), Refusal> {
        let heard = self.life.load(SeqCst);
        if life < heard {
            return Err(Refusal::Superseded(PeerLife {
                id: heard,
                entries: held.mirrored_size(),
            }));
        }
        Ok(())
    }

    /// The status of this log, without a lock.
    pub fn status(&self) -> OriginStatus {
        OriginStatus::clone(&self.shown.load())
    }

    /// The mirror checkpoint for readers of the log: the newest one that the shard's own key has signed. Until there is one, the
    /// newest one.
    pub async fn checkpoint(&self) -> Option<String> {
        let held = self.held.lock().await;
        let served = held.served.as_ref().or(held.mirrored.as_ref());
        served.map(|m| m.note.clone())
    }

    /// The newest mirror checkpoint, whichever key of the log signed it: what a restore asks for.
    pub async fn cosigned_checkpoint(&self) -> Option<String> {
        let held = self.held.lock().await;
        held.mirrored.as_ref().map(|m| m.note.clone())
    }

    /// A tile or bundle.
    pub async fn tile(&self, path: TilePath) -> Result<Option<Bytes>, StoreError> {
        let turn = self.reads.acquire().await;
        let _turn = turn.map_err(|e| StoreError::Io(e.to_string()))?;
        let held = Arc::clone(&self.held).lock_owned().await;
        let read = blocking(move || held.files.read(path, held.position)).await;
        read.map_err(|e| StoreError::Io(e.to_string()))?
            .map_err(|e| StoreError::Io(format!("{path}: {e}")))
    }

    /// Takes a checkpoint, whose signature is good, as pending.
    pub async fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
        checkpoint: &Checkpoint,
        life: u64,
    ) -> Result<(), Refusal> {
        let mut held = self.held.lock().await;
        if let Some(why) = &held.broken {
            return Err(Refusal::Storage(why.clone()));
        }
        self.hears(&held, life)?;
        let (size, root) = (checkpoint.size, checkpoint.root);
        // Before everything else: a signed second root must be noticed, whatever the answer is.
        let mut raised = None;
        if held.alarm.is_none()
            && let Some(ours) = held.root(size)?
            && ours != root
        {
            raised = Some(self.raise(&mut held, size, ours, &request.checkpoint).await);
        }
        let newest = held.pending_size();
        if request.old != newest {
            return Err(Refusal::Size(newest));
        }
        if let Some(refusal) = raised {
            return Err(refusal);
        }
        held.usable()?;
        if size == 0 && root != empty_root() {
            return Err(Refusal::Wrong("the empty log has another root".into()));
        }
        if request.old == 0 || request.old == size {
            if !request.proof.is_empty() {
                return Err(Refusal::Wrong("there is nothing to prove".into()));
            }
        } else {
            let before = held.root(newest)?.unwrap_or_else(empty_root);
            tlog::verify_consistency(newest, size, &request.proof, &before, &root)
                .map_err(|e| Refusal::Wrong(format!("from size {newest} to {size}: {e}")))?;
        }
        let pending = Pending {
            size,
            root,
            note: request.checkpoint.clone(),
        };
        let mut transaction = Transaction {
            guards: vec![Guard::AtMost(self.rows.pending_size(), size)],
            puts: vec![
                (self.rows.pending(size), record::encode(&pending)),
                (self.rows.pending_size(), record::encode_number(size)),
            ],
            ..Transaction::default()
        };
        let old: Vec<u64> = held.pendings.keys().copied().collect();
        let surplus = (old.len() + 1).saturating_sub(PENDINGS);
        for size in &old[..surplus.min(old.len())] {
            transaction.deletes.push(self.rows.pending(*size));
        }
        transact(&*self.store, transaction).await?;
        for size in &old[..surplus.min(old.len())] {
            held.pendings.remove(size);
        }
        held.pendings.insert(size, pending);
        self.show(&held);
        Ok(())
    }

    /// The log was restored from what its mirrors had cosigned: lets go of what was announced after that, and of its entries. What
    /// was cosigned here stays, and an alarm too.
    pub async fn let_go(&self) -> Result<(), Refusal> {
        let held = Arc::clone(&self.held).lock_owned().await;
        if held.alarm.is_some() {
            return Ok(());
        }
        held.usable()?;
        let size = held.mirrored_size();
        if held.pending_size() <= size && held.tree.size() <= size {
            let paid = Transaction {
                deletes: vec![self.rows.owed()],
                ..Transaction::default()
            };
            return Ok(transact(&*self.store, paid).await?);
        }
        let durable = held.position;
        let (mut held, position) = blocking(move || {
            let position = held.files.position(size, durable);
            (held, position)
        })
        .await?;
        let position = position.map_err(|e| Refusal::Storage(e.to_string()))?;
        let kept = held.mirrored.as_ref().map(|mirrored| Pending {
            size,
            root: mirrored.root,
            note: mirrored.note.clone(),
        });
        let mut transaction = Transaction {
            puts: vec![
                (self.rows.position(), record::encode(&position)),
                (self.rows.pending_size(), record::encode_number(size)),
            ],
            deletes: vec![self.rows.owed()],
            ..Transaction::default()
        };
        for (&beyond, pending) in held.pendings.range(size + 1..) {
            tracing::warn!(
                origin = self.origin,
                size = beyond,
                checkpoint = pending.note,
                "the log was restored: it announced this, and it was never copied"
            );
            transaction.deletes.push(self.rows.pending(beyond));
        }
        if let Some(kept) = &kept {
            transaction
                .puts
                .push((self.rows.pending(size), record::encode(kept)));
        }
        if let Err(e) = transact(&*self.store, transaction).await {
            // Whether it was written is not known: the next start finds out.
            held.broken = Some(format!("letting go of entries: {e}"));
            self.show(&held);
            return Err(e.into());
        }
        held.pendings.retain(|&at, _| at <= size);
        held.pendings.extend(kept.map(|kept| (size, kept)));
        held.position = position;
        held.cuts += 1;
        let held = blocking(move || {
            match held.files.cut(position) {
                Ok((files, tree)) => (held.files, held.tree) = (files, tree),
                Err(e) => held.broken = Some(format!("letting go of entries: {e}")),
            }
            held
        })
        .await?;
        self.show(&held);
        held.usable()
    }

    /// Writes the alarm down; from now on nothing of this log is accepted.
    async fn raise(&self, held: &mut Held, size: u64, ours: Hash, theirs: &str) -> Refusal {
        let alarm = Alarm {
            time: now_ms(),
            size,
            ours,
            theirs: theirs.to_owned(),
        };
        tracing::error!(origin = self.origin, size, %ours, "ALARM: this log has signed another root for this size");
        let row = Transaction {
            puts: vec![(self.rows.alarm(), record::encode(&alarm))],
            ..Transaction::default()
        };
        if let Err(e) = transact(&*self.store, row).await {
            tracing::error!(error = %e, "cannot write the alarm down");
        }
        held.alarm = Some(alarm.clone());
        self.show(held);
        Refusal::Alarm(Box::new(alarm))
    }
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The next entry that is expected from the client.
    at: u64,
    start: u64,
    end: u64,
    root: Hash,
    /// A package was taken.
    taken: bool,
    /// [`Held::cuts`] when it began.
    cuts: u64,
    /// The life of the log that sends it.
    life: u64,
}

/// An upload that was welcome.
pub struct Upload {
    origin: Arc<Origin>,
    progress: Progress,
}

/// How an upload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// 200: the mirror's signature line.
    Cosigned(String),
    /// 202: the entries so far are durable.
    Partial(MirrorInfo),
}

impl Upload {
    /// Looks at the head of an upload.
    pub(crate) async fn begin(
        origin: Arc<Origin>,
        head: &EntriesHead,
        life: u64,
    ) -> Result<Self, Refusal> {
        let held = origin.held.lock().await;
        held.usable()?;
        origin.hears(&held, life)?;
        if held.pendings.is_empty() && held.mirrored.is_none() {
            return Err(Refusal::Wrong("there is no pending checkpoint".into()));
        }
        let conflict = || Refusal::GoOn(held.info(head.end));
        let root = held.committed(head.end).ok_or_else(conflict)?.root;
        let far = held.tree.size().saturating_sub(head.start) > SLACK;
        if head.end < held.mirrored_size()
            || head.start > held.tree.size()
            || (far && head.start < head.end)
        {
            return Err(conflict());
        }
        let progress = Progress {
            at: head.start,
            start: head.start,
            end: head.end,
            root,
            taken: false,
            cuts: held.cuts,
            life,
        };
        drop(held);
        Ok(Self { origin, progress })
    }

    async fn held(&self) -> Result<OwnedMutexGuard<Held>, Refusal> {
        let held = Arc::clone(&self.origin.held).lock_owned().await;
        held.usable()?;
        self.origin.hears(&held, self.progress.life)?;
        if held.cuts != self.progress.cuts {
            return Err(Refusal::GoOn(held.info(self.progress.end)));
        }
        Ok(held)
    }

    /// The most bytes that the package expected next can have; 0 when all have come.
    pub fn expects(&self) -> usize {
        Package::first(self.progress.at, self.progress.end).map_or(0, |package| {
            package.entries() * (tlog::bundle::MAX_ENTRY + 2) + 1 + 63 * Hash::LEN
        })
    }

    /// Takes the packages that are whole in `bytes`; the answer is how many bytes they had. Nothing is durable yet.
    ///
    /// # Errors
    /// [`Refusal::Wrong`] for a package that is not under the pending root; those before it are kept.
    pub async fn write(&mut self, bytes: Bytes) -> Result<usize, Refusal> {
        let mut held = self.held().await?;
        let mut progress = self.progress;
        let (result, progress) = blocking(move || {
            let used = held.take(&mut progress, &bytes);
            (used, progress)
        })
        .await?;
        self.progress = progress;
        result
    }

    /// Ends the upload: entries are synced, then the position is written down, and when all have come the mirror cosigns.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when no package had come whole; [`Refusal::GoOn`] when the mirror is further already.
    pub async fn end(self) -> Result<Ended, Refusal> {
        // A task of its own: a client that hangs up must not leave rows that the memory does not know.
        tokio::spawn(self.finish())
            .await
            .map_err(|e| Refusal::Storage(format!("a task ended: {e}")))?
    }

    async fn finish(self) -> Result<Ended, Refusal> {
        let origin = Arc::clone(&self.origin);
        let Progress {
            start,
            end,
            root,
            taken,
            ..
        } = self.progress;
        let mut held = self.held().await?;
        // Also where the entries are here already: an answer that says "all of it" is for a client that sent something.
        if start < end && !taken {
            return Err(Refusal::Malformed(
                "it ends inside its first package".into(),
            ));
        }
        let mut transaction = Transaction::default();
        let mut position = held.position;
        if held.tree.size() > held.position.next {
            let synced;
            (held, synced) = blocking(move || {
                let synced = held.sync();
                (held, synced)
            })
            .await?;
            position = match synced {
                Ok(position) => position,
                Err(refusal) => {
                    origin.show(&held);
                    return Err(refusal);
                }
            };
            transaction
                .puts
                .push((origin.rows.position(), record::encode(&position)));
        }
        let mut next = None;
        if position.next >= end && end >= held.mirrored_size() {
            next = Some(origin.cosigned(&mut held, end, root, position).await?);
        }
        let mut put = |key: String, row: &Mirrored| {
            transaction.guards.push(Guard::AtMost(key.clone(), end));
            transaction
                .puts
                .push((key, record::encode_numbered(end, row)));
        };
        let mut served = None;
        if let Some((mirrored, _)) = &next {
            if held.mirrored.as_ref().is_none_or(|m| m.size < end) {
                put(origin.rows.mirrored(), mirrored);
            }
            let newer = held.served.as_ref().is_none_or(|m| m.size < end);
            if newer && origin.verifiable(mirrored) {
                put(origin.rows.served(), mirrored);
                served = Some(mirrored.clone());
            }
        }
        if !transaction.puts.is_empty()
            && let Err(e) = transact(&*origin.store, transaction).await
        {
            // Whether it was written is not known: the next start finds out.
            held.broken = Some(format!("writing the position down: {e}"));
            origin.show(&held);
            return Err(e.into());
        }
        held.position = position;
        if served.is_some() {
            held.served = served;
        }
        let answer = match next {
            Some((mirrored, line)) => {
                let further = held.mirrored_size() < end;
                if held.mirrored_size() <= end {
                    held.mirrored = Some(mirrored);
                }
                if further {
                    let noted;
                    (held, noted) = blocking(move || {
                        let noted = held.files.note_cosigned(end, root);
                        (held, noted)
                    })
                    .await?;
                    if let Err(error) = noted {
                        tracing::warn!(origin = origin.origin, %error, "cannot note beside the entries what was cosigned");
                    }
                }
                Ok(Ended::Cosigned(line))
            }
            None if position.next >= end => Err(Refusal::GoOn(held.info(end))),
            None => Ok(Ended::Partial(held.info(end))),
        };
        origin.show(&held);
        answer
    }
}

impl Origin {
    /// Whether readers of the log can verify it: its note has a line of the shard's own key, whose name is the origin. Who may
    /// show notes here was checked before, by the replication key's signature over the same text.
    fn verifiable(&self, mirrored: &Mirrored) -> bool {
        let note = tlog::Note::parse(&mirrored.note);
        note.is_ok_and(|note| note.signatures.iter().any(|line| line.name == self.origin))
    }

    /// The mirror checkpoint at `end`, with the line that goes to the client: only if the root computed here is the one that
    /// the log committed itself to.
    async fn cosigned(
        &self,
        held: &mut Held,
        end: u64,
        root: Hash,
        position: Position,
    ) -> Result<(Mirrored, String), Refusal> {
        debug_assert!(end <= position.next, "cosigning what is not durable");
        let ours = if end == held.tree.size() {
            held.tree.root()
        } else {
            held.files
                .root(end)
                .map_err(|e| Refusal::Storage(e.to_string()))?
        };
        let Some(pending) = held.committed(end) else {
            return Err(Refusal::GoOn(held.info(end)));
        };
        if ours != root {
            return Err(self.raise(held, end, ours, &pending.note).await);
        }
        let failed = |e: tlog::NoteError| Refusal::Storage(format!("cosigning: {e}"));
        let note = tlog::Note::parse(&pending.note).map_err(failed)?;
        let line = self
            .cosigner
            .cosign(note.text, now_seconds())
            .map_err(failed)?;
        // Cosigned again, it carries one line of this mirror, the new one.
        let own = format!("\u{2014} {} ", self.cosigner.verifier().name());
        let bare: String = pending
            .note
            .split_inclusive('\n')
            .filter(|line| !line.starts_with(&own))
            .collect();
        let whole = attach(&bare, [line.as_str()]).map_err(failed)?;
        let mirrored = Mirrored {
            size: end,
            root,
            note: whole,
        };
        Ok((mirrored, line))
    }
}
