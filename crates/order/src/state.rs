//! The transition function, slots → state. Pure: the server, `fsck`, the tests and the model share it.
//!
//! What must never happen: two programs read the same slots and disagree. So nothing here reads a clock, a store or a map without order,
//! and a slot that does not follow from the state is an error, never repaired.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tlog::{GlobalIndex, Hash, TreeSize, UnixMillis};

use crate::mutant::{Mutant, left_out};
use crate::slot::{Action, Control, Decision, FORMAT, ShardIdentity, Slot};
use crate::token::Token;
use crate::{Generation, MAX_BATCHES, SlotNumber};

/// How many of the latest operations the state remembers.
pub const REMEMBERED_OPERATIONS: usize = 256;

/// The state of a shard: `planned → active → frozen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Phase {
    /// Known, not open yet.
    Planned,
    /// Takes the entries from this global index on.
    Active {
        /// Global index of its first entry.
        start: GlobalIndex,
    },
    /// Closed forever: no entry is added to it.
    Frozen {
        /// Global index of its first entry.
        start: GlobalIndex,
        /// Number of its entries.
        length: TreeSize,
    },
}

/// A shard: its identity and its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Fixed when planned; all states and this replica's own notes share it.
    pub identity: Arc<ShardIdentity>,
    /// Moves forward only: planned, active, frozen.
    pub phase: Phase,
}

impl Shard {
    /// Global index of its first entry, when it has been opened.
    pub fn start(&self) -> Option<GlobalIndex> {
        match self.phase {
            Phase::Planned => None,
            Phase::Active { start } | Phase::Frozen { start, .. } => Some(start),
        }
    }
}

/// Whether the log takes entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Intake {
    /// It takes entries and orders them.
    Open,
    /// Admission has ended; entries already on their way are ordered.
    Closing,
    /// It takes no entries until an unfreeze.
    Frozen {
        /// The slot that froze it.
        slot: SlotNumber,
        /// The time of that slot.
        time: UnixMillis,
    },
}

/// A decided operation, remembered so that a repeat gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// The token that names the operation.
    pub operation: Token,
    /// Digest of its request.
    pub request: Hash,
    /// The action that was asked for.
    pub action: Action,
    /// The actor that asked for it.
    pub actor: String,
    /// The slot that decided it.
    pub slot: SlotNumber,
    /// The time of that slot.
    pub time: UnixMillis,
    /// The global index at which it took effect.
    pub at_index: GlobalIndex,
    /// The generation before it.
    pub base: Generation,
    /// The generation after it.
    pub generation: Generation,
}

/// The state after the slots so far. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Number of slots; also the first undecided slot.
    pub len: SlotNumber,
    /// Number of entries; also the next global index.
    pub size: GlobalIndex,
    /// The time of the last slot.
    pub time: UnixMillis,
    /// Digest of the last slot's record.
    pub last: Hash,
    /// The running generation; 0 before the first slot.
    pub generation: Generation,
    /// Names the running config document.
    pub document: Hash,
    /// All shards of the log, oldest first.
    pub shards: Arc<Vec<Shard>>,
    /// Whether entries are taken.
    #[serde(rename = "gate")]
    pub intake: Intake,
    /// Hidden by its operator; frozen as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The last slot that carried a Freeze.
    pub last_freeze: Option<SlotNumber>,
    /// The latest operations, oldest first.
    pub operations: Arc<VecDeque<Remembered>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            len: SlotNumber::ZERO,
            size: GlobalIndex::ZERO,
            time: UnixMillis::ZERO,
            last: Hash([0; 32]),
            generation: Generation::ZERO,
            document: Hash([0; 32]),
            shards: Arc::default(),
            intake: Intake::Open,
            deleted: false,
            last_freeze: None,
            operations: Arc::default(),
        }
    }
}

/// Why a slot does not follow from the state before it. Any of these in a store means HALT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {slot}: {why}")]
pub struct InvalidSlot {
    /// The slot's place in the order.
    pub slot: SlotNumber,
    /// The fault, in words for a person.
    pub why: String,
}

/// Why a control cannot be decided on this state. Definite: nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was decided before, with the same request.
    Already(Box<Remembered>),
    /// Its id was used by another request.
    KeyReused,
    /// Its base is not the running generation.
    Stale {
        /// The generation that runs now.
        current: Generation,
    },
    /// The log is frozen.
    Frozen,
    /// The log is not frozen.
    NotFrozen,
    /// The log is deleted.
    Deleted,
    /// The log is not deleted.
    NotDeleted,
    /// It does not fit the shards there are.
    Shards(String),
}

impl State {
    /// The shard that takes entries, whatever the intake is.
    pub fn active(&self) -> Option<&Shard> {
        self.shards
            .iter()
            .rev()
            .find(|s| matches!(s.phase, Phase::Active { .. }))
    }

    /// The shard that holds a global index.
    pub fn shard_at(&self, index: GlobalIndex) -> Option<&Shard> {
        // Opened shards come first, and each starts where the one before it ends.
        let before = |s: &Shard| s.start().is_some_and(|start| start <= index);
        let after = self.shards.partition_point(before);
        let found = after.checked_sub(1).and_then(|at| self.shards.get(at));
        found.filter(|_| index < self.size)
    }

    /// Number of entries ordered into a shard.
    pub fn length(&self, shard: &Shard) -> Option<TreeSize> {
        match shard.phase {
            Phase::Planned => None,
            Phase::Active { start } => Some(self.size.tree(start)),
            Phase::Frozen { length, .. } => Some(length),
        }
    }

    /// The record of an operation, while it is remembered.
    pub fn remembered(&self, operation: Token) -> Option<&Remembered> {
        self.operations
            .iter()
            .rev()
            .find(|o| o.operation == operation)
    }

    /// Whether the log was frozen, unfrozen, deleted or undeleted in slot `seen` or later; yes, if that is no longer remembered.
    pub fn turned_since(&self, seen: SlotNumber) -> bool {
        let turns = |o: &Remembered| {
            let turns = [
                Action::Freeze,
                Action::Unfreeze,
                Action::Delete,
                Action::Undelete,
            ];
            turns.contains(&o.action)
        };
        let mut since = self.operations.iter().rev().take_while(|o| o.slot >= seen);
        let forgotten = self.operations.len() == REMEMBERED_OPERATIONS
            && self.operations.front().is_some_and(|o| o.slot >= seen);
        forgotten || since.any(turns)
    }

    /// Whether a control may be decided now. The operation id is looked for before the base.
    pub fn check(&self, decision: &Decision) -> Result<(), Refusal> {
        if let Some(before) = self.remembered(decision.operation)
            && !left_out(Mutant::RepeatIsDecidedAgain)
        {
            let same = before.request == decision.request;
            return Err(if same || left_out(Mutant::RequestIsNotCompared) {
                Refusal::Already(Box::new(before.clone()))
            } else {
                Refusal::KeyReused
            });
        }
        let frozen = matches!(self.intake, Intake::Frozen { .. });
        match &decision.control {
            Control::Undelete if self.deleted => Ok(()),
            Control::Undelete => Err(Refusal::NotDeleted),
            _ if self.deleted => Err(Refusal::Deleted),
            Control::Delete if frozen => Ok(()),
            Control::Delete => Err(Refusal::NotFrozen),
            Control::Unfreeze if self.intake == Intake::Open => Err(Refusal::NotFrozen),
            Control::Unfreeze => Ok(()),
            _ if frozen => Err(Refusal::Frozen),
            Control::Reconfigure { base, .. } if *base != self.generation => Err(Refusal::Stale {
                current: self.generation,
            }),
            Control::Reconfigure { plan, open, .. } => {
                self.fits(plan, open.as_deref()).map_err(Refusal::Shards)
            }
            Control::Closing | Control::Freeze => Ok(()),
        }
    }

    /// Whether some shards may be planned, and then this one opened.
    fn fits(&self, plan: &[ShardIdentity], open: Option<&str>) -> Result<(), String> {
        for (n, identity) in plan.iter().enumerate() {
            let known = self.shards.iter().map(|s| &*s.identity);
            for other in known.chain(plan.iter().take(n)) {
                let clash = [
                    ("name", other.name == identity.name),
                    ("origin", other.origin == identity.origin),
                    ("tree ID", other.tree_id == identity.tree_id),
                    ("key", other.vkey == identity.vkey),
                    (
                        "ECDSA key",
                        other.ecdsa.is_some() && other.ecdsa == identity.ecdsa,
                    ),
                ];
                if let Some((what, _)) = clash.iter().find(|(_, same)| *same) {
                    return Err(format!(
                        "shard {}: its {what} is already used by shard {}",
                        identity.name, other.name
                    ));
                }
            }
        }
        let Some(name) = open else { return Ok(()) };
        let waits = |s: &Shard| s.identity.name == name && s.phase == Phase::Planned;
        let planned = self.shards.iter().rev().any(waits) || plan.iter().any(|i| i.name == name);
        match planned {
            true => Ok(()),
            false => Err(format!("shard {name} is not planned")),
        }
    }

    /// The shards after planning some and opening one at global index `at`, where that [fits](State::fits).
    fn reshard(
        &self,
        plan: &[ShardIdentity],
        open: Option<&str>,
        at: GlobalIndex,
    ) -> Result<Vec<Shard>, String> {
        let mut shards = self.shards.to_vec();
        shards.extend(plan.iter().map(|identity| Shard {
            identity: Arc::new(identity.clone()),
            phase: Phase::Planned,
        }));
        if let Some(name) = open {
            let next = shards.iter().position(|s| s.phase == Phase::Planned);
            let named = shards.iter().position(|s| s.identity.name == name);
            let (Some(mut next), Some(named)) = (next, named) else {
                return Err(format!("shard {name} is not planned"));
            };
            if shards[named].phase != Phase::Planned {
                return Err(format!("shard {name} is not planned"));
            }
            if next != named {
                // A later planned shard may open first: it moves before the ones that keep waiting.
                let shard = shards.remove(named);
                shards.insert(next, shard);
            }
            if let Some(active) = shards
                .iter_mut()
                .find(|s| matches!(s.phase, Phase::Active { .. }))
                && let Phase::Active { start } = active.phase
            {
                active.phase = Phase::Frozen {
                    start,
                    length: at.tree(start),
                };
            }
            next = next.min(shards.len() - 1);
            shards[next].phase = Phase::Active { start: at };
        }
        Ok(shards)
    }

    /// The state after `slot`, whose record has the digest `digest`.
    pub fn apply(&self, slot: &Slot, digest: Hash) -> Result<State, InvalidSlot> {
        let invalid = |why: String| InvalidSlot {
            slot: self.len,
            why,
        };
        if slot.format > FORMAT || slot.format == 0 {
            return Err(invalid(format!(
                "format {} is not understood here; upgrade this server",
                slot.format
            )));
        }
        if slot.format < Slot::format_of(&slot.batches, slot.control.as_ref()) {
            return Err(invalid(format!(
                "has a shard condition, a place or a second key, which format {} does not know",
                slot.format
            )));
        }
        if slot.number != self.len {
            return Err(invalid(format!("claims to be slot {}", slot.number)));
        }
        if slot.start != self.size {
            return Err(invalid(format!(
                "starts at {} where the slot before ends at {}",
                slot.start, self.size
            )));
        }
        if slot.time < self.time {
            return Err(invalid("its time is before that of the slot before".into()));
        }
        if slot.previous != self.last {
            return Err(invalid(
                "does not name the digest of the slot before".into(),
            ));
        }
        if slot.batches.is_empty() && slot.control.is_none() {
            return Err(invalid("is empty".into()));
        }
        if slot.batches.len() > MAX_BATCHES || slot.batches.iter().any(|b| b.entries == 0) {
            return Err(invalid(
                "has too many batches, or one without entries".into(),
            ));
        }
        let mut next = self.clone();
        next.len += 1;
        next.time = slot.time;
        next.last = digest;
        next.size = slot.end();
        if let Some(decision) = &slot.control {
            self.check(decision).map_err(|refusal| {
                invalid(format!(
                    "carries a control that the state refuses: {refusal:?}"
                ))
            })?;
            match &decision.control {
                Control::Reconfigure {
                    document,
                    plan,
                    open,
                    ..
                } => {
                    next.shards = Arc::new(
                        self.reshard(plan, open.as_deref(), slot.start)
                            .map_err(invalid)?,
                    );
                    next.generation = next.generation.next();
                    next.document = *document;
                }
                Control::Closing => next.intake = Intake::Closing,
                Control::Freeze => {
                    next.intake = Intake::Frozen {
                        slot: slot.number,
                        time: slot.time,
                    };
                    next.last_freeze = Some(slot.number);
                }
                Control::Unfreeze if slot.batches.is_empty() => next.intake = Intake::Open,
                Control::Unfreeze => return Err(invalid("has batches beside an unfreeze".into())),
                // The log is frozen, so there are no batches: looked at below.
                Control::Delete => next.deleted = true,
                Control::Undelete => next.deleted = false,
            }
            let operations = Arc::make_mut(&mut next.operations);
            if operations.len() == REMEMBERED_OPERATIONS {
                operations.pop_front();
            }
            operations.push_back(Remembered {
                operation: decision.operation,
                request: decision.request,
                action: decision.action,
                actor: decision.actor.clone(),
                slot: slot.number,
                time: slot.time,
                at_index: if matches!(decision.control, Control::Freeze) {
                    slot.end()
                } else {
                    slot.start
                },
                base: self.generation,
                generation: next.generation,
            });
        }
        if !slot.batches.is_empty() {
            let frozen = matches!(self.intake, Intake::Frozen { .. });
            if frozen && !left_out(Mutant::FreezeIsAFlag) {
                return Err(invalid("has batches although the log is frozen".into()));
            }
            let Some(active) = next.active() else {
                return Err(invalid("has batches although no shard is active".into()));
            };
            let mut asks = slot.batches.iter().filter_map(|b| b.shard.as_ref());
            if let Some(other) = asks.find(|s| **s != active.identity.name)
                && !left_out(Mutant::DemandIsIgnored)
            {
                return Err(invalid(format!(
                    "orders into shard {} a batch that is for shard {other} only",
                    active.identity.name
                )));
            }
        }
        Ok(next)
    }
}
