//! All logs that one secondary copies: which of them it knows, and the requests of logs and readers.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use ambient::Time;
use bytes::Bytes;
use store::{Coordination, Objects, StoreError, Transaction, record};
use tlog::mirror::{AddCheckpoint, EntriesHead, origin_hash};
use tlog::{Checkpoint, Cosigner, Note, TilePath, VerifierKey};

use crate::disk::Disk;
use crate::origin::upload::Upload;
use crate::origin::{Origin, OriginStatus};
use crate::refusal::Refusal;
use crate::rows::{Known, Rows};
use crate::storage::transact;

/// The most shards that one secondary keeps.
pub(crate) const MAX_ORIGINS: usize = 10_000;

/// All logs that one secondary mirrors.
pub struct Mirror {
    pub(crate) logs: Vec<VerifierKey>,
    pub(crate) cosigner: Arc<Cosigner>,
    pub(crate) rows: Arc<dyn Coordination>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) min_free: u64,
    pub(crate) time: Time,
    pub(crate) disk: Arc<dyn Disk>,
    /// The folder on the disk that holds the copies.
    pub(crate) data: String,
    pub(crate) incarnation: String,
    pub(crate) origins: RwLock<BTreeMap<String, Arc<Origin>>>,
    /// By the log's name: the life that is accepted.
    pub(crate) lives: BTreeMap<String, Arc<AtomicU64>>,
    pub(crate) opening: Arc<tokio::sync::Mutex<()>>,
    /// By the hash of a shard's origin: the last bundle with times, once somebody has asked for it.
    pub(crate) timed: Arc<tokio::sync::Mutex<BTreeMap<String, Option<u64>>>>,
}

impl Mirror {
    /// Called last by a process that stops: leaves the rows as one whole file.
    pub async fn rest(&self) {
        self.rows.rest().await;
    }

    /// The name of this storage: 16 hex digits, which change after its loss.
    pub fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// The mirror's public key.
    pub fn verifier(&self) -> &tlog::CosignerKey {
        self.cosigner.verifier()
    }

    /// The status of every shard, by origin.
    pub fn status(&self) -> Vec<OriginStatus> {
        let origins = self.origins.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<OriginStatus> = origins.values().map(|o| o.status()).collect();
        all.sort_by(|a, b| a.origin.cmp(&b.origin));
        all
    }

    /// The key of the log that an origin belongs to: ORIGIN/SHARD, or, where ORIGIN is a bare host name, SHARD.ORIGIN with a shard of one
    /// label. No origin is of two logs.
    pub(crate) fn key(&self, origin: &str) -> Option<&VerifierKey> {
        self.logs.iter().find(|key| {
            let name = key.name();
            let path = origin.strip_prefix(name);
            let path = path.and_then(|rest| rest.strip_prefix('/'));
            let host = origin.strip_suffix(name).filter(|_| !name.contains('/'));
            let host = host.and_then(|rest| rest.strip_suffix('.'));
            let label = |rest: &&str| !rest.contains(['.', '/']);
            let shard = path.or(host.filter(label));
            shard.is_some_and(|shard| !shard.is_empty())
        })
    }

    /// The life of the log that is accepted.
    pub(crate) fn life(&self, key: &VerifierKey) -> Arc<AtomicU64> {
        self.lives.get(key.name()).cloned().unwrap_or_default()
    }

    /// The accepted life of the log of an origin.
    pub(crate) fn life_of(&self, origin: &str) -> Arc<AtomicU64> {
        self.key(origin)
            .map(|key| self.life(key))
            .unwrap_or_default()
    }

    /// Entries of a log that are cosigned here, in all its shards.
    pub(crate) fn cosigned(&self, log: &VerifierKey) -> u64 {
        let origins = self.origins.read().unwrap_or_else(PoisonError::into_inner);
        let own = origins.values().map(|origin| origin.status());
        let own = own.filter(|at| self.key(&at.origin).is_some_and(|key| key == log));
        own.map(|at| at.mirrored.get()).sum()
    }

    /// A shard of a log, if any, of which more may have been cosigned than is known, because a write failed.
    pub(crate) fn in_doubt(&self, log: &VerifierKey) -> Option<String> {
        let all = self.status().into_iter();
        let mut of_log = all.filter(|at| self.key(&at.origin).is_some_and(|key| key == log));
        of_log.find(|at| at.in_doubt).map(|at| at.origin)
    }

    pub(crate) fn by_hash(&self, hash: &str) -> Option<Arc<Origin>> {
        self.origins
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(hash)
            .map(Arc::clone)
    }

    pub(crate) async fn load(&self, origin: &str) -> Result<Arc<Origin>, StoreError> {
        let hash = origin_hash(origin);
        let loaded = Origin::load(
            origin,
            Arc::clone(&self.disk),
            format!("{}/{hash}", self.data),
            Arc::clone(&self.rows),
            Arc::clone(&self.cosigner),
            self.time.clone(),
            self.life_of(origin),
        )
        .await?;
        let loaded = Arc::new(loaded);
        self.origins
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hash, Arc::clone(&loaded));
        Ok(loaded)
    }

    /// A log that is known already, or becomes known now because it has just shown a good signature.
    async fn meet(&self, origin: &str) -> Result<Arc<Origin>, Refusal> {
        let hash = origin_hash(origin);
        if let Some(known) = self.by_hash(&hash) {
            return Ok(known);
        }
        let _one = self.opening.lock().await;
        if let Some(known) = self.by_hash(&hash) {
            return Ok(known);
        }
        let count = {
            let origins = self.origins.read().unwrap_or_else(PoisonError::into_inner);
            origins.len()
        };
        if count >= MAX_ORIGINS {
            return Err(Refusal::Storage(format!(
                "this secondary already mirrors {MAX_ORIGINS} shards, the most that it can"
            )));
        }
        let row = Transaction {
            puts: vec![(
                Rows(hash).known(),
                record::encode(&Known {
                    origin: origin.to_owned(),
                }),
            )],
            ..Transaction::default()
        };
        transact(&*self.rows, row).await?;
        Ok(self.load(origin).await?)
    }

    /// `POST add-checkpoint`, from a life of the log: takes a checkpoint as pending. The mirror does not cosign here.
    ///
    /// # Errors
    /// [`Refusal`], in the order of C2SP tlog-witness.
    pub async fn add_checkpoint(&self, body: &str, life: u64) -> Result<(), Refusal> {
        let request = AddCheckpoint::parse(body).map_err(|e| Refusal::Malformed(e.to_string()))?;
        let note =
            Note::parse(&request.checkpoint).map_err(|e| Refusal::Malformed(e.to_string()))?;
        let checkpoint =
            Checkpoint::parse(note.text).map_err(|e| Refusal::Malformed(e.to_string()))?;
        let key = self.key(&checkpoint.origin).ok_or(Refusal::Unknown)?;
        note.verify(&[key])
            .map_err(|e| Refusal::Unsigned(e.to_string()))?;
        if request.old > checkpoint.size {
            return Err(Refusal::Malformed(format!(
                "the old size {} is larger than the new one, {}",
                request.old, checkpoint.size
            )));
        }
        let origin = self.meet(&checkpoint.origin).await?;
        // A task of its own: a client that hangs up must not leave rows that this process does not know of.
        tokio::spawn(async move { origin.add_checkpoint(&request, &checkpoint, life).await })
            .await
            .map_err(|e| Refusal::Storage(format!("a task ended: {e}")))?
    }

    /// The head of `POST add-entries`, from a life of the log: begins the upload if the entries that follow can be taken.
    ///
    /// # Errors
    /// [`Refusal::Unknown`], [`Refusal::GoOn`], [`Refusal::Alarm`] or [`Refusal::Storage`].
    pub async fn begin(&self, head: &EntriesHead, life: u64) -> Result<Upload, Refusal> {
        self.key(&head.origin).ok_or(Refusal::Unknown)?;
        let origin = self
            .by_hash(&origin_hash(&head.origin))
            .ok_or_else(|| Refusal::Wrong("there is no pending checkpoint".into()))?;
        if head.start < head.end
            && let Some(free) = self.objects.free().await?
            && free < self.min_free
        {
            return Err(Refusal::Storage(format!("only {free} bytes are free")));
        }
        Upload::begin(origin, head, life).await
    }

    /// The mirror checkpoint of the log with this origin hash, cosigned; the newest one that readers of the log can verify.
    pub async fn checkpoint(&self, hash: &str) -> Option<String> {
        self.by_hash(hash)?.checkpoint().await
    }

    /// The newest mirror checkpoint of the log with this origin hash, which may be ahead of what the log has published.
    ///
    /// # Errors
    /// [`StoreError`] where that is not known since a write failed.
    pub async fn cosigned_checkpoint(&self, hash: &str) -> Result<Option<String>, StoreError> {
        match self.by_hash(hash) {
            Some(origin) => origin.cosigned_checkpoint().await,
            None => Ok(None),
        }
    }

    /// A tile or bundle of the log with this origin hash.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub async fn tile(&self, hash: &str, path: TilePath) -> Result<Option<Bytes>, StoreError> {
        match self.by_hash(hash) {
            Some(origin) => origin.tile(path).await,
            None => Ok(None),
        }
    }
}
