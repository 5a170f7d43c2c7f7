//! The proposal for the next slot: a pure function of the view, the bag and the proposer's own work.
//!
//! Whichever committer wins, all are served. So a proposal holds *every* live announcement, oldest first, and the proposer's own work last:
//! as many as fit into a slot, by number and by bytes. The rest is first in line for the next slot.
//!
//! What must never happen: a proposal that no store accepts. It could be neither decided nor skipped.

use std::collections::HashSet;

use crate::Limits;
use crate::location::Part;
use crate::mutant::{Mutant, left_out};
use crate::slot::{BatchRef, Control, Decision, FORMAT, Slot};
use crate::state::{Intake, Phase};
use crate::token::Token;
use crate::view::View;
use crate::work::{Announcement, Work};
use store::StoreError;
use store::record;
use tlog::UnixMillis;

/// Whether an announcement still counts for the next slot.
pub fn alive(view: &View, announcement: &Announcement) -> bool {
    let next = view.state.len;
    announcement.seen <= next
        && (next <= announcement.seen + view.limits.window || left_out(Mutant::NoWindow))
        && (view
            .state
            .last_freeze
            .is_none_or(|freeze| announcement.seen > freeze)
            || left_out(Mutant::FreezeSparesAnnouncements)
            || left_out(Mutant::FreezeIsAFlag))
        && !(is_reversible(&announcement.work) && view.state.turned_since(announcement.seen))
        && !ordered(view, &announcement.work)
}

/// Whether the work may be refused now and fit again later: it opens, hides or shows the log, and another committer's control may do the
/// same first and be reversed later. It counts only until then, because otherwise refused work would be decided.
fn is_reversible(work: &Work) -> bool {
    matches!(work, Work::Control(d)
        if matches!(d.control, Control::Unfreeze | Control::Delete | Control::Undelete))
}

/// Whether an announcement still counts as far as a view shows: one that is ahead of the view is not dead.
pub fn not_dead(view: &View, announcement: &Announcement) -> bool {
    announcement.seen > view.state.len || alive(view, announcement)
}

/// Whether a later slot may order an announced batch, as far as a view shows.
pub fn may_be_ordered(view: &View, announcement: &Announcement) -> bool {
    let frozen = |name: &str| {
        let mut shards = view.state.shards.iter();
        shards.any(|s| s.identity.name == name && matches!(s.phase, Phase::Frozen { .. }))
    };
    let demands = |batch: &BatchRef| batch.shard.as_deref().is_some_and(frozen);
    not_dead(view, announcement) && !announcement.work.batch().is_some_and(demands)
}

/// Whether one of the slots in the filter has the work, or another batch with its part of an upload.
fn ordered(view: &View, work: &Work) -> bool {
    let part = work.batch().and_then(BatchRef::part);
    view.find(work.token()).is_some() || part.is_some_and(|part| view.find_part(part).is_some())
}

/// Why a control is too large for any slot; its author is told, and no committer proposes it.
pub fn too_large(limits: &Limits, decision: &Decision) -> Option<StoreError> {
    let (size, limit) = (record::json_size(decision), limits.control());
    (size > limit).then_some(StoreError::TooLarge { size, limit })
}

/// The part of the bag that a proposal can use, read from the oldest on: as many batches as fit into a slot, by number and by bytes, and
/// the control that it carries. The rest of the bag waits in any case, so it is not kept.
#[derive(Debug, Default)]
pub struct Share {
    tokens: HashSet<Token>,
    parts: HashSet<Part>,
    bytes: usize,
    /// Batches for a shard that is not the active one: a control may open it in this slot.
    others: usize,
    control: bool,
}

impl Share {
    /// Batches fill the slot.
    pub fn is_full(&self, limits: &Limits) -> bool {
        let large = self.bytes > limits.bytes && !left_out(Mutant::SlotsFillByNumber);
        self.tokens.len() >= limits.batches || large
    }

    /// Whether the proposal can use nothing more.
    pub fn is_whole(&self, limits: &Limits) -> bool {
        self.control && self.is_full(limits)
    }

    /// Whether the proposal can use the next announcement.
    pub fn takes(&mut self, view: &View, announcement: &Announcement) -> bool {
        if !alive(view, announcement) {
            return false;
        }
        let (limits, state) = (&view.limits, &view.state);
        let work = &announcement.work;
        if let Work::Control(decision) = work {
            let may = !self.control && is_due(view, decision);
            self.control |= may;
            return may;
        }
        let Some(batch) = work.batch().filter(|_| !self.is_full(limits)) else {
            return false;
        };
        let is_active = |name: &str| state.active().is_some_and(|at| at.identity.name == name);
        if !batch.shard.as_deref().is_none_or(is_active) {
            self.others += 1;
            return self.others <= limits.batches;
        }
        let part = batch.part();
        if part.is_some_and(|part| self.parts.contains(&part)) || !self.tokens.insert(batch.token) {
            return false;
        }
        self.parts.extend(part);
        self.bytes += record::json_size(batch);
        true
    }
}

/// Whether a control may be decided in the next slot.
fn is_due(view: &View, decision: &Decision) -> bool {
    view.state.check(decision).is_ok() && too_large(&view.limits, decision).is_none()
}

/// The proposal for the next slot; `None` when nothing may go into it. `bag` in ascending order of `(seen, token)`; it must
/// have been scanned after the view was read.
pub fn propose(view: &View, bag: &[Announcement], mine: &[Work], now: UnixMillis) -> Option<Slot> {
    let state = &view.state;
    let announced = bag.iter().filter(|a| alive(view, a)).map(|a| &a.work);
    let own = mine.iter().filter(|w| !ordered(view, w));
    let works: Vec<&Work> = announced.chain(own).collect();
    // The control first: which shard is active for the slot's batches depends on it.
    let control: Option<Decision> = works.iter().find_map(|work| match work {
        Work::Control(decision) => is_due(view, decision).then(|| decision.clone()),
        _ => None,
    });
    let active = match control.as_ref().map(|c| &c.control) {
        Some(Control::Unfreeze) => None,
        Some(Control::Reconfigure {
            open: Some(name), ..
        }) => Some(name.clone()),
        _ => state.active().map(|shard| shard.identity.name.clone()),
    };
    let frozen = matches!(state.intake, Intake::Frozen { .. }) && !left_out(Mutant::FreezeIsAFlag);
    let active = active.filter(|_| !frozen);
    let active = active.as_deref();
    let mut slot = Slot {
        format: FORMAT,
        number: state.len,
        start: state.size,
        time: state.time.max(now),
        previous: state.last,
        batches: Vec::new(),
        control,
    };
    let mut bytes = record::size(record::json_size(&slot));
    for batch in works.iter().filter_map(|work| work.batch()) {
        let demand = batch.shard.as_deref();
        let demand = demand.filter(|_| !left_out(Mutant::DemandIsIgnored));
        let fits = active.is_some() && demand.is_none_or(|s| active == Some(s));
        let twice = |b: &BatchRef| {
            b.token == batch.token || (b.part().is_some() && b.part() == batch.part())
        };
        if !fits || slot.batches.iter().any(twice) {
            continue;
        }
        bytes += record::json_size(batch) + usize::from(!slot.batches.is_empty());
        let large = bytes > view.limits.bytes && !left_out(Mutant::SlotsFillByNumber);
        if slot.batches.len() == view.limits.batches || large {
            break;
        }
        slot.batches.push(batch.clone());
    }
    slot.format = Slot::format_of(&slot.batches, slot.control.as_ref());
    (!slot.batches.is_empty() || slot.control.is_some()).then_some(slot)
}
