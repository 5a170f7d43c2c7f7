//! A slot, which is one decision, and its parts. Slots are immutable; their bytes are the record ([`store::record`]) of this structure, and
//! each names the digest of the one before.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use tlog::Hash;

use crate::location::{Location, Part};
use crate::{Generation, SlotNumber};

/// The newest slot format that this program reads and writes. Each slot carries the oldest format that can express it: 1, or 2 with a shard
/// condition or a place, or 3 if it plans a shard with a second key.
pub const FORMAT: u32 = 3;
/// The oldest format with shard conditions and places.
pub const PLACES: u32 = 2;
/// The oldest format with shards of two keys. Its programs also know origins that are host names.
pub const TWO_KEYS: u32 = 3;

/// Names a batch or an operation: 48 bits of milliseconds since the Unix epoch, so that rows of one time lie together, then 80
/// bits that no other token has. Displays as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token([u8; 16]);

impl Token {
    /// A token from its bytes; an operation that carries an idempotency key derives its token.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes that [`Token::from_bytes`] reads.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// When it was made, milliseconds since the Unix epoch (meaningless for a derived token).
    pub fn birth_ms(&self) -> u64 {
        let ms = self.0[..6].iter().fold(0, |ms, b| ms << 8 | u64::from(*b));
        ms & !(1 << 47)
    }
    /// Whether it names promised work: its batch may wait for as long as its tier allows, and is not deleted because of its age.
    pub fn is_kept(&self) -> bool {
        self.0[0] & 0x80 != 0
    }
}

/// Makes tokens: 48 random bits per process, then a counter, so that making one cannot fail and no two are the same.
#[derive(Debug)]
pub struct Tokens {
    process: [u8; 6],
    counter: AtomicU32,
}

impl Tokens {
    /// Tokens with these random bytes, which no other process has.
    pub const fn new(process: [u8; 6]) -> Self {
        Self {
            process,
            counter: AtomicU32::new(0),
        }
    }
    /// A fresh token at `now_ms`.
    pub fn make(&self, now_ms: u64) -> Token {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
        bytes[6..12].copy_from_slice(&self.process);
        bytes[12..].copy_from_slice(&self.counter.fetch_add(1, Relaxed).to_be_bytes());
        Token(bytes)
    }
    /// A fresh token of promised work: the first bit, which no time needs, is set, so that these sort behind all others.
    pub fn make_kept(&self, now_ms: u64) -> Token {
        let Token(mut bytes) = self.make(now_ms);
        bytes[0] |= 0x80;
        Token(bytes)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&tlog::hex(&self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Token {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = tlog::unhex(text);
        bytes.map(Self).ok_or("expected 32 lowercase hex digits")
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Location>,
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
    /// What was asked for.
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
    pub start: u64,
    /// `max(previous, now)`, milliseconds since the Unix epoch.
    pub time: u64,
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
    pub fn end(&self) -> u64 {
        self.start + self.entries()
    }
    /// Each batch with the global index of its first entry.
    pub fn placed(&self) -> impl Iterator<Item = (u64, &BatchRef)> {
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
        let newer = |b: &BatchRef| b.shard.is_some() || b.place.is_some();
        match control.map(|decision| &decision.control) {
            Some(Control::Reconfigure { plan, .. }) if plan.iter().any(|i| i.ecdsa.is_some()) => {
                TWO_KEYS
            }
            _ if batches.iter().any(newer) => PLACES,
            _ => 1,
        }
    }
}

/// Work that was promised (202): a batch with the data to put it back into the queue. The row in the queue and the announcement in the bag
/// are the same record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promised {
    /// The batch, durable since it was promised; its place is [`Location::Promise`].
    pub batch: BatchRef,
    /// The tier it waits in, by name: a tier may go while work waits in it.
    pub tier: String,
    /// The tenant that wrote it.
    pub tenant: String,
    /// Bytes of its entries.
    pub bytes: u64,
    /// When it is to be published, milliseconds since the Unix epoch.
    pub deadline: u64,
    /// The first undecided slot when it was promised.
    #[serde(rename = "birth")]
    pub first_slot: SlotNumber,
}

/// A row of the bag: a batch or a control, announced so that other committers can carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Work {
    /// A batch, durable already.
    Batch(BatchRef),
    /// A control, as it is to be decided.
    Control(Decision),
    /// A batch that is never refused: a dead announcement goes back to the queue.
    Promised(Promised),
}

impl Work {
    /// The token it is known by.
    pub fn token(&self) -> Token {
        match self {
            Work::Batch(batch) => batch.token,
            Work::Control(decision) => decision.operation,
            Work::Promised(promised) => promised.batch.token,
        }
    }
    /// Its batch, if it has one.
    pub fn batch(&self) -> Option<&BatchRef> {
        match self {
            Work::Batch(batch) => Some(batch),
            Work::Promised(promised) => Some(&promised.batch),
            Work::Control(_) => None,
        }
    }
}

/// Work in the bag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The first undecided slot its author saw.
    pub seen: SlotNumber,
    /// The batch or control that is announced.
    pub work: Work,
}
