//! The key-encryption key of a log, and the key that signs its messages to secondaries.
//!
//! The **replication key** signs pending checkpoints and manifests, which are not published yet. The shards' keys sign only positions that
//! are durable as published, so a secondary must never see their signature earlier. The replication key is sealed like the shards' keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use tlog::{Checkpoint, Hash, Signer, TreeSize};
use tokio::sync::OnceCell;

use crate::ledger::Ledger;
use crate::running::Running;
use crate::shard::keys::{Kek, KeyError};
use crate::shard::{Shards, SignError};
use order::Generation;
use order::keys::{Keys, ORIGINS};
use store::{Coordination, Guard, Outcome, StoreError, Transaction, record};

/// How many origins are looked at to try a key-encryption key.
const ROWS_TRIED: usize = 64;

pub(crate) struct KeyRing {
    ledger: Arc<Ledger>,
    running: Arc<Running>,
    shards: Arc<Shards>,
    pub(crate) kek: Arc<Kek>,
    /// The replication key, once it was read or made.
    replication: OnceCell<Signer>,
}

fn context(origin: &str) -> String {
    format!("replication/{origin}")
}

fn failed(why: impl std::fmt::Display) -> SignError {
    SignError::Sealed {
        shard: "(replication key)".to_owned(),
        why: why.to_string(),
    }
}

/// Whether a key-encryption key opens the replication keys of the logs in a store, as far as there are any. A restored log has no row that
/// names its origin, and is not tried.
///
/// # Errors
/// [`SignError::Replication`] for one that it does not open, [`SignError::Store`] where the store cannot be read.
pub async fn kek_opens(kek: &Kek, store: &dyn Coordination) -> Result<(), SignError> {
    let mut tried = BTreeMap::new();
    for (key, row) in store.scan(ORIGINS, ORIGINS, ROWS_TRIED).await? {
        let Some(origin) = key.strip_prefix(ORIGINS) else {
            continue;
        };
        // A log whose creation was repeated may have the rows of several origins, of which one is its own.
        let origin = origin.split('+').next().unwrap_or_default();
        let log = record::decode::<String>(&row).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let key = Keys::new(&log).replication();
        let Some(sealed) = store.get(&key).await? else {
            continue;
        };
        match kek.open(&sealed, &context(origin)) {
            Ok(_) => drop(tried.insert(key, None)),
            Err(e) => drop(tried.entry(key).or_insert(Some(e.to_string()))),
        }
    }
    let failed = tried.into_iter().find_map(|(key, why)| Some((key, why?)));
    match failed {
        Some((key, why)) => Err(SignError::Replication { key, why }),
        None => Ok(()),
    }
}

impl KeyRing {
    pub(crate) fn new(running: Arc<Running>, shards: Arc<Shards>, kek: Arc<Kek>) -> Self {
        Self {
            ledger: Arc::clone(&running.ledger),
            running,
            shards,
            kek,
            replication: OnceCell::new(),
        }
    }

    /// The replication key, made at its first use. It is sealed for the log's origin, so there is none before the log has its first
    /// configuration, and before this process runs it.
    pub(crate) async fn replication(&self) -> Result<&Signer, SignError> {
        let make = async {
            self.running.update_running().await?;
            let running = self.running.now.load_full();
            if running.generation == Generation::ZERO {
                let why = format!("the log {} has no configuration yet", self.ledger.name);
                return Err(StoreError::NotYet(why).into());
            }
            let (key, origin) = (
                self.ledger.keys.replication(),
                running.document.origin.clone(),
            );
            for _ in 0..3 {
                if let Some(sealed) = self.ledger.store.get(&key).await? {
                    let sealed_by_another = |e: KeyError| SignError::Replication {
                        key: key.clone(),
                        why: e.to_string(),
                    };
                    let seed = self.kek.open(&sealed, &context(&origin));
                    let seed = seed.map_err(sealed_by_another)?;
                    return Signer::from_seed(&origin, &seed).map_err(failed);
                }
                if let Some(why) = self.ledger.halt.reason() {
                    return Err(SignError::Halted(why));
                }
                self.has_own_kek().await?;
                let mut seed = zeroize::Zeroizing::new([0; 32]);
                let random = &self.ledger.random;
                random.fill(&mut *seed).map_err(failed)?;
                let sealed = self
                    .kek
                    .seal(&seed, &context(&origin), random)
                    .map_err(failed)?;
                let row = Transaction {
                    guards: vec![Guard::Absent(key.clone())],
                    puts: vec![(key.clone(), sealed.into())],
                    ..Transaction::default()
                };
                // Refused: another replica made it. Unknown: the next read shows.
                if let Outcome::Failed(e) = self.ledger.store.transact(row).await {
                    return Err(e.into());
                }
            }
            Err(StoreError::Io("the replication key could not be written".into()).into())
        };
        self.replication.get_or_try_init(|| make).await
    }

    /// A pending checkpoint: the body of the one that may be published, signed by the replication key only.
    pub(crate) async fn pending_checkpoint(
        &self,
        origin: &str,
        size: TreeSize,
        root: Hash,
    ) -> Result<String, SignError> {
        let text = Checkpoint {
            origin: origin.to_owned(),
            size: size.get(),
            root,
            extensions: Vec::new(),
        }
        .to_text();
        tlog::sign(&text, &[self.replication().await?]).map_err(failed)
    }

    /// Checks that the key-encryption key is the one that the active shard's key was sealed with. Nothing is sealed with another one.
    ///
    /// # Errors
    /// [`SignError::Sealed`] if it is another one.
    pub(crate) async fn has_own_kek(&self) -> Result<(), SignError> {
        let (state, keys) = (self.ledger.state(), &self.ledger.keys);
        let active = state.active();
        let Some(shard) = active.and_then(|at| self.shards.get(&state, &at.identity.name)) else {
            return Ok(());
        };
        match shard.secrets(keys, &*self.ledger.store, &self.kek).await {
            // A finding of fsck; no other key takes its place.
            Err(SignError::Missing(_)) => Ok(()),
            seed => seed.map(drop),
        }
    }
}
