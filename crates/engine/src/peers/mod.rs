//! What a log remembers of its secondaries and witnesses while it runs, and the key that signs its messages to secondaries.
//!
//! The **replication key** signs what is not published yet: pending checkpoints and manifests. The shards' keys sign only what
//! is durable as published, so a secondary must never see their signature earlier. The replication key is sealed like the shards' keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tlog::{Checkpoint, Hash, Signer};
use tokio::sync::OnceCell;

use crate::metrics::Histogram;
use crate::program::Program;
use crate::publish::signing::Signing;
use crate::shard::SignError;
use crate::shard::keys::KeyError;
use mirror::PeerClient;
use store::{Guard, Outcome, StoreError, Transaction};

/// How a secondary stands, as far as this process knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecondaryState {
    /// The incarnation that answers.
    pub incarnation: Option<String>,
    /// Why it is stuck, since the last success.
    pub trouble: Option<String>,
    /// It saw, or showed, another root.
    pub alarm: Option<String>,
}

/// What is counted of a witness.
#[derive(Debug)]
pub struct WitnessCounts {
    /// Seconds until its cosignature.
    pub seconds: Histogram,
    /// How often it did not cosign, by reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// What the last one was, until it cosigns again.
    pub trouble: Option<String>,
}

impl Default for WitnessCounts {
    fn default() -> Self {
        Self {
            seconds: Histogram::seconds(),
            failures: BTreeMap::new(),
            trouble: None,
        }
    }
}

/// Everything about peers that one log keeps in memory.
pub struct Peers {
    pub(crate) peers: Arc<dyn PeerClient>,
    signer: OnceCell<Signer>,
    secondaries: Mutex<BTreeMap<String, SecondaryState>>,
    witnesses: Mutex<BTreeMap<String, WitnessCounts>>,
    /// The size that a witness (by URL) is believed to have of a shard.
    pub(crate) witnessed: Mutex<BTreeMap<(String, String), u64>>,
    /// Shards whose first checkpoint lacks cosignatures.
    unwitnessed: Mutex<BTreeSet<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peers {
    /// Starts without any answers.
    pub fn new(peers: Arc<dyn PeerClient>) -> Self {
        Self {
            peers,
            signer: OnceCell::new(),
            secondaries: Mutex::default(),
            witnesses: Mutex::default(),
            witnessed: Mutex::default(),
            unwitnessed: Mutex::default(),
        }
    }

    /// The secondaries, by name.
    pub fn secondaries(&self) -> BTreeMap<String, SecondaryState> {
        locked(&self.secondaries).clone()
    }

    /// The secondaries that are not reached or refuse, with the reasons.
    pub(crate) fn unreached(&self) -> Vec<(String, String)> {
        let why =
            |(name, state): (String, SecondaryState)| Some((name, state.alarm.or(state.trouble)?));
        self.secondaries().into_iter().filter_map(why).collect()
    }

    /// Changes what is known of one.
    pub(crate) fn secondary(&self, name: &str, change: impl FnOnce(&mut SecondaryState)) {
        change(
            locked(&self.secondaries)
                .entry(name.to_owned())
                .or_default(),
        );
    }

    /// Forgets those that are not configured any more.
    pub(crate) fn keep(&self, named: impl Fn(&str) -> bool) {
        locked(&self.secondaries).retain(|name, _| named(name));
    }

    /// Whether the first checkpoint of a shard waits for witnesses.
    pub(crate) fn unwitnessed(&self, shard: &str) -> bool {
        locked(&self.unwitnessed).contains(shard)
    }

    /// Notes that it does; after that it is not asked again.
    pub(crate) fn wait_for_first(&self, shard: &str) {
        locked(&self.unwitnessed).insert(shard.to_owned());
    }

    /// Looks at the witnesses, by name.
    pub fn witnesses<T>(&self, look: impl FnOnce(&BTreeMap<String, WitnessCounts>) -> T) -> T {
        look(&locked(&self.witnesses))
    }

    pub(crate) fn witness(&self, name: &str, change: impl FnOnce(&mut WitnessCounts)) {
        change(locked(&self.witnesses).entry(name.to_owned()).or_default());
    }
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

impl Signing {
    /// The replication key, made at its first use.
    pub(crate) async fn replication(&self) -> Result<&Signer, SignError> {
        let make = async {
            let (key, origin) = (
                self.ledger.keys.replication(),
                self.running.config().origin.clone(),
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
                if let Some(why) = self.health.halt.reason() {
                    return Err(SignError::Halted(why));
                }
                self.has_own_kek().await?;
                let mut seed = zeroize::Zeroizing::new([0; 32]);
                getrandom::fill(&mut *seed).map_err(failed)?;
                let sealed = self.kek.seal(&seed, &context(&origin)).map_err(failed)?;
                let row = Transaction {
                    guards: vec![Guard::Absent(key.clone())],
                    puts: vec![(key.clone(), sealed.into())],
                    ..Transaction::default()
                };
                // Refused: another replica made it. Unknown: reading tells.
                if let Outcome::Failed(e) = self.ledger.store.transact(row).await {
                    return Err(e.into());
                }
            }
            Err(StoreError::Io("the replication key could not be written".into()).into())
        };
        self.replicas.signer.get_or_try_init(|| make).await
    }

    /// A pending checkpoint: the body of the one that may be published, signed by the replication key only.
    pub(crate) async fn pending_checkpoint(
        &self,
        origin: &str,
        size: u64,
        root: Hash,
    ) -> Result<String, SignError> {
        let text = Checkpoint {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        }
        .to_text();
        tlog::sign(&text, &[self.replication().await?]).map_err(failed)
    }

    /// The peers that a program does not reach, with the reasons.
    pub(crate) fn unreached(&self, program: Program) -> Vec<(String, String)> {
        match program {
            Program::Replicate => self.replicas.unreached(),
            _ => self.health.unreached(program),
        }
    }
}
