//! Published objects that were found lost or altered: the reports of readers and of the scrub, and the list for the operator. Nothing
//! that is signed later depends on these objects, so the log is not halted when a reader finds one. The read is refused and counted;
//! [`crate::repair`] does the rest.

use crate::clock::Clock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tlog::{LeafIndex, TILE_WIDTH, UnixMillis};
use tokio::sync::Notify;

use crate::metrics::Gauge;

/// Objects that are listed by name; more are counted.
const LISTED: usize = 64;
/// Places that wait for a check.
const SUSPECTS: usize = 64;

/// A published object that is lost or altered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its path in the object store.
    pub path: String,
    /// The fault, for an operator.
    pub what: String,
    /// When it was noticed.
    pub since: UnixMillis,
    /// When it was repaired, and from which copy. `None`: it is still damaged.
    pub repaired: Option<(UnixMillis, String)>,
    /// The shard, and a leaf whose proof needs the object.
    place: (Arc<str>, LeafIndex),
}

/// The damaged objects of one log that this process knows.
#[derive(Debug)]
pub(crate) struct Damage {
    clock: Clock,
    all: Mutex<All>,
    /// Reads that were refused because of it.
    pub(crate) reads: Gauge,
    /// Objects that were written again.
    pub(crate) repairs: Gauge,
    pub(crate) look: Notify,
}

#[derive(Debug, Default)]
struct All {
    found: BTreeMap<String, Damaged>,
    /// Damaged objects that are not in `found` for lack of room.
    more: BTreeSet<(Arc<str>, LeafIndex)>,
    /// The first leaf of a level-0 tile whose proof or entry a reader could not be given.
    suspects: BTreeSet<(Arc<str>, LeafIndex)>,
}

impl Damage {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            all: Mutex::default(),
            reads: Gauge::default(),
            repairs: Gauge::default(),
            look: Notify::new(),
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        // No code that can panic runs under this lock.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an object on the path to a leaf of a shard is not as it was written.
    pub(crate) fn suspect(&self, shard: &Arc<str>, leaf: LeafIndex) {
        let place = (Arc::clone(shard), leaf.back(leaf.get() % TILE_WIDTH));
        let mut all = self.all();
        // Objects that are known to be damaged are checked on their own schedule.
        let known = |d: &Damaged| d.repaired.is_none() && d.place == place;
        if all.suspects.len() < SUSPECTS && !all.found.values().any(known) {
            all.suspects.insert(place);
            self.look.notify_one();
        }
    }

    /// Notes that an object is damaged. The first report of it counts.
    pub(crate) fn report(&self, path: &str, what: String, place: (Arc<str>, LeafIndex)) {
        let mut all = self.all();
        let again = all.found.get(path).is_some_and(|d| d.repaired.is_none());
        if again {
            return;
        }
        tracing::error!(path, what, "a published object is damaged");
        if all.found.len() >= LISTED && !all.found.contains_key(path) {
            // Repaired ones make room, the oldest first.
            let repaired = |d: &&Damaged| d.repaired.is_some();
            let oldest = all.found.values().filter(repaired).min_by_key(|d| d.since);
            let Some(oldest) = oldest.map(|d| d.path.clone()) else {
                if all.more.len() < LISTED {
                    all.more.insert(place);
                }
                return;
            };
            all.found.remove(&oldest);
        }
        all.found.insert(
            path.to_owned(),
            Damaged {
                path: path.to_owned(),
                what,
                since: self.clock.now(),
                repaired: None,
                place,
            },
        );
    }

    /// Notes that an object was repaired from a good copy.
    pub(crate) fn repaired(&self, path: &str, from: &str) {
        tracing::warn!(path, from, "a damaged object was repaired");
        self.repairs.add(1);
        if let Some(damaged) = self.all().found.get_mut(path) {
            damaged.repaired = Some((self.clock.now(), from.to_owned()));
        }
    }

    /// The places to check now: suspected ones, or those that could not be repaired so far.
    pub(crate) fn places(&self, known: bool) -> BTreeSet<(Arc<str>, LeafIndex)> {
        let mut all = self.all();
        let mut places = std::mem::take(&mut all.suspects);
        if known {
            places.append(&mut all.more);
            let open = all.found.values().filter(|d| d.repaired.is_none());
            places.extend(open.map(|d| d.place.clone()));
        }
        places
    }

    /// Takes the unrepaired objects of a place off the list, except those that are `still` damaged.
    pub(crate) fn forget(&self, place: &(Arc<str>, LeafIndex), still: &BTreeSet<String>) {
        let mut all = self.all();
        all.found.retain(|path, damaged| {
            let gone =
                damaged.repaired.is_none() && damaged.place == *place && !still.contains(path);
            if gone {
                tracing::info!(path, "a damaged object is sound again");
            }
            !gone
        });
    }

    pub(crate) fn list(&self) -> Vec<Damaged> {
        self.all().found.values().cloned().collect()
    }

    /// How many are damaged.
    pub(crate) fn count(&self) -> usize {
        let all = self.all();
        let open = all.found.values().filter(|d| d.repaired.is_none());
        open.count() + all.more.len()
    }
}
