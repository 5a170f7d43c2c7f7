//! A secondary: it copies logs, checks everything, and confirms that with a cosignature (C2SP tlog-mirror, draft).
//!
//! ```text
//! add_checkpoint ─▶ pending     the log commits itself to a root; nothing is cosigned yet
//! begin ─▶ write… ─▶ end        entries, each package proven to be under that root; then durable; then the cosignature
//! ```
//!
//! The log commits itself with its replication key, because a size that only some secondaries hold may still be lost with the
//! primary: a restore would then sign another root for it, which the shard's own key must never do. Readers know only the
//! shard's key. So once a size is published the log shows it again, with both signatures and no new entries, and that
//! checkpoint is the one that readers get; a restore asks for the newest one ([`COSIGNED`]).
//!
//! What must never happen: a cosignature before every entry below it is on disk, or over a root that the mirror has not computed
//! from the entries alone; a position that goes back; two roots for one size. A second root is kept as an alarm, and
//! the log that signed it is refused from then on.
//!
//! A log that was restored is another *life* of it. Of two lives only the later one is accepted, from the moment when its manifest
//! is taken: nothing that an earlier life sends after that is cosigned. A life that was restored with less than the mirror has
//! cosigned is refused: an earlier life has continued.
//!
//! - [`files`] entries and hashes, flat files; [`rows`] positions, in a coordination store of its own;
//! - [`origin`] one mirrored log; [`manifest`] what else a restore needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};

use tlog::mirror::{AddCheckpoint, EntriesHead, INFO_TYPE, MirrorInfo, SIZE_TYPE, origin_hash};
use tlog::{Checkpoint, Cosigner, Note, TilePath, VerifierKey};

use crate::ledger::now_ms;
use crate::peers::ask::PeerLife;
use store::record;
use store::{Coordination, Guard, Objects, Outcome, StoreError, Transaction};

pub mod files;
pub mod manifest;
pub mod origin;
pub mod rows;
#[cfg(test)]
mod tests;

pub use manifest::{Manifest, SignedManifest};
pub use origin::{Ended, Upload};
pub use rows::Alarm;

use origin::Origin;
use rows::{INCARNATION, Known, ORIGINS, Rows};

/// Beside `checkpoint`, below the hash of an origin: the newest mirror checkpoint, for a restore. C2SP tlog-mirror has no such
/// path; somebody else's mirror has the same at `checkpoint`.
pub const COSIGNED: &str = "cosigned-checkpoint";
/// The most logs (shards) that one mirror keeps.
const MOST_ORIGINS: usize = 10_000;

/// Why a request is refused, each with its status in the specification.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 404: not a log that is mirrored here.
    #[error("this log is not mirrored here")]
    Unknown,
    /// 403: not signed by a trusted key, or wrongly.
    #[error("not signed by the key of this log: {0}")]
    Unsigned(String),
    /// 400: the request is malformed.
    #[error("{0}")]
    Malformed(String),
    /// 409, with the size of the pending checkpoint.
    #[error("the checkpoint here has size {0}")]
    Size(u64),
    /// 409, with the entry to continue from.
    #[error("continue at entry {}, towards size {}", .0.next, .0.size)]
    GoOn(MirrorInfo),
    /// 422: a proof or a root is wrong.
    #[error("{0}")]
    Wrong(String),
    /// 410: this mirror has accepted a later life of the log.
    #[error("this log was restored, and nothing of an earlier life of it is taken any more")]
    Superseded(PeerLife),
    /// 409: more is cosigned here than the life that announces itself was restored with.
    #[error(
        "{} entries of this log are cosigned here, more than it was restored with: an earlier life of it went on; restore it again",
        .0.entries
    )]
    Ahead(PeerLife),
    /// 422: two roots were seen for one size.
    #[error(
        "alarm: the root at size {} is another one here ({}); nothing of this log is mirrored any more",
        .0.size, .0.ours
    )]
    Alarm(Box<Alarm>),
    /// 503: the storage does not do its work.
    #[error("the storage failed: {0}")]
    Storage(String),
}

impl Refusal {
    /// The HTTP status that says so, the media type, and the body.
    pub fn answer(&self) -> (u16, &'static str, String) {
        let status = match self {
            Self::Size(size) => return (409, SIZE_TYPE, format!("{size}\n")),
            Self::GoOn(info) => return (409, INFO_TYPE, info.to_body()),
            Self::Unknown => 404,
            Self::Unsigned(_) => 403,
            Self::Malformed(_) => 400,
            Self::Superseded(_) => 410,
            Self::Ahead(_) => 409,
            Self::Wrong(_) | Self::Alarm(_) => 422,
            Self::Storage(_) => 503,
        };
        (status, "text/plain; charset=utf-8", format!("{self}\n"))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// What a mirror needs.
pub struct MirrorOptions {
    /// A folder of its own.
    pub dir: PathBuf,
    /// The keys of the logs: each is trusted for the origins below its name.
    pub logs: Vec<VerifierKey>,
    /// The mirror's own key.
    pub cosigner: Cosigner,
    /// The store of the positions.
    pub rows: Arc<dyn Coordination>,
    /// The store of the manifests.
    pub objects: Arc<dyn Objects>,
    /// Bytes that stay free: with less, nothing is taken.
    pub min_free: u64,
}

/// All logs that one secondary mirrors.
pub struct Mirror {
    logs: Vec<VerifierKey>,
    cosigner: Arc<Cosigner>,
    rows: Arc<dyn Coordination>,
    objects: Arc<dyn Objects>,
    min_free: u64,
    data: PathBuf,
    incarnation: String,
    origins: RwLock<BTreeMap<String, Arc<Origin>>>,
    /// The life of each log that is accepted, by the log's name.
    lives: BTreeMap<String, Arc<AtomicU64>>,
    opening: Arc<tokio::sync::Mutex<()>>,
}

/// How one mirrored log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginStatus {
    /// The origin of the shard.
    pub origin: String,
    /// Size of the pending checkpoint.
    pub pending: u64,
    /// Entries that are durable here.
    pub next: u64,
    /// Size of the mirror checkpoint.
    pub mirrored: u64,
    /// Two roots were seen.
    pub alarm: Option<Alarm>,
    /// Why it is stuck, other than an alarm.
    pub broken: Option<String>,
}

async fn transact(rows: &dyn Coordination, transaction: Transaction) -> Result<(), StoreError> {
    match rows.transact(transaction).await {
        Outcome::Committed => Ok(()),
        Outcome::Refused => Err(StoreError::Io(
            "another process wrote at the same time".into(),
        )),
        Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
    }
}

fn io(what: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io(format!("{}: {error}", what.display()))
}

/// A folder of copies that some incarnation has written to.
fn left_behind(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let ours = entry.file_name().to_string_lossy().starts_with("data-");
        // A crash between the folder and its row leaves an empty one.
        if ours && entry.file_type()?.is_dir() && std::fs::read_dir(entry.path())?.next().is_some()
        {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Refuses the earlier lives of a log. They are accepted again if the later one is not taken in the end, for any reason.
struct Deaf {
    heard: Arc<AtomicU64>,
    /// The life that was accepted before; none if the refusal stays.
    before: Option<u64>,
}

impl Deaf {
    fn to(heard: &Arc<AtomicU64>, before: u64, life: u64) -> Self {
        heard.store(life, SeqCst);
        Self {
            heard: Arc::clone(heard),
            before: Some(before),
        }
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            self.heard.store(before, SeqCst);
        }
    }
}

impl Mirror {
    /// Opens a mirror. A folder without rows begins a new incarnation: it starts from zero.
    ///
    /// # Errors
    /// [`StoreError`] when the rows name entries that are not there any more.
    pub async fn open(options: MirrorOptions) -> Result<Self, StoreError> {
        let MirrorOptions {
            dir,
            logs,
            cosigner,
            rows,
            objects,
            min_free,
        } = options;
        let found = match rows.get(INCARNATION).await? {
            Some(row) => Some(
                record::decode::<String>(&row)
                    .map_err(|e| StoreError::Corrupt(format!("{INCARNATION}: {e}")))?,
            ),
            None => None,
        };
        let folder = |incarnation: &str| dir.join(format!("data-{incarnation}"));
        let incarnation = match found {
            Some(incarnation) => {
                if !folder(&incarnation).is_dir() {
                    return Err(StoreError::Corrupt(format!(
                        "{} is gone: what this mirror had is lost. Move mirror.db and all that begins with its name out of {}, leave mirror.key, \
                         and start again: it copies everything anew, as a new incarnation",
                        folder(&incarnation).display(),
                        dir.display()
                    )));
                }
                incarnation
            }
            None => {
                if let Some(left) = left_behind(&dir).map_err(|e| io(&dir, &e))? {
                    return Err(StoreError::Corrupt(format!(
                        "{} holds what this mirror has copied, but its rows do not know it: mirror.db is missing, or was copied without \
                         mirror.db-wal. Put it back; or, to begin from zero as a new incarnation, move that folder away and keep it",
                        left.display()
                    )));
                }
                let mut bytes = [0; 8];
                getrandom::fill(&mut bytes)
                    .map_err(|e| StoreError::Io(format!("no randomness: {e}")))?;
                let incarnation: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
                let data = folder(&incarnation);
                std::fs::create_dir(&data)
                    .and_then(|()| std::fs::File::open(&dir)?.sync_all())
                    .map_err(|e| io(&data, &e))?;
                let row = Transaction {
                    guards: vec![Guard::Absent(INCARNATION.to_owned())],
                    puts: vec![(INCARNATION.to_owned(), record::encode(&incarnation))],
                    ..Transaction::default()
                };
                transact(&*rows, row).await?;
                incarnation
            }
        };
        let mut lives = BTreeMap::new();
        for log in &logs {
            let key = Rows(origin_hash(log.name())).restored();
            let row = rows.get(&key).await?;
            let life = row.as_deref().map(record::decode_number).transpose();
            let life = life.map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?;
            let life = Arc::new(AtomicU64::new(life.unwrap_or(0)));
            lives.insert(log.name().to_owned(), life);
        }
        let mirror = Self {
            lives,
            data: folder(&incarnation),
            logs,
            cosigner: Arc::new(cosigner),
            rows,
            objects,
            min_free,
            incarnation,
            origins: RwLock::default(),
            opening: Arc::default(),
        };
        for (key, row) in mirror.rows.scan(ORIGINS, ORIGINS, MOST_ORIGINS).await? {
            let Known { origin } =
                record::decode(&row).map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?;
            let loaded = mirror.load(&origin).await?;
            // What was to be let go while it was broken.
            if mirror.rows.get(&loaded.rows().owed()).await?.is_some() {
                let failed = loaded.let_go().await;
                failed.map_err(|refusal| StoreError::Io(refusal.to_string()))?;
            }
        }
        Ok(mirror)
    }

    /// The last call of a process that stops: leaves the rows as one whole file.
    pub async fn rest(&self) {
        self.rows.rest().await;
    }

    /// Which storage this is: 16 hex digits, other ones after its loss.
    pub fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// The mirror's public key.
    pub fn verifier(&self) -> &tlog::CosignerKey {
        self.cosigner.verifier()
    }

    /// How every log stands, by origin.
    pub fn status(&self) -> Vec<OriginStatus> {
        let origins = self.origins.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<OriginStatus> = origins.values().map(|o| o.status()).collect();
        all.sort_by(|a, b| a.origin.cmp(&b.origin));
        all
    }

    /// The key of the log that an origin belongs to.
    fn key(&self, origin: &str) -> Option<&VerifierKey> {
        self.logs.iter().find(|key| {
            origin
                .strip_prefix(key.name())
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| !rest.is_empty())
        })
    }

    /// The life of the log that is accepted.
    fn life(&self, key: &VerifierKey) -> Arc<AtomicU64> {
        self.lives.get(key.name()).cloned().unwrap_or_default()
    }

    /// The accepted life of the log of an origin.
    fn life_of(&self, origin: &str) -> Arc<AtomicU64> {
        self.key(origin)
            .map(|key| self.life(key))
            .unwrap_or_default()
    }

    /// Entries of a log that are cosigned here, in all its shards.
    fn cosigned(&self, log: &VerifierKey) -> u64 {
        let origins = self.origins.read().unwrap_or_else(PoisonError::into_inner);
        let own = origins.values().map(|origin| origin.status());
        let own = own.filter(|at| self.key(&at.origin).is_some_and(|key| key == log));
        own.map(|at| at.mirrored).sum()
    }

    fn by_hash(&self, hash: &str) -> Option<Arc<Origin>> {
        self.origins
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(hash)
            .map(Arc::clone)
    }

    async fn load(&self, origin: &str) -> Result<Arc<Origin>, StoreError> {
        let hash = origin_hash(origin);
        let loaded = Origin::load(
            origin,
            &self.data.join(&hash),
            Arc::clone(&self.rows),
            Arc::clone(&self.cosigner),
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

    /// A log that is known, or becomes known because it has just shown a good signature.
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
        if count >= MOST_ORIGINS {
            return Err(Refusal::Storage(format!(
                "{MOST_ORIGINS} logs are mirrored here, no more fit"
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

    /// `POST add-checkpoint`, of a life of the log: takes a checkpoint as pending. The mirror does not cosign here.
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
        // A task of its own: a client that hangs up must not leave rows that the memory does not know.
        tokio::spawn(async move { origin.add_checkpoint(&request, &checkpoint, life).await })
            .await
            .map_err(|e| Refusal::Storage(format!("a task ended: {e}")))?
    }

    /// `POST add-entries`, its head, of a life of the log: whether the entries that follow are welcome.
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
    pub async fn cosigned_checkpoint(&self, hash: &str) -> Option<String> {
        self.by_hash(hash)?.cosigned_checkpoint().await
    }

    /// A tile or bundle of the log with this origin hash.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub async fn tile(
        &self,
        hash: &str,
        path: TilePath,
    ) -> Result<Option<bytes::Bytes>, StoreError> {
        match self.by_hash(hash) {
            Some(origin) => origin.tile(path).await,
            None => Ok(None),
        }
    }

    /// A log was restored: what its shards had announced and not copied in full is not in it.
    async fn let_go(&self, log: &VerifierKey) -> Result<(), Refusal> {
        let origins: Vec<_> = {
            let all = self.origins.read().unwrap_or_else(PoisonError::into_inner);
            all.values().map(Arc::clone).collect()
        };
        for origin in origins {
            if self.key(origin.name()).is_some_and(|key| key == log)
                && let Err(refusal) = origin.let_go().await
            {
                // It takes nothing before the next start, which makes up for it: no reason to refuse what is said of the others.
                tracing::error!(origin = origin.name(), why = %refusal, "cannot drop entries that were never cosigned");
                let owed = Transaction {
                    puts: vec![(origin.rows().owed(), record::encode_number(1))],
                    ..Transaction::default()
                };
                transact(&*self.rows, owed).await?;
            }
        }
        Ok(())
    }

    /// Keeps a log's manifest, from any sender, if it is not older than the stored one. The first one after a restore frees this mirror from
    /// what the lost primary had announced and not copied in full; what was cosigned stays.
    ///
    /// From then on earlier lives are refused; the answer is the accepted life, with the cosigned size. `entries` is what
    /// the log was restored with, where it says so.
    ///
    /// # Errors
    /// [`Refusal::Size`] with the number of a newer one; [`Refusal::Superseded`] or [`Refusal::Ahead`]; otherwise as it says.
    pub async fn put_manifest(
        self: &Arc<Self>,
        bytes: &[u8],
        entries: Option<u64>,
    ) -> Result<PeerLife, Refusal> {
        let signed = SignedManifest::parse(bytes).map_err(|e| Refusal::Malformed(e.to_string()))?;
        let key = self
            .logs
            .iter()
            .find(|key| key.name() == signed.origin)
            .ok_or(Refusal::Unknown)?;
        signed
            .verify(key)
            .map_err(|e| Refusal::Unsigned(e.to_string()))?;
        let one = Arc::clone(&self.opening).lock_owned().await;
        let (mirror, key) = (Arc::clone(self), key.clone());
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        // A task of its own, as in `add_checkpoint`. It takes the turn along, so there is one at a time.
        tokio::spawn(async move {
            let _one = one;
            mirror.keep_manifest(&key, &signed, bytes, entries).await
        })
        .await
        .map_err(|e| Refusal::Storage(format!("a task ended: {e}")))?
    }

    /// The same, of a manifest whose signature is good. One at a time.
    async fn keep_manifest(
        &self,
        key: &VerifierKey,
        signed: &SignedManifest,
        bytes: bytes::Bytes,
        entries: Option<u64>,
    ) -> Result<PeerLife, Refusal> {
        let rows = Rows(origin_hash(&signed.origin));
        let number = async |key: String| match self.rows.get(&key).await? {
            Some(row) => record::decode_number(&row).map_err(|e| Refusal::Storage(e.to_string())),
            None => Ok(0),
        };
        let (stored, before) = (
            number(rows.manifest()).await?,
            number(rows.restored()).await?,
        );
        let edition = number(rows.edition()).await?;
        // A header is not signed, so it proves nothing.
        let entries = signed.entries.or(entries);
        // Of two lives of a log the later one, however far the earlier one had come; of one life the later state.
        let heard = self.life(key);
        let cosigned = |id| PeerLife {
            id,
            entries: self.cosigned(key),
        };
        if signed.restored < heard.load(SeqCst).max(before) {
            return Err(Refusal::Superseded(cosigned(heard.load(SeqCst))));
        }
        let older = (signed.number, signed.edition) < (stored, edition);
        if signed.restored == before && older {
            return Err(Refusal::Size(stored));
        }
        let mut deaf = None;
        if before < signed.restored {
            let ahead = || {
                let here = cosigned(before);
                entries
                    .is_some_and(|most| here.entries > most)
                    .then_some(here)
            };
            if let Some(here) = ahead() {
                return Err(Refusal::Ahead(here));
            }
            // First refuse the earlier life, then compare: so what that life finishes meanwhile is seen.
            deaf = Some(Deaf::to(&heard, before, signed.restored));
            self.let_go(key).await?;
            if let Some(here) = ahead() {
                return Err(Refusal::Ahead(here));
            }
        }
        let path = |number: u64| format!("manifest/{}/{number:020}", rows.0);
        self.objects.put(vec![(path(signed.number), bytes)]).await?;
        let row = Transaction {
            guards: vec![Guard::AtMost(rows.restored(), signed.restored)],
            puts: vec![
                (rows.manifest(), record::encode_number(signed.number)),
                (rows.edition(), record::encode_number(signed.edition)),
                (rows.restored(), record::encode_number(signed.restored)),
            ],
            ..Transaction::default()
        };
        // From here on the row may say so, whoever waits for the answer.
        let before = deaf.as_mut().and_then(|deaf| deaf.before.take());
        match self.rows.transact(row).await {
            Outcome::Committed => {}
            Outcome::Unknown(e) => return Err(e.into()),
            failed => {
                if let Some(deaf) = &mut deaf {
                    deaf.before = before;
                }
                return Err(Refusal::Storage(match failed {
                    Outcome::Failed(e) => e.to_string(),
                    _ => "another process wrote at the same time".to_owned(),
                }));
            }
        }
        if stored > 0 && stored != signed.number {
            // An old one that stays does no harm.
            let _ = self.objects.delete(vec![path(stored)]).await;
        }
        Ok(cosigned(signed.restored))
    }

    /// The newest manifest of the log with this origin hash.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub async fn manifest(&self, hash: &str) -> Result<Option<bytes::Bytes>, StoreError> {
        if !self.logs.iter().any(|key| origin_hash(key.name()) == hash) {
            return Ok(None);
        }
        let rows = Rows(hash.to_owned());
        let mut before = None;
        loop {
            let Some(row) = self.rows.get(&rows.manifest()).await? else {
                return Ok(None);
            };
            let number =
                record::decode_number(&row).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let path = format!("manifest/{hash}/{number:020}");
            let found = self.objects.get(&path).await?;
            // One that is not there was replaced meanwhile, unless the row still names it.
            if found.is_some() || before.replace(number) == Some(number) {
                return Ok(found);
            }
        }
    }
}

/// Seconds since the Unix epoch.
fn now_seconds() -> u64 {
    (now_ms() / 1000).max(1)
}
