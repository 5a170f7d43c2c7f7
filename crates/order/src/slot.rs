//! A slot, which is one decision, and its parts. Slots are immutable; their bytes are the record ([`store::record`]) of this structure, and
//! each names the digest of the one before.

use serde::{Deserialize, Serialize};
use tlog::{GlobalIndex, Hash, UnixMillis, VerifierKey};

use crate::location::{Location, Part};
use crate::token::Token;
use crate::{Generation, SlotNumber};

/// The newest slot format that this program reads and writes. Each slot carries the oldest format that can express it: 1, or 2 with a shard
/// condition or a place, or 3 if it plans a shard with a second key. No slot has format 4 or 5: they stand for shards that were
/// [imported](Imported) and for documents about announced keys, which are in no slot.
pub const FORMAT: u32 = 5;
/// The oldest format with shard conditions and places.
pub const PLACES: u32 = 2;
/// The oldest format with shards of two keys. Its programs also know origins that are host names.
pub const TWO_KEYS: u32 = 3;
/// The oldest format whose programs know imported shards.
pub const IMPORTS: u32 = 4;
/// The oldest format whose programs know records of announced keys.
pub const ANNOUNCES: u32 = 5;

/// A batch as a slot names it. Its bytes are entries in C2SP bundle encoding, under the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRef {
    /// The token, which names the batch and its bytes.
    pub token: Token,
    /// Number of entries, at least 1.
    pub entries: u64,
    /// SHA-256 of the bytes.
    pub digest: Hash,
    /// In the object store (a batch over the coordination store's value limit) instead of `batch/{token}`.
    pub object: bool,
    /// Ordered only while this shard is the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The committer that decides it writes down its place.
    #[serde(rename = "place", default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

/// A shard's identity, fixed when it is planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardIdentity {
    /// Unique in the log.
    pub name: String,
    /// Checkpoint origin, unique in the log.
    pub origin: String,
    /// Positive, below 2^63, unique in the log.
    pub tree_id: u64,
    /// Verifier key (C2SP signed-note) of Ed25519, unique in the log.
    pub vkey: String,
    /// The second key, of ECDSA and the same name, unique in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecdsa: Option<String>,
    /// The Rekor that the shard was imported from; such a shard has no ECDSA key of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
}

/// What a Rekor said last of a shard that was imported from it. Nobody here has its private key: none of this is ever signed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// Its ECDSA key as a vkey, under the name that its notes have.
    pub vkey: String,
    /// Its signed note over all entries.
    pub note: String,
    /// The earliest time of an entry: no signature of that key is older.
    pub since: UnixMillis,
}

impl ShardIdentity {
    /// The log ID of the key that Sigstore's clients verify with: the ECDSA key of a shard with two keys.
    pub fn log_id(&self) -> Option<String> {
        let vkey = self.ecdsa.as_ref().unwrap_or(&self.vkey);
        let key: VerifierKey = vkey.parse().ok()?;
        Some(key.log_id().to_base64())
    }
}

/// The action of an operation, in an operator's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The log's first slot.
    Create,
    /// A new configuration document.
    Configure,
    /// Freeze the active shard and open the next.
    Rotate,
    /// Add a planned shard.
    Plan,
    /// Freeze the log: it accepts no entries until it is unfrozen.
    Freeze,
    /// Accept entries again after a freeze.
    Unfreeze,
    /// Hide the log; its data is kept.
    Delete,
    /// Show a deleted log again.
    Undelete,
    /// Take back a change that nobody confirmed.
    Revert,
}

/// A control decision; at most one in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Control {
    /// A new configuration, in force from the slot's start. The winning slot assigns the generation.
    Reconfigure {
        /// The generation this was made from; must be the state's.
        base: Generation,
        /// Names the config document.
        document: Hash,
        /// Shards planned by this change, in order.
        plan: Vec<ShardIdentity>,
        /// Freeze the active shard (if any) at the slot's start and open this planned one.
        open: Option<String>,
    },
    /// Ends admission; promised work is merged before the freeze.
    Closing,
    /// After the slot's batches nothing is ordered until an unfreeze.
    Freeze,
    /// Alone in its slot: the log continues in the same shard.
    Unfreeze,
    /// Hides a frozen log; after that only an undelete is decided.
    Delete,
    /// The log is shown again, still frozen.
    Undelete,
}

/// A control with its actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The operation's id; looked up before anything else, so that a repeated request is made once.
    pub operation: Token,
    /// SHA-256 of the request: the same id with another request is refused.
    pub request: Hash,
    /// The action that was asked for.
    pub action: Action,
    /// The actor (`uid:0`, `token:ci`).
    pub actor: String,
    /// The change that this decision makes.
    pub control: Control,
    /// The reason, if the server itself asks: `2026b had 1000000 entries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One decided step of the log; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Format version, [`FORMAT`] at most.
    pub format: u32,
    /// Its own number, from 0.
    pub number: SlotNumber,
    /// Global index of its first entry.
    pub start: GlobalIndex,
    /// The time it was proposed, or that of the slot before, whichever is later.
    pub time: UnixMillis,
    /// Digest of the record of the slot before; zeros for slot 0.
    pub previous: Hash,
    /// In order; [`crate::MAX_BATCHES`] at most.
    pub batches: Vec<BatchRef>,
    /// Reconfigure comes before the batches, Freeze after them; Unfreeze stands alone.
    pub control: Option<Decision>,
}

impl Slot {
    /// Entries in this slot.
    pub fn entries(&self) -> u64 {
        self.batches.iter().map(|b| b.entries).sum()
    }
    /// Global index after its last entry.
    pub fn end(&self) -> GlobalIndex {
        self.start + self.entries()
    }
    /// Each batch with the global index of its first entry.
    pub fn placed(&self) -> impl Iterator<Item = (GlobalIndex, &BatchRef)> {
        self.batches.iter().scan(self.start, |at, batch| {
            let start = *at;
            *at += batch.entries;
            Some((start, batch))
        })
    }
    /// All tokens: of the batches and of the control.
    pub fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.batches
            .iter()
            .map(|b| b.token)
            .chain(self.control.iter().map(|c| c.operation))
    }
    /// The parts of uploads in it.
    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        self.batches.iter().filter_map(BatchRef::part)
    }
    /// The oldest format that can say what batches and a control like these say.
    pub fn format_of(batches: &[BatchRef], control: Option<&Decision>) -> u32 {
        let newer = |b: &BatchRef| b.shard.is_some() || b.location.is_some();
        match control.map(|decision| &decision.control) {
            Some(Control::Reconfigure { plan, .. }) if plan.iter().any(|i| i.ecdsa.is_some()) => {
                TWO_KEYS
            }
            _ if batches.iter().any(newer) => PLACES,
            _ => 1,
        }
    }
}
