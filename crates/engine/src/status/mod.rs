//! The status of a log: condition, positions, shards, the running configuration.

pub(crate) mod view;

use order::Generation;
use std::collections::HashMap;

use logconfig::{Announced, LogConfig, ShardState};
use tlog::{GlobalIndex, Hash, TreeSize, UnixMillis};

use crate::log::Log;
use crate::program::TroubleKind;
use order::state::{Intake, Phase, Shard};

/// The message when a publication lacks its quorum.
const SECONDARIES: &str = "publication waits for secondaries";

/// The condition of a log on this replica: whether it accepts entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Accepts entries and orders them.
    Open,
    /// Finishes promised work before a freeze; accepts no new entries.
    Closing,
    /// Accepts no entries until it is unfrozen.
    Frozen,
    /// Stopped on this replica.
    Halted,
}

/// Positions, as global indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Entries that are decided and durable.
    pub ordered: GlobalIndex,
    /// Entries whose tiles are written.
    pub integrated: GlobalIndex,
    /// Entries under signed checkpoints.
    pub published: GlobalIndex,
}

/// A shard as readers and operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// The shard's name in the configuration.
    pub name: String,
    /// State; the active one shows as frozen while the log is.
    pub state: ShardState,
    /// Positive 63-bit integer, unique in the log.
    pub tree_id: u64,
    /// The checkpoint origin, `ORIGIN/NAME` or `NAME.ORIGIN`.
    pub origin: String,
    /// The Ed25519 verifier key of its checkpoints (C2SP signed-note).
    pub vkey: String,
    /// The ECDSA one, of a shard of `ecdsa-p256`.
    pub ecdsa_vkey: Option<String>,
    /// The ECDSA key of the Rekor that the shard was imported from, under the name that its notes have.
    pub imported_vkey: Option<String>,
    /// The earliest time of its entries, of an imported shard.
    pub imported_since: Option<UnixMillis>,
    /// Global index of its first entry, once open.
    pub start_index: Option<GlobalIndex>,
    /// Entries ordered into it, once open.
    pub length: Option<TreeSize>,
    /// Entries under its checkpoint.
    pub published: Option<TreeSize>,
    /// Root of its checkpoint.
    pub root: Option<Hash>,
    /// Where its key was seen, for a shard that is not rotated out.
    pub announced: Option<Announced>,
}

/// The status of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The log's name in addresses and commands.
    pub log: String,
    /// Whether it accepts entries here.
    pub condition: Condition,
    /// Why halted, since when frozen, what holds publication or a rotation up, or that published objects are damaged.
    pub reason: Option<String>,
    /// The generation that this replica runs.
    pub generation: Generation,
    /// The entity tag of that generation, `g7-1a2b3c4d`.
    pub etag: String,
    /// The positions of the log on this replica.
    pub watermarks: Watermarks,
    /// Last publication, milliseconds since the Unix epoch.
    pub published_at: Option<UnixMillis>,
    /// All shards of the log, oldest first.
    pub shards: Vec<ShardView>,
}

impl Log {
    /// The status of the log with all its shards; the methods below give parts of it at less cost.
    pub fn status(&self) -> Status {
        let state = self.ledger.state();
        let running = self.running.now.load_full();
        let frozen = matches!(state.intake, Intake::Frozen { .. });
        // A planned shard that was taken back keeps its key, but is not shown.
        let listed: HashMap<&str, Option<&Announced>> = running
            .document
            .shards
            .iter()
            .map(|shard| (shard.name.as_str(), shard.announced.as_ref()))
            .collect();
        let is_listed = |shard: &&Shard| {
            shard.phase != Phase::Planned || listed.contains_key(shard.identity.name.as_str())
        };
        let announced = |shard: &Shard| {
            let record = listed
                .get(shard.identity.name.as_str())
                .copied()
                .flatten()?;
            let of_this_key = shard.identity.log_id().as_ref() == Some(&record.key);
            of_this_key.then(|| record.clone())
        };
        let shards: Vec<ShardView> = state
            .shards
            .iter()
            .filter(is_listed)
            .map(|shard| {
                let at = self
                    .shards
                    .get(&state, &shard.identity.name)
                    .and_then(|s| s.at());
                ShardView {
                    name: shard.identity.name.clone(),
                    state: match shard.phase {
                        Phase::Planned => ShardState::Planned,
                        Phase::Active { .. } if frozen => ShardState::Frozen,
                        Phase::Active { .. } => ShardState::Active,
                        Phase::Frozen { .. } => ShardState::Frozen,
                    },
                    tree_id: shard.identity.tree_id,
                    origin: shard.identity.origin.clone(),
                    vkey: shard.identity.vkey.clone(),
                    ecdsa_vkey: shard.identity.ecdsa.clone(),
                    imported_vkey: shard.identity.imported.as_ref().map(|of| of.vkey.clone()),
                    imported_since: shard.identity.imported.as_ref().map(|of| of.since),
                    start_index: shard.start(),
                    length: state.length(shard),
                    published: at
                        .as_ref()
                        .map(|at| at.size)
                        .or(shard.start().map(|_| TreeSize::ZERO)),
                    root: at.map(|at| at.root),
                    announced: announced(shard),
                }
            })
            .collect();
        let (condition, reason) = self.condition();
        Status {
            log: self.ledger.name.clone(),
            condition,
            reason,
            generation: running.generation,
            etag: running.etag.clone(),
            watermarks: self.watermarks(),
            published_at: self.published_at(),
            shards,
        }
    }

    /// Its condition, and why halted, since when frozen, what holds it up, or that published objects are damaged.
    pub fn condition(&self) -> (Condition, Option<String>) {
        match (self.health.halt.reason(), self.ledger.state().intake) {
            (Some(reason), _) => (Condition::Halted, Some(reason)),
            (None, Intake::Open) => {
                let lacking = || self.progress.view.load().lacking();
                let trouble = self.health.trouble().map(|trouble| trouble.why);
                let waits = || self.guard.life.waits();
                let held = || self.health.held_rotation();
                let clock = self.health.clock.fault().map(|fault| fault.to_string());
                let reason = clock.or(trouble).or_else(waits);
                let reason = reason.or_else(lacking).or_else(held);
                (Condition::Open, reason.or_else(|| self.damage_in_words()))
            }
            (None, Intake::Closing) => (Condition::Closing, self.damage_in_words()),
            (None, Intake::Frozen { slot, time }) => {
                let frozen = match i64::try_from(time.get())
                    .ok()
                    .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
                {
                    Some(time) => format!("frozen since {time:.0} (slot {slot} of its order)"),
                    None => format!("frozen since slot {slot} of its order"),
                };
                let forked = self.guard.life.may_fork(&self.ledger.state());
                let forced = forked.then(|| {
                    "it was restored with --force: read \"After a forced restore\" in docs/operations.md before you unfreeze it".to_owned()
                });
                let more = [forced, self.guard.life.waits(), self.damage_in_words()];
                let why = std::iter::once(frozen).chain(more.into_iter().flatten());
                let why = why.collect::<Vec<_>>().join("; ");
                (Condition::Frozen, Some(why))
            }
        }
    }

    /// Positions, as they are known here.
    pub fn watermarks(&self) -> Watermarks {
        Watermarks {
            ordered: self.ledger.state().size,
            integrated: GlobalIndex::new(self.progress.metrics.integrated.get()),
            published: *self.progress.published.borrow(),
        }
    }

    /// The last publication, milliseconds since the Unix epoch.
    pub fn published_at(&self) -> Option<UnixMillis> {
        let state = self.ledger.state();
        state.shards.iter().rev().find_map(|shard| {
            let known = self.shards.get(&state, &shard.identity.name)?;
            known.at().map(|at| at.time)
        })
    }

    /// Whether there is a shard of that name. A planned shard that was taken back keeps its key, but is not shown.
    pub fn has_shard(&self, name: &str) -> bool {
        let state = self.ledger.state();
        let mut shards = state.shards.iter().rev();
        let listed = |name: &str| {
            let running = self.running.now.load();
            let mut shards = running.document.shards.iter().rev();
            shards.any(|shard| shard.name.as_str() == name)
        };
        shards
            .find(|shard| shard.identity.name == name)
            .is_some_and(|shard| shard.phase != Phase::Planned || listed(name))
    }

    /// Whether there is a planned shard to open next, and its key was seen where clients look.
    pub fn is_next_announced(&self) -> bool {
        let running = self.running.now.load();
        let mut shards = running.document.shards.iter();
        let next = shards.find(|shard| shard.state == ShardState::Planned);
        let record = next.and_then(|shard| Some((shard.name.as_str(), shard.announced.as_ref()?)));
        record.is_some_and(|(name, record)| {
            let state = self.ledger.state();
            let mut known = state.shards.iter().rev();
            let known = known.find(|known| known.identity.name == name);
            let key = known.and_then(|known| known.identity.log_id());
            record.gone().is_none() && key.as_ref() == Some(&record.key)
        })
    }

    /// The generation that this replica runs.
    pub fn generation(&self) -> Generation {
        self.running.now.load().generation
    }

    /// The entity tag of that generation, `g7-1a2b3c4d`.
    pub fn running_etag(&self) -> String {
        self.running.now.load().etag.clone()
    }

    /// Why it is halted on this replica, if it is.
    pub fn halted(&self) -> Option<String> {
        self.health.halt.reason()
    }

    /// Which published objects are damaged, for operators.
    fn damage_in_words(&self) -> Option<String> {
        let count = self.damaged_count();
        let open = self.damaged().into_iter().find(|d| d.repaired.is_none())?;
        let more = match count.saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Some(format!(
            "a published object is damaged: {} {}{more}; see `logctl doctor`",
            open.path, open.what
        ))
    }

    /// The reason why publication waits, in words that anybody may read: no names, no addresses.
    pub fn held_up(&self) -> Option<&'static str> {
        match self.health.trouble() {
            Some(trouble) => Some(match trouble.kind {
                TroubleKind::Full => "a store is full, writes are refused",
                TroubleKind::Waits => SECONDARIES,
                TroubleKind::Failed => "publication is stuck",
            }),
            None if self.guard.life.waits().is_some() => Some(SECONDARIES),
            None => self.progress.view.load().lacking().map(|_| SECONDARIES),
        }
    }

    /// The running configuration as it was decided: nothing is filled in but the generation.
    pub(crate) fn document(&self) -> LogConfig {
        let running = self.running.now.load_full();
        let mut document = (*running.document).clone();
        document.generation = Some(running.generation.get());
        document
    }

    /// The running configuration, with the fields that the server fills in.
    pub fn config(&self) -> LogConfig {
        self.configuration().0
    }

    /// The running configuration and its entity tag, of one instant.
    pub fn configuration(&self) -> (LogConfig, String) {
        let running = self.running.now.load_full();
        let document = (*running.document).clone();
        (
            self.filled(document, running.generation),
            running.etag.clone(),
        )
    }

    /// A document as it ran in a generation, filled in with what is known of its shards.
    pub(crate) fn filled(&self, mut document: LogConfig, generation: Generation) -> LogConfig {
        let state = self.ledger.state();
        document.generation = Some(generation.get());
        let by_name: HashMap<&str, &Shard> = state
            .shards
            .iter()
            .map(|shard| (shard.identity.name.as_str(), shard))
            .collect();
        for shard in &mut document.shards {
            let Some(known) = by_name.get(shard.name.as_str()) else {
                continue;
            };
            shard.tree_id = Some(known.identity.tree_id.to_string());
            shard.vkey = Some(known.identity.vkey.clone());
            shard.ecdsa_vkey = known.identity.ecdsa.clone();
            // An earlier document does not show what came later.
            if shard.state == ShardState::Planned {
                continue;
            }
            shard.start_index = known.start().map(GlobalIndex::get);
            if let (ShardState::Frozen, Phase::Frozen { length, .. }) = (shard.state, known.phase) {
                shard.length = Some(length.get());
                let at = self
                    .shards
                    .get(&state, &known.identity.name)
                    .and_then(|s| s.at());
                shard.root_hash = at
                    .filter(|at| at.size == length)
                    .map(|at| at.root.to_string());
            }
        }
        document
    }
}
