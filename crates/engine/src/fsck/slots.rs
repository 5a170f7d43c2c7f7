//! The slots: whole, contiguous, each following from the ones before, and the snapshots agreeing with them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tlog::Hash;

use crate::fsck::{Findings, LogReport, Progress, Watcher, remedy, rows};
use crate::ledger::snapshot;
use order::keys::{Keys, trailing_slot};
use order::slot::Slot;
use order::state::State;
use order::view::View;
use order::{Limits, SlotNumber};
use store::record;
use store::{Coordination, StoreError};

/// Slots read at a time.
const SCAN_PAGE: usize = 256;

/// How often the slots are read again because a running server collected some meanwhile.
const ATTEMPTS: usize = 5;

/// The order as the slots record it.
pub(crate) struct Order {
    pub(crate) keys: Keys,
    /// The state after the last slot that could be followed.
    pub(crate) state: State,
    /// The slots that are kept, with the bytes' digests.
    pub(crate) slots: BTreeMap<SlotNumber, Arc<Slot>>,
    /// All slots were followed, from the first kept to the last.
    pub(crate) whole: bool,
}

/// Reads and follows all slots that are kept.
pub(crate) async fn check(
    store: &dyn Coordination,
    name: &str,
    findings: &mut Findings<'_>,
    report: &mut LogReport,
    watcher: Watcher<'_>,
) -> Result<Order, StoreError> {
    let keys = Keys::new(name);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut found = Findings {
            log: findings.log,
            list: Vec::new(),
        };
        let floor = floor(store, &keys, &mut found).await?;
        let order = follow(store, &keys, floor, &mut found, watcher).await?;
        // Slots that were collected meanwhile look like a gap. The second check then does not report it.
        let moved = self::floor(store, &keys, &mut found).await? != floor;
        if moved && !found.list.is_empty() && attempt < ATTEMPTS {
            continue;
        }
        findings.list.append(&mut found.list);
        report.slots = order.state.len;
        report.ordered = order.state.size.get();
        report.floor = floor;
        report.shards = order.state.shards.len() as u64;
        return Ok(order);
    }
}

async fn floor(
    store: &dyn Coordination,
    keys: &Keys,
    findings: &mut Findings<'_>,
) -> Result<SlotNumber, StoreError> {
    let Some(bytes) = store.get(&keys.floor()).await? else {
        return Ok(SlotNumber::ZERO);
    };
    match record::decode_number(&bytes) {
        Ok(floor) if bytes.len() == 8 => Ok(SlotNumber::new(floor)),
        Ok(_) => {
            findings.row(keys.floor(), "is longer than a number", remedy::ROW);
            Ok(SlotNumber::ZERO)
        }
        Err(error) => {
            findings.row(keys.floor(), error, remedy::ROW);
            Ok(SlotNumber::ZERO)
        }
    }
}

/// Follows the slots as they are read.
struct Follower {
    /// The slots for [`View::remember`], once a state is known.
    before: VecDeque<Arc<Slot>>,
    view: Option<View>,
    /// The slot before and its digest; `None` at the start and after one that could not be read.
    last: Option<(Arc<Slot>, Hash)>,
    snapshots: BTreeMap<SlotNumber, (String, State)>,
    /// The last state that was known.
    known: State,
    whole: bool,
}

impl Follower {
    /// Starts from the state of a snapshot before slot `number`, or compares it.
    fn snapshot(&mut self, number: SlotNumber, findings: &mut Findings<'_>) {
        let Some((key, state)) = self.snapshots.remove(&number) else {
            return;
        };
        if let Some((slot, digest)) = &self.last
            && (state.last != *digest || state.size != slot.end() || state.time != slot.time)
        {
            let what = format!(
                "is not the state after slot {}: another digest, size or time",
                slot.number
            );
            return findings.row(key, what, remedy::ROW);
        }
        match &self.view {
            Some(view) if view.state != state => {
                findings.row(
                    key,
                    format!("is not what the slots before slot {number} lead to"),
                    remedy::ROW,
                );
            }
            Some(_) => {}
            None => {
                let mut view = View::at(state);
                self.before.drain(..).for_each(|slot| view.remember(slot));
                self.known = view.state.clone();
                self.view = Some(view);
            }
        }
    }

    /// Takes the next slot.
    fn slot(&mut self, key: &str, slot: Arc<Slot>, digest: Hash, findings: &mut Findings<'_>) {
        self.snapshot(slot.number, findings);
        if let Some((last, before)) = &self.last {
            let wrong = if slot.previous != *before {
                Some(format!("does not name the digest of slot {}", last.number))
            } else if slot.start != last.end() {
                Some(format!(
                    "starts at {} where the slot before ends at {}",
                    slot.start,
                    last.end()
                ))
            } else {
                None
            };
            if let Some(what) = wrong {
                findings.row(key, what, remedy::ROW);
                self.lose();
            }
        }
        match &mut self.view {
            Some(view) => match view.advance(slot.clone(), digest) {
                Ok(()) => self.known = view.state.clone(),
                Err(invalid) => {
                    findings.row(key, invalid.why, remedy::ROW);
                    self.lose();
                }
            },
            None => {
                self.before.push_back(slot.clone());
                if self.before.len() as u64 > Limits::default().window {
                    self.before.pop_front();
                }
            }
        }
        self.last = Some((slot, digest));
    }

    /// Stops following the slots: later ones cannot be checked until a snapshot gives a new start.
    fn lose(&mut self) {
        self.view = None;
        self.last = None;
        self.before.clear();
        self.whole = false;
    }
}

async fn follow(
    store: &dyn Coordination,
    keys: &Keys,
    floor: SlotNumber,
    findings: &mut Findings<'_>,
    watcher: Watcher<'_>,
) -> Result<Order, StoreError> {
    let snapshots = snapshots(store, keys, findings).await?;
    let newest = snapshots
        .last_key_value()
        .map(|(_, (_, state))| state.clone());
    let mut follower = Follower {
        before: VecDeque::new(),
        view: (floor == SlotNumber::ZERO).then(View::default),
        last: None,
        snapshots,
        known: State::default(),
        whole: true,
    };
    let (mut slots, mut expected) = (BTreeMap::new(), None::<SlotNumber>);
    let mut from = keys.slots();
    loop {
        let page = store.scan(&keys.slots(), &from, SCAN_PAGE).await?;
        let full = page.len() == SCAN_PAGE;
        for (key, bytes) in page {
            from = format!("{key}\0");
            let Some(number) = trailing_slot(&key).filter(|number| keys.slot(*number) == key)
            else {
                findings.row(key, "is not the key of a slot", remedy::ROW);
                continue;
            };
            // Slots below the floor are being deleted, in any order.
            if number < floor {
                continue;
            }
            let next = expected.unwrap_or(floor);
            if number != next {
                findings.row(
                    keys.slot(next),
                    format!("missing: the next slot is {number}"),
                    remedy::ROW,
                );
                follower.lose();
            }
            expected = Some(number.next());
            match record::decode::<Slot>(&bytes) {
                Ok(slot) if slot.number == number => {
                    let slot = Arc::new(slot);
                    follower.slot(&key, slot.clone(), record::digest(&bytes), findings);
                    slots.insert(number, slot);
                }
                Ok(slot) => {
                    findings.row(&key, format!("holds slot {}", slot.number), remedy::ROW);
                    follower.lose();
                }
                Err(error) => {
                    findings.row(&key, error, remedy::ROW);
                    follower.lose();
                }
            }
            watcher(Progress {
                log: findings.log,
                shard: None,
                done: number.next().get(),
                total: None,
            });
        }
        if !full {
            break;
        }
    }
    let len = expected.unwrap_or(floor);
    follower.snapshot(len, findings);
    for (number, (key, _)) in follower.snapshots.split_off(&len) {
        let what = format!(
            "is of slot {number}, but the last slot is {}",
            len.get().wrapping_sub(1) as i64
        );
        findings.row(key, what, remedy::ROW);
        follower.whole = false;
    }
    if follower.view.is_none() && follower.whole {
        findings.row(
            keys.snapshots(),
            format!("no usable snapshot at or after the floor, slot {floor}"),
            remedy::ROW,
        );
        follower.whole = false;
    }
    // After damage, the best known state: it is used to check what follows, never to accept it.
    let state = match newest {
        Some(newest) if newest.len > follower.known.len => newest,
        _ => follower.known,
    };
    Ok(Order {
        keys: keys.clone(),
        state,
        slots,
        whole: follower.whole,
    })
}

async fn snapshots(
    store: &dyn Coordination,
    keys: &Keys,
    findings: &mut Findings<'_>,
) -> Result<BTreeMap<SlotNumber, (String, State)>, StoreError> {
    let mut snapshots = BTreeMap::new();
    for (key, bytes) in rows::all(store, &keys.snapshots()).await? {
        match snapshot::read(store, keys, (&key, &bytes)).await {
            Ok(Some(state)) if keys.snapshot(state.len) == key => {
                snapshots.insert(state.len, (key, state));
            }
            Ok(Some(state)) => findings.row(
                &key,
                format!("holds the state before slot {}", state.len),
                remedy::ROW,
            ),
            // Collected meanwhile.
            Ok(None) => {}
            Err(StoreError::Corrupt(why)) => findings.row(&key, why, remedy::ROW),
            Err(error) => return Err(error),
        }
    }
    Ok(snapshots)
}
