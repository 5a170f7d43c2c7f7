//! A running log's memory of its secondaries and witnesses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Histogram;
use mirror::PeerClient;
use tlog::TreeSize;

/// The state of a secondary, as far as this process knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecondaryState {
    /// The incarnation that answers.
    pub incarnation: Option<String>,
    /// Why it is stuck, since the last success.
    pub trouble: Option<String>,
    /// Set when it saw, or showed, another root.
    pub alarm: Option<String>,
}

/// The counters of one witness.
#[derive(Debug)]
pub struct WitnessCounts {
    /// Seconds until its cosignature.
    pub seconds: Histogram,
    /// How often it did not cosign, by reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// The last failure, until it cosigns again.
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
    pub(crate) client: Arc<dyn PeerClient>,
    secondaries: Mutex<BTreeMap<String, SecondaryState>>,
    witnesses: Mutex<BTreeMap<String, WitnessCounts>>,
    /// The size that a witness (by URL) is believed to have of a shard.
    pub(crate) witnessed: Mutex<BTreeMap<(String, String), TreeSize>>,
    /// Shards whose first checkpoint lacks cosignatures.
    unwitnessed: Mutex<BTreeSet<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peers {
    /// A memory without any answers yet.
    pub fn new(client: Arc<dyn PeerClient>) -> Self {
        Self {
            client,
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

    /// The secondaries that cannot be reached or refuse, with the reasons.
    pub(crate) fn unreached(&self) -> Vec<(String, String)> {
        let why =
            |(name, state): (String, SecondaryState)| Some((name, state.alarm.or(state.trouble)?));
        self.secondaries().into_iter().filter_map(why).collect()
    }

    /// Changes the record of one secondary.
    pub(crate) fn secondary(&self, name: &str, change: impl FnOnce(&mut SecondaryState)) {
        change(
            locked(&self.secondaries)
                .entry(name.to_owned())
                .or_default(),
        );
    }

    /// Forgets the secondaries that are not configured any more.
    pub(crate) fn keep(&self, named: impl Fn(&str) -> bool) {
        locked(&self.secondaries).retain(|name, _| named(name));
    }

    /// Whether the first checkpoint of a shard waits for witnesses.
    pub(crate) fn unwitnessed(&self, shard: &str) -> bool {
        locked(&self.unwitnessed).contains(shard)
    }

    /// Notes that the first checkpoint of a shard waits for witnesses.
    pub(crate) fn wait_for_first(&self, shard: &str) {
        locked(&self.unwitnessed).insert(shard.to_owned());
    }

    /// Calls a function with the witnesses, by name.
    pub fn witnesses<T>(&self, look: impl FnOnce(&BTreeMap<String, WitnessCounts>) -> T) -> T {
        look(&locked(&self.witnesses))
    }

    pub(crate) fn witness(&self, name: &str, change: impl FnOnce(&mut WitnessCounts)) {
        change(locked(&self.witnesses).entry(name.to_owned()).or_default());
    }
}
