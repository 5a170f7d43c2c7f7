//! Opening a secondary's folder: which incarnation it is, and whether its copies are still there.
//!
//! What must never happen: acknowledged copies are lost, and the secondary starts over as if it had never had any.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use ambient::Ambient;
use store::{Coordination, Guard, Objects, Outcome, StoreError, Transaction, record};
use tlog::mirror::origin_hash;
use tlog::{Cosigner, TreeSize, VerifierKey};

use crate::disk::{Disk, DiskEntry, shown};
use crate::files::last_cosigned;
use crate::mirror::{MAX_ORIGINS, Mirror};
use crate::rows::{INCARNATION, Known, ORIGINS, Rows};

/// The settings of a mirror.
pub struct MirrorOptions {
    /// A folder of its own.
    pub disk: Arc<dyn Disk>,
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
    /// Times of cosignatures and alarms, and the number of an incarnation.
    pub ambient: Ambient,
}

pub(crate) async fn transact(
    rows: &dyn Coordination,
    transaction: Transaction,
) -> Result<(), StoreError> {
    match rows.transact(transaction).await {
        Outcome::Committed => Ok(()),
        Outcome::Refused => Err(StoreError::Io(
            "another process wrote at the same time".into(),
        )),
        Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
    }
}

fn io(disk: &dyn Disk, what: &str, error: &std::io::Error) -> StoreError {
    StoreError::Io(format!("{}: {error}", shown(disk, what).display()))
}

/// A folder of copies that some incarnation has written to.
fn left_behind(disk: &dyn Disk) -> std::io::Result<Option<String>> {
    for (name, entry) in disk.list("")? {
        let ours = name.starts_with("data-") && entry == DiskEntry::Folder;
        // A crash between the folder and its row leaves an empty one.
        if ours && !disk.list(&name)?.is_empty() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

impl Mirror {
    /// Opens a mirror. A folder without rows begins a new incarnation: it starts from zero.
    ///
    /// # Errors
    /// [`StoreError`] when the rows name entries that are not there any more.
    pub async fn open(options: MirrorOptions) -> Result<Self, StoreError> {
        let MirrorOptions {
            disk,
            logs,
            cosigner,
            rows,
            objects,
            min_free,
            ambient,
        } = options;
        let found = match rows.get(INCARNATION).await? {
            Some(row) => Some(
                record::decode::<String>(&row)
                    .map_err(|e| StoreError::Corrupt(format!("{INCARNATION}: {e}")))?,
            ),
            None => None,
        };
        let folder = |incarnation: &str| format!("data-{incarnation}");
        let incarnation = match found {
            Some(incarnation) => {
                if disk.find(&folder(&incarnation)) != Some(DiskEntry::Folder) {
                    return Err(StoreError::Corrupt(format!(
                        "{} is gone: what this mirror had is lost. Move mirror.db and all that begins with its name out of {}, leave mirror.key, \
                         and start again: it copies everything again, as a new incarnation",
                        shown(&*disk, &folder(&incarnation)).display(),
                        disk.place().display()
                    )));
                }
                incarnation
            }
            None => {
                if let Some(left) = left_behind(&*disk).map_err(|e| io(&*disk, "", &e))? {
                    return Err(StoreError::Corrupt(format!(
                        "{} holds what this mirror has copied, but its rows do not know it: mirror.db is missing, or was copied without \
                         mirror.db-wal. Put it back; or, to begin from zero as a new incarnation, move that folder away and keep it",
                        shown(&*disk, &left).display()
                    )));
                }
                let incarnation = tlog::hex(&ambient.random.bytes::<8>()?);
                let data = folder(&incarnation);
                let made = disk.make(&data).and_then(|()| disk.sync(""));
                made.map_err(|e| io(&*disk, &data, &e))?;
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
            disk,
            logs,
            cosigner: Arc::new(cosigner),
            rows,
            objects,
            min_free,
            time: ambient.time,
            incarnation,
            origins: RwLock::default(),
            opening: Arc::default(),
            timed: Arc::default(),
        };
        for (key, row) in mirror.rows.scan(ORIGINS, ORIGINS, MAX_ORIGINS).await? {
            let Known { origin } =
                record::decode(&row).map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?;
            let loaded = mirror.load(&origin).await?;
            // Entries that were to be dropped while it was broken.
            if mirror.rows.get(&loaded.rows().owed()).await?.is_some() {
                let failed = loaded.drop_uncosigned().await;
                failed.map_err(|refusal| StoreError::Io(refusal.to_string()))?;
            }
        }
        mirror
            .knows_all()
            .map_err(|e| io(&*mirror.disk, &mirror.data, &e))??;
        Ok(mirror)
    }

    /// Refuses rows that do not know a log of which something was cosigned here: else the mirror would run, and refuse just that log.
    fn knows_all(&self) -> std::io::Result<Result<(), StoreError>> {
        let known = self.origins.read().unwrap_or_else(PoisonError::into_inner);
        for (name, entry) in self.disk.list(&self.data)? {
            let folder = format!("{}/{name}", self.data);
            if entry == DiskEntry::Folder
                && !known.contains_key(&name)
                && let Some((size, _)) = last_cosigned(&*self.disk, &folder)?
            {
                let place = shown(&*self.disk, &folder);
                let why = older_rows(size, TreeSize::ZERO);
                return Ok(Err(StoreError::Corrupt(format!(
                    "{}: {why}",
                    place.display()
                ))));
            }
        }
        Ok(Ok(()))
    }
}

/// Why rows are refused that know of less than was cosigned.
pub(crate) fn older_rows(size: TreeSize, known: TreeSize) -> String {
    format!(
        "size {size} was cosigned here, and mirror.db knows of {known}: it is an older copy, or was put back without mirror.db-wal. \
         Nothing was changed. Put the newest one back; or, to begin from zero as a new incarnation, move mirror.db and the \
         data folder away and keep them"
    )
}
