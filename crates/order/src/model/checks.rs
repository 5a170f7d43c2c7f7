//! The invariants, checked whenever a write lands or an answer is given.

use crate::SlotNumber;
use std::sync::Arc;

use crate::answer::CommitError;
use crate::attempt::CommitAnswer;
use crate::model::actors::{Actor, Proposed, Write};
use crate::model::rows::Rows;
use crate::model::world::{Act, Decided, Fate, Protocol, World};
use crate::propose::alive;
use crate::slot::{BatchRef, Control, Slot};
use crate::token::Token;
use crate::view::View;
use crate::work::{Announcement, Work};
use stateright::Model;
use store::Guard;
use store::record;

/// Steps in which a committer that is alone has its answer.
const STEPS: usize = 16;

impl World {
    fn breaks(&mut self, name: &'static str, why: impl Into<String>) {
        self.broken.get_or_insert((name, why.into()));
    }

    fn is_ordered(&self, token: Token) -> bool {
        let mut slots = self.history.iter();
        slots.any(|d| d.slot.tokens().any(|t| t == token))
    }
}

impl Protocol {
    /// A write reaches the store. Says whether it was applied.
    pub(super) fn land(&self, world: &mut World, write: &Write) -> bool {
        let before = world.rows.clone();
        if !world.rows.apply(&write.transaction) {
            return false;
        }
        let now = world.len();
        let bag = self.keys.bag();
        for (key, _) in &write.transaction.puts {
            if key.starts_with(&bag) {
                world.put_at.entry(key.clone()).or_insert(now);
            }
        }
        if let Some(proposal) = &write.slot {
            self.decided(world, &before, proposal);
        }
        let rows = world.rows.clone();
        world.put_at.retain(|key, _| rows.get(key).is_some());
        world.flagged |= write.flag;
        self.promises(world);
        // Proposals for a decided slot never land: forgotten, so that fewer states differ.
        let len = world.len();
        let floor = self.keys.floor();
        world.held.retain(|held| {
            let guarded = |g: &Guard| matches!(g, Guard::AtMost(key, _) if *key == floor);
            let late = held
                .write
                .slot
                .as_ref()
                .is_some_and(|p| p.slot.number < len);
            !(late && held.write.transaction.guards.iter().any(guarded))
        });
        true
    }

    /// A slot was decided; `before` are the rows that its transaction found.
    fn decided(&self, world: &mut World, before: &Rows, proposal: &Proposed) {
        let slot = &proposal.slot;
        let (number, len) = (slot.number, world.len());
        if before.number(&self.keys.floor()) > number.get() {
            return world.breaks("S11", format!("slot {number} is decided below the floor"));
        }
        if number != len {
            return world.breaks("S1", format!("slot {number} is decided where {len} are"));
        }
        let view = self.view(world, len);
        if slot.start != view.state.size {
            world.breaks("S2", "starts elsewhere than the one before ends");
        }
        let tokens: Vec<Token> = slot.tokens().collect();
        for (i, token) in tokens.iter().enumerate() {
            if tokens[..i].contains(token) || world.is_ordered(*token) {
                world.breaks("S3", format!("{token} is ordered twice"));
            }
            if world.rejected.contains(token) {
                world.breaks("S10", format!("{token} was rejected, and is ordered"));
            }
        }
        for (i, batch) in slot.batches.iter().enumerate() {
            let same = |other: &BatchRef| other.part().is_some() && other.part() == batch.part();
            let mut ordered = world.history.iter().flat_map(|d| &d.slot.batches);
            if ordered.any(same) || slot.batches[..i].iter().any(same) {
                world.breaks("S3", format!("{:?} is ordered twice", batch.part()));
            }
            let row = world.rows.get(&self.keys.batch(batch.token));
            if row.map(|bytes| record::digest(bytes)) != Some(batch.digest) {
                world.breaks("S4", format!("{} is not durable", batch.token));
            }
        }
        if !slot.batches.is_empty() && (world.flagged || is_frozen(world)) {
            world.breaks("S5", format!("slot {number} has entries after the freeze"));
        }
        for (token, _) in &proposal.seen {
            // It may have been announced more than once.
            let seen = proposal
                .seen
                .iter()
                .filter(|(t, _)| t == token)
                .map(|(_, s)| *s);
            if seen.max().is_some_and(|seen| number > seen + self.window) {
                world.breaks("S6", format!("{token} is ordered after its window"));
            }
        }
        self.takes_what_waits(world, before, slot, &view);
        let mut next = (*view).clone();
        match next.advance(Arc::clone(slot), proposal.digest) {
            Ok(()) => Arc::make_mut(&mut world.history).push(Decided {
                slot: Arc::clone(slot),
                digest: proposal.digest,
                view: Arc::new(next),
            }),
            Err(invalid) => world.breaks("S2", invalid.to_string()),
        }
    }

    /// L2: whatever was announced while the slot before was undecided is in this one, or behind others that fill it.
    fn takes_what_waits(&self, world: &mut World, before: &Rows, slot: &Slot, view: &View) {
        let waited = |key: &str| world.put_at.get(key).is_some_and(|at| *at < slot.number);
        let has = |a: &Announcement| slot.tokens().any(|t| t == a.work.token());
        let alone = matches!(&slot.control, Some(d) if matches!(d.control, Control::Unfreeze));
        let full = slot.batches.len() == self.limits.batches;
        let waiting = self
            .announcements(before)
            .filter(|(key, a)| waited(key) && alive(view, a) && !has(a));
        let mut passed = None;
        for (key, announcement) in waiting {
            let fits = match &announcement.work {
                Work::Control(decision) => {
                    slot.control.is_none() && view.state.check(decision).is_ok()
                }
                Work::Batch(batch) => {
                    let part = batch.part();
                    let other = slot
                        .batches
                        .iter()
                        .any(|b| part.is_some() && b.part() == part);
                    let done = other || part.is_some_and(|part| view.find_part(part).is_some());
                    batch.shard.is_none() && !done && !alone && !full
                }
                Work::Promised(_) => !alone && !full,
            };
            if fits {
                passed = Some(key.to_owned());
            }
        }
        if let Some(key) = passed {
            world.breaks("L2", format!("slot {} passes over {key}", slot.number));
        }
    }

    /// S10: promised work is in at least one place.
    fn promises(&self, world: &mut World) {
        let lost = world.promised.iter().copied().find(|token| {
            !world.is_ordered(*token)
                && !self.queued(&world.rows).any(|p| p.batch.token == *token)
                && !self
                    .announcements(&world.rows)
                    .any(|(_, a)| a.work.token() == *token)
        });
        if let Some(token) = lost {
            world.breaks("S10", format!("{token} was promised, and is nowhere"));
        }
    }

    /// An author is told that its work is promised.
    pub(super) fn promised(&self, world: &mut World, token: Token) {
        world.promised.insert(token);
        self.promises(world);
    }

    /// An author is told that its work will never be ordered.
    pub(super) fn rejected(&self, world: &mut World, token: Token) {
        if world.is_ordered(token) {
            world.breaks("S10", format!("{token} is ordered, and rejected"));
        }
        world.rejected.insert(token);
    }

    /// A committer is told this; `again`: it asks once more afterwards.
    pub(super) fn answered(
        &self,
        world: &mut World,
        work: &Work,
        answer: &CommitAnswer,
        again: bool,
    ) {
        let token = work.token();
        match answer {
            Ok(placed) => {
                let at = usize::try_from(placed.slot.number.get()).unwrap();
                let slot = world.history.get(at).map(|d| Arc::clone(&d.slot));
                let is_there = slot.is_some_and(|slot| match work.batch() {
                    Some(batch) => {
                        let mut all = slot.placed();
                        all.any(|(start, b)| b == batch && start == placed.start)
                    }
                    None => slot.tokens().any(|t| t == token),
                });
                if !is_there {
                    world.breaks("S10", format!("{token} is not where its author was told"));
                }
            }
            // An operation that was decided before gets its location, which is not a refusal.
            Err(CommitError::Refused(crate::state::Refusal::Already(_))) => {}
            Err(CommitError::Unknown(_) | CommitError::AskAgain) => {}
            // For an operation, only if no other call with it follows.
            Err(_) if again => {}
            Err(_) => self.rejected(world, token),
        }
    }

    /// S11: slots at or above the floor exist, and a snapshot covers those below. S4: unpublished batches exist, too.
    pub(super) fn collected(&self, world: &mut World, published: SlotNumber) {
        let unpublished = world.history.iter().map(|d| &d.slot);
        let unpublished = unpublished.filter(|slot| slot.number >= published);
        let mut batches = unpublished.flat_map(|slot| &slot.batches);
        let gone = batches.find(|b| world.rows.get(&self.keys.batch(b.token)).is_none());
        if let Some(gone) = gone.map(|b| b.token) {
            world.breaks("S4", format!("{gone} is ordered, not published, and gone"));
        }
        let floor = world.floor(&self.keys);
        let all = floor.until(world.len());
        if let Some(gone) = all
            .into_iter()
            .find(|n| world.rows.get(&self.keys.slot(*n)).is_none())
        {
            world.breaks(
                "S11",
                format!("slot {gone} is not there, the floor is {floor}"),
            );
        }
        let from = self.keys.snapshot(floor);
        let covered = world
            .rows
            .scan(&self.keys.snapshots(), &from)
            .next()
            .is_some();
        if floor > SlotNumber::ZERO && !covered {
            world.breaks("S11", format!("no snapshot covers the floor {floor}"));
        }
    }

    /// L1, L3: each committer gets its answers when all others have stopped.
    pub(super) fn each_ends_alone(&self, world: &World) -> bool {
        (0..world.actors.len()).all(|i| {
            let Actor::Committer(start) = &world.actors[i] else {
                return true;
            };
            let (mut now, work) = (world.clone(), start.next);
            for _ in 0..STEPS {
                match &now.actors[i] {
                    Actor::Committer(c) if c.work.is_some() && c.next == work => {}
                    _ => return true,
                }
                let Some(next) = self.next_state(&now, Act::Step(i, Fate::Plain)) else {
                    return false;
                };
                now = next;
            }
            false
        })
    }
}

/// Whether the log is frozen, from the slots themselves and nothing else.
fn is_frozen(world: &World) -> bool {
    let turned = |d: &Decided| match d.slot.control.as_ref().map(|c| &c.control) {
        Some(Control::Freeze) => Some(true),
        Some(Control::Unfreeze) => Some(false),
        _ => None,
    };
    world.history.iter().rev().find_map(turned).unwrap_or(false)
}
