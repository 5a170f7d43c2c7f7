//! What a committer has read: the state, and the duplicate filter over the last slots.
//!
//! What must never happen: a token or a part of an upload that one of these slots orders is ordered again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tlog::Hash;

use crate::location::Part;
use crate::slot::Slot;
use crate::state::{InvalidSlot, State};
use crate::token::Token;
use crate::{Generation, Limits, SlotNumber};

/// The state and everything that the next proposal needs: the tokens, and the parts of uploads, of the last [`Limits::filter`] slots.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The state after the slots so far.
    pub state: State,
    /// The same for all views of a log.
    pub limits: Limits,
    /// The first generation whose storage nodes count for large batches, as far as it was read.
    pub storage_from: Generation,
    recent: VecDeque<Arc<Slot>>,
    tokens: HashMap<Token, SlotNumber>,
    parts: HashMap<Part, SlotNumber>,
}

impl View {
    /// A view that starts at a snapshot; [`View::remember`] fills the filter with the slots before it.
    pub fn at(state: State) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    /// Takes a slot from before the snapshot into the duplicate filter. In ascending order.
    pub fn remember(&mut self, slot: Arc<Slot>) {
        self.tokens.extend(slot.tokens().map(|t| (t, slot.number)));
        self.parts.extend(slot.parts().map(|p| (p, slot.number)));
        self.recent.push_back(slot);
        while self.recent.len() as u64 > self.limits.filter {
            let Some(old) = self.recent.pop_front() else {
                break;
            };
            for token in old.tokens() {
                self.tokens.remove(&token);
            }
            for part in old.parts() {
                self.parts.remove(&part);
            }
        }
    }

    /// Moves to the state after `slot`.
    pub fn advance(&mut self, slot: Arc<Slot>, digest: Hash) -> Result<(), InvalidSlot> {
        if let Some(token) = slot.tokens().find(|t| self.tokens.contains_key(t)) {
            return Err(InvalidSlot {
                slot: self.state.len,
                why: format!("orders {token} a second time"),
            });
        }
        let mut seen = std::collections::HashSet::new();
        if !slot.tokens().all(|t| seen.insert(t)) {
            return Err(InvalidSlot {
                slot: self.state.len,
                why: "orders one token twice".into(),
            });
        }
        let mut seen = std::collections::HashSet::new();
        let again = |part: &Part| self.parts.contains_key(part) || !seen.insert(*part);
        if let Some((id, offset)) = slot.parts().find(again) {
            return Err(InvalidSlot {
                slot: self.state.len,
                why: format!("orders the part at {offset} of upload {id} a second time"),
            });
        }
        self.state = self.state.apply(&slot, digest)?;
        self.remember(slot);
        Ok(())
    }

    /// The slots in the filter, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.recent.iter()
    }

    /// The slot that ordered a token, if one of those in the filter did.
    pub fn find(&self, token: Token) -> Option<&Arc<Slot>> {
        self.recent_slot(*self.tokens.get(&token)?)
    }

    /// The slot that ordered a part of an upload, if one of those in the filter did.
    pub fn find_part(&self, part: Part) -> Option<&Arc<Slot>> {
        self.recent_slot(*self.parts.get(&part)?)
    }

    fn recent_slot(&self, number: SlotNumber) -> Option<&Arc<Slot>> {
        let first = self.recent.front()?.number;
        self.recent
            .get(usize::try_from(number.get().checked_sub(first.get())?).ok()?)
    }
}
