//! One mirrored shard: its pending checkpoints, its entries, its mirror checkpoint, its alarm.
//!
//! One lock covers all of it, held during a write and never during a wait for a client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use ambient::Time;
use arc_swap::ArcSwap;
use bytes::Bytes;
use store::{Coordination, StoreError, record};
use tlog::mirror::MirrorInfo;
use tlog::{Cosigner, Hash, ShardTree, TilePath, TreeSize};
use tokio::sync::{Mutex, Semaphore};

use crate::ask::PeerLife;
use crate::disk::{Disk, blocking, shown};
use crate::files::{Files, Position, last_cosigned};
use crate::refusal::Refusal;
use crate::rows::{Alarm, Mirrored, Pending, Rows};
use crate::storage::older_rows;

mod packages;
mod pending;
mod uncosigned;
pub(crate) mod upload;

/// Pending checkpoints that are remembered, so that an upload that was overtaken can still end.
const PENDINGS: usize = 16;
/// Readers that wait for the lock at a time.
const READS: usize = 4;

/// The status of one mirrored shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginStatus {
    /// The origin of the shard.
    pub origin: String,
    /// Size of the pending checkpoint.
    pub pending: TreeSize,
    /// Entries that are durable here.
    pub next: TreeSize,
    /// Size of the mirror checkpoint.
    pub mirrored: TreeSize,
    /// Set when two roots were seen for one size.
    pub alarm: Option<Alarm>,
    /// Why it is stuck, other than an alarm.
    pub broken: Option<String>,
    /// Whether more may have been cosigned than `mirrored`.
    pub in_doubt: bool,
}

/// Everything about the log, under its lock.
struct OriginState {
    pendings: BTreeMap<TreeSize, Pending>,
    /// Whether a write of a pending checkpoint failed, so that its row may exist.
    unsure: bool,
    /// The recorded position; the tree may be ahead of it.
    position: Position,
    mirrored: Option<Mirrored>,
    /// The newest mirror checkpoint with a signature of the shard's own key: the one that readers of the log can verify.
    served: Option<Mirrored>,
    alarm: Option<Alarm>,
    tree: ShardTree,
    files: Files,
    /// How often uncosigned entries were dropped. An upload that began before a drop cannot end.
    drops: u64,
    /// Whether a write of the mirror checkpoint failed: until the next start, more may have been cosigned than is known here.
    in_doubt: bool,
    /// A write or sync failed. The files are not touched any more: a second sync could succeed with the data lost.
    broken: Option<String>,
}

pub(crate) struct Origin {
    origin: String,
    rows: Rows,
    store: Arc<dyn Coordination>,
    disk: Arc<dyn Disk>,
    cosigner: Arc<Cosigner>,
    time: Time,
    held: Arc<Mutex<OriginState>>,
    /// A reader takes a permit before the lock, which is given in order of arrival, so an upload waits for at most this many readers.
    reads: Semaphore,
    /// The accepted life of the log of this shard.
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

impl OriginState {
    fn usable(&self) -> Result<(), Refusal> {
        match (&self.broken, &self.alarm) {
            (Some(why), _) => Err(Refusal::Storage(why.clone())),
            (None, Some(alarm)) => Err(Refusal::Alarm(Box::new(alarm.clone()))),
            (None, None) => Ok(()),
        }
    }

    fn pending_size(&self) -> TreeSize {
        self.pendings
            .last_key_value()
            .map_or(TreeSize::ZERO, |(size, _)| *size)
    }

    fn info(&self, end: TreeSize) -> MirrorInfo {
        let known = self.committed(end).is_some() && end >= self.mirrored_size();
        MirrorInfo {
            size: if known {
                end.get()
            } else {
                self.pending_size().get()
            },
            next: self.position.next.get(),
            ticket: Vec::new(),
        }
    }

    fn mirrored_size(&self) -> TreeSize {
        self.mirrored.as_ref().map_or(TreeSize::ZERO, |m| m.size)
    }

    /// The checkpoint to which the log has committed itself at `size`: one of the last pending checkpoints, or the mirror checkpoint, which
    /// stays a valid end of an upload however many pending ones came after it (C2SP tlog-mirror, "add-entries").
    fn committed(&self, size: TreeSize) -> Option<Pending> {
        let mirrored = self.mirrored.as_ref().filter(|at| at.size == size);
        let cosigned = mirrored.map(|at| Pending {
            size,
            root: at.root,
            note: at.note.clone(),
        });
        self.pendings.get(&size).cloned().or(cosigned)
    }

    /// The root that is known here for a size, if one is.
    fn root(&self, size: TreeSize) -> Result<Option<Hash>, StoreError> {
        if let Some(pending) = self.pendings.get(&size) {
            return Ok(Some(pending.root));
        }
        if size == TreeSize::new(self.tree.size()) {
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
}

impl Origin {
    /// Reads everything back, and checks that the entries lead to the root that was cosigned.
    pub(crate) async fn load(
        origin: &str,
        disk: Arc<dyn Disk>,
        dir: String,
        store: Arc<dyn Coordination>,
        cosigner: Arc<Cosigner>,
        time: Time,
        life: Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        let rows = Rows(tlog::mirror::origin_hash(origin));
        let position: Position = row(&*store, &rows.position(), false)
            .await?
            .unwrap_or_default();
        let mirrored: Option<Mirrored> = row(&*store, &rows.mirrored(), true).await?;
        let served = row(&*store, &rows.served(), true).await?;
        let alarm = row(&*store, &rows.alarm(), false).await?;
        let pendings = pending::read(&*store, &rows).await?;
        let (on, folder) = (Arc::clone(&disk), dir.clone());
        let at = mirrored.clone();
        let opened = blocking(&disk, move || {
            // Checked before anything is cut off.
            if let Some((size, root)) = last_cosigned(&*on, &folder)?
                && at.as_ref().is_none_or(|at| (at.size, at.root) != (size, root))
                && at.as_ref().is_none_or(|at| at.size <= size)
            {
                let known = at.as_ref().map_or(TreeSize::ZERO, |at| at.size);
                return Ok(Err(older_rows(size, known)));
            }
            let (files, tree) = Files::open(&on, &folder, position)?;
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
        let place = shown(&*disk, &dir);
        let opened = opened.map_err(|e| {
            StoreError::Corrupt(format!(
                "{origin} in {}: {e}. Start again with an empty storage: it copies everything again",
                place.display()
            ))
        })?;
        let (files, tree, broken) = opened.map_err(|why| {
            StoreError::Corrupt(format!("{origin} in {}: {why}", place.display()))
        })?;
        let held = OriginState {
            pendings,
            unsure: false,
            position,
            mirrored,
            served,
            alarm,
            tree,
            files,
            drops: 0,
            in_doubt: false,
            broken,
        };
        let loaded = Self {
            shown: ArcSwap::from_pointee(Self::shown_of(origin, &held)),
            origin: origin.to_owned(),
            rows,
            store,
            disk,
            cosigner,
            time,
            held: Arc::new(Mutex::new(held)),
            reads: Semaphore::new(READS),
            life,
        };
        Ok(loaded)
    }

    fn shown_of(origin: &str, held: &OriginState) -> OriginStatus {
        OriginStatus {
            origin: origin.to_owned(),
            pending: held.pending_size(),
            next: held.position.next,
            mirrored: held.mirrored_size(),
            alarm: held.alarm.clone(),
            broken: held.broken.clone(),
            in_doubt: held.in_doubt,
        }
    }

    fn show(&self, held: &OriginState) {
        self.shown
            .store(Arc::new(Self::shown_of(&self.origin, held)));
    }

    pub(crate) fn name(&self) -> &str {
        &self.origin
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Whether a life of the log is accepted. Called under the lock, so that an earlier life cannot finish what it has begun.
    fn accepts(&self, held: &OriginState, life: u64) -> Result<(), Refusal> {
        let accepted = self.life.load(SeqCst);
        if life < accepted {
            return Err(Refusal::Superseded(PeerLife {
                id: accepted,
                entries: held.mirrored_size().get(),
            }));
        }
        Ok(())
    }

    /// The status of this log, without a lock.
    pub(crate) fn status(&self) -> OriginStatus {
        OriginStatus::clone(&self.shown.load())
    }

    /// The mirror checkpoint for readers of the log: the newest one that the shard's own key has signed. Until there is one, the
    /// newest one.
    pub(crate) async fn checkpoint(&self) -> Option<String> {
        let held = self.held.lock().await;
        let served = held.served.as_ref().or(held.mirrored.as_ref());
        served.map(|m| m.note.clone())
    }

    /// The newest mirror checkpoint, whichever key of the log signed it: what a restore asks for.
    ///
    /// # Errors
    /// After a failed write: more may have been cosigned than is known here, and the next start finds out.
    pub(crate) async fn cosigned_checkpoint(&self) -> Result<Option<String>, StoreError> {
        let held = self.held.lock().await;
        if held.in_doubt {
            let why = held.broken.clone().unwrap_or_default();
            return Err(StoreError::Io(why));
        }
        Ok(held.mirrored.as_ref().map(|m| m.note.clone()))
    }

    /// A tile or bundle.
    pub(crate) async fn tile(&self, path: TilePath) -> Result<Option<Bytes>, StoreError> {
        let turn = self.reads.acquire().await;
        let _turn = turn.map_err(|e| StoreError::Io(e.to_string()))?;
        let held = Arc::clone(&self.held).lock_owned().await;
        let read = blocking(&self.disk, move || held.files.read(path, held.position)).await;
        read.map_err(|e| StoreError::Io(e.to_string()))?
            .map_err(|e| StoreError::Io(format!("{path}: {e}")))
    }
}
