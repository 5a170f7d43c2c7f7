//! What goes into the next slot: a pure function of the view, the bag and the proposer's own work.
//!
//! Whoever wins, all are served; so a proposal holds *every* live announcement, oldest first, and the proposer's own work last.

use super::slot::{Announcement, BatchRef, Control, Decision, FORMAT, Slot, Work};
use super::state::{Gate, View};
use super::{MAX_BATCHES, WINDOW};

/// Whether an announcement still counts for the next slot.
pub fn alive(view: &View, announcement: &Announcement) -> bool {
    let next = view.state.len;
    announcement.seen <= next
        && next <= announcement.seen + WINDOW
        && view
            .state
            .last_freeze
            .is_none_or(|freeze| announcement.seen > freeze)
        && view.find(announcement.work.token()).is_none()
}

/// The proposal for the next slot; `None` when nothing may go into it. `bag` in ascending order of `(seen, token)`; it must
/// have been scanned after the view was read.
pub fn propose(view: &View, bag: &[Announcement], mine: &[Work], now_ms: u64) -> Option<Slot> {
    let state = &view.state;
    let mut batches: Vec<BatchRef> = Vec::new();
    let mut control: Option<Decision> = None;
    let announced = bag.iter().filter(|a| alive(view, a)).map(|a| &a.work);
    let own = mine.iter().filter(|w| view.find(w.token()).is_none());
    for work in announced.chain(own) {
        match work {
            Work::Batch(batch) => {
                if batches.len() < MAX_BATCHES && batches.iter().all(|b| b.token != batch.token) {
                    batches.push(batch.clone());
                }
            }
            Work::Control(decision) => {
                if control.is_none() && state.check(decision).is_ok() {
                    control = Some(decision.clone());
                }
            }
        }
    }
    let frozen = matches!(state.gate, Gate::Frozen { .. });
    let alone = control
        .as_ref()
        .is_some_and(|c| c.control == Control::Unfreeze);
    let opens = control
        .as_ref()
        .is_some_and(|c| matches!(c.control, Control::Reconfigure { open: Some(_), .. }));
    if frozen || alone || (state.active().is_none() && !opens) {
        batches.clear();
    }
    if batches.is_empty() && control.is_none() {
        return None;
    }
    Some(Slot {
        format: FORMAT,
        number: state.len,
        start: state.size,
        time: state.time.max(now_ms),
        previous: state.last,
        batches,
        control,
    })
}
