//! The keys of a log's rows in the coordination store. Numbers are padded to 20 digits so that keys sort as numbers.

use crate::chunk::UploadId;
use crate::location::Location;
use crate::token::Token;
use crate::work::Promised;
use crate::{Generation, SlotNumber};
use store::Key;
use tlog::TreeSize;

/// Rows that name the logs of this store: `logs/{name}`.
pub const LOGS: &str = "logs/";
/// The log that has an origin: `origin/{origin}`. Logs that are older than these rows have none.
pub const ORIGINS: &str = "origin/";
/// Heartbeats of the server processes: `replica/{id}`.
pub const REPLICAS: &str = "replica/";
/// The age of the store, milliseconds: see the engine's `clock`.
pub const CLOCK: &str = "clock";
/// The generation of a log that a server process runs: `runs/{id}/{log}`.
pub const RUNS: &str = "runs/";
/// Logs whose restore has begun and not ended: `restoring/{name}`.
pub const RESTORING: &str = "restoring/";
/// Logs into which another system's shards are brought, before they are logs: `importing/{name}`.
pub const IMPORTING: &str = "importing/";
/// Rows with an expiry that all replicas share: `memory/{key}`.
pub const MEMORY: &str = "memory/";

/// The keys of one log.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys of the log `name`.
    pub fn new(name: &str) -> Self {
        Self {
            prefix: format!("log/{name}/"),
        }
    }
    /// All rows of the log.
    pub fn all(&self) -> Key {
        self.prefix.clone()
    }
    /// The prefix of the arrivals, by minute.
    pub fn arrivals(&self) -> Key {
        format!("{}arrivals/", self.prefix)
    }
    /// The arrivals from a minute (since the Unix epoch) on.
    pub fn arrivals_from(&self, minute: u64) -> Key {
        format!("{}arrivals/{minute:020}/", self.prefix)
    }
    /// The arrivals at one replica in one minute.
    pub fn arrivals_of(&self, minute: u64, replica: &str) -> Key {
        format!("{}arrivals/{minute:020}/{replica}", self.prefix)
    }
    /// The prefix of all slots.
    pub fn slots(&self) -> Key {
        format!("{}slot/", self.prefix)
    }
    /// The row of one slot.
    pub fn slot(&self, number: SlotNumber) -> Key {
        format!("{}slot/{number:020}", self.prefix)
    }
    /// The prefix of all batches.
    pub fn batches(&self) -> Key {
        format!("{}batch/", self.prefix)
    }
    /// The row with one batch's bytes.
    pub fn batch(&self, token: Token) -> Key {
        format!("{}batch/{token}", self.prefix)
    }
    /// All notes of batches that nothing points at.
    pub fn all_noted(&self) -> Key {
        format!("{}unnamed/", self.prefix)
    }
    /// How many slots there were when a batch was found that nothing points at.
    pub fn noted(&self, token: Token) -> Key {
        format!("{}unnamed/{token}", self.prefix)
    }
    /// The prefix of all announcements.
    pub fn bag(&self) -> Key {
        format!("{}bag/", self.prefix)
    }
    /// Announcements made when `seen` was the first undecided slot, and later ones.
    pub fn bag_from(&self, seen: SlotNumber) -> Key {
        format!("{}bag/{seen:020}/", self.prefix)
    }
    /// The row of one announcement in the bag.
    pub fn announcement(&self, seen: SlotNumber, token: Token) -> Key {
        format!("{}bag/{seen:020}/{token}", self.prefix)
    }
    /// All promised work that waits.
    pub fn queue(&self) -> Key {
        format!("{}queue/", self.prefix)
    }
    /// Promised work of one tier, earliest deadline first.
    pub fn queue_tier(&self, tier: &str) -> Key {
        format!("{}queue/{tier}/", self.prefix)
    }
    /// One row of promised work.
    pub fn queued(&self, promised: &Promised) -> Key {
        let Promised { tier, deadline, .. } = promised;
        let token = promised.batch.token;
        format!("{}queue/{tier}/{deadline:020}/{token}", self.prefix)
    }
    /// Present while the log is closing or frozen: the number of the slot that decided it. Queue rows are put only while it is absent, in
    /// the same transaction.
    pub fn closing(&self) -> Key {
        format!("{}closing", self.prefix)
    }
    /// The prefix of all places.
    pub fn all_placed(&self) -> Key {
        format!("{}placed/", self.prefix)
    }
    /// The place of a batch.
    pub fn placed(&self, place: &Location, token: Token) -> Key {
        match place {
            Location::Promise => self.placed_promise(token),
            Location::Upload { id, offset } => format!("{}{offset:020}", self.placed_parts(*id)),
        }
    }
    /// The place of promised work.
    pub fn placed_promise(&self, token: Token) -> Key {
        format!("{}placed/promise/{token}", self.prefix)
    }
    /// The prefix of the places of an upload's parts.
    pub fn placed_parts(&self, id: UploadId) -> Key {
        format!("{}placed/upload/{id}/", self.prefix)
    }
    /// The rows of an upload's ends, which sort behind its parts.
    pub fn placed_ends(&self, id: UploadId) -> Key {
        format!("{}end/", self.placed_parts(id))
    }
    /// The end of an upload of this many entries.
    pub fn placed_end(&self, id: UploadId, entries: u64) -> Key {
        format!("{}{entries:020}", self.placed_ends(id))
    }
    /// How far places were forgotten: counts the sweeps.
    pub fn forgotten(&self) -> Key {
        format!("{}forgotten", self.prefix)
    }
    /// All marks of age.
    pub fn marks(&self) -> Key {
        format!("{}mark/", self.prefix)
    }
    /// The age of the store, when all slots below `number` were decided.
    pub fn mark(&self, number: SlotNumber) -> Key {
        format!("{}mark/{number:020}", self.prefix)
    }
    /// A config document, by digest.
    pub fn document(&self, digest: &tlog::Hash) -> Key {
        format!("{}document/{digest}", self.prefix)
    }
    /// All parts of config documents.
    pub fn document_parts(&self) -> Key {
        format!("{}document-part/", self.prefix)
    }
    /// A part of a config document that is larger than a row.
    pub fn document_part(&self, digest: &tlog::Hash, part: u64) -> Key {
        format!("{}document-part/{digest}/{part:020}", self.prefix)
    }
    /// All roots of a shard.
    pub fn roots(&self, shard: &str) -> Key {
        format!("{}root/{shard}/", self.prefix)
    }
    /// The root that was signed for a size.
    pub fn root(&self, shard: &str, size: TreeSize) -> Key {
        format!("{}root/{shard}/{size:020}", self.prefix)
    }
    /// The incarnation of a secondary that counts.
    pub fn secondary(&self, name: &str) -> Key {
        format!("{}secondary/{name}", self.prefix)
    }
    /// The generation whose quorum of secondaries holds everything that was published.
    pub fn handover(&self) -> Key {
        format!("{}handover", self.prefix)
    }
    /// The memberships before it that a restore found, and that bind as long as it is not handed over.
    pub fn inherited(&self) -> Key {
        format!("{}inherited/", self.prefix)
    }
    /// The one that begins with this generation.
    pub fn inherited_membership(&self, generation: Generation) -> Key {
        format!("{}inherited/{generation:020}", self.prefix)
    }
    /// All of them in one row, as older versions wrote them.
    pub fn inherited_together(&self) -> Key {
        format!("{}inherited", self.prefix)
    }
    /// The last storage of each secondary.
    pub fn storages(&self) -> Key {
        format!("{}storage/", self.prefix)
    }
    /// The last storage of one secondary.
    pub fn storage(&self, name: &str) -> Key {
        format!("{}storage/{name}", self.prefix)
    }
    /// All manifests that secondaries hold.
    pub fn all_manifests(&self) -> Key {
        format!("{}manifest/", self.prefix)
    }
    /// The manifest that a secondary holds.
    pub fn manifest(&self, secondary: &str) -> Key {
        format!("{}manifest/{secondary}", self.prefix)
    }
    /// Present while an incarnation of a secondary counts for nothing, because another one answered after it.
    pub fn gone(&self, secondary: &str, incarnation: &str) -> Key {
        format!("{}gone/{secondary}/{incarnation}", self.prefix)
    }
    /// The prefix of what all secondaries have verified.
    pub fn all_verified(&self) -> Key {
        format!("{}verified/", self.prefix)
    }
    /// The position of a shard that an incarnation of a secondary has verified.
    pub fn verified(&self, secondary: &str, incarnation: &str, shard: &str) -> Key {
        format!("{}verified/{secondary}/{incarnation}/{shard}", self.prefix)
    }
    /// The position of a shard that a frontend has.
    pub fn dist(&self, frontend: &str, shard: &str) -> Key {
        format!("{}dist/{frontend}/{shard}", self.prefix)
    }
    /// The prefix of all integrated positions.
    pub fn all_integrated(&self) -> Key {
        format!("{}integrated/", self.prefix)
    }
    /// Integrated position of a shard.
    pub fn integrated(&self, shard: &str) -> Key {
        format!("{}integrated/{shard}", self.prefix)
    }
    /// The prefix of all published positions.
    pub fn all_published(&self) -> Key {
        format!("{}published/", self.prefix)
    }
    /// Published position of a shard.
    pub fn published(&self, shard: &str) -> Key {
        format!("{}published/{shard}", self.prefix)
    }
    /// The prefix of all snapshots.
    pub fn snapshots(&self) -> Key {
        format!("{}snapshot/", self.prefix)
    }
    /// The state before slot `number`.
    pub fn snapshot(&self, number: SlotNumber) -> Key {
        format!("{}snapshot/{number:020}", self.prefix)
    }
    /// All pages of snapshots.
    pub fn snapshot_pages(&self) -> Key {
        format!("{}page/", self.prefix)
    }
    /// A page of the lists in the state before slot `number`.
    pub fn snapshot_page(&self, number: SlotNumber, page: u64) -> Key {
        format!("{}page/{number:020}/{page:020}", self.prefix)
    }
    /// All frozen shards that a snapshot counts.
    pub fn frozen_shards(&self) -> Key {
        format!("{}shard/", self.prefix)
    }
    /// The n-th frozen shard, oldest first.
    pub fn frozen_shard(&self, n: u64) -> Key {
        format!("{}shard/{n:020}", self.prefix)
    }
    /// How many of the oldest shards are published whole, with their checkpoints and seals as objects.
    pub fn sealed(&self) -> Key {
        format!("{}sealed", self.prefix)
    }
    /// The first slot still kept.
    pub fn floor(&self) -> Key {
        format!("{}floor", self.prefix)
    }
    /// The prefix of all decided controls.
    pub fn history(&self) -> Key {
        format!("{}history/", self.prefix)
    }
    /// The control that slot `number` decided; outlives the slot.
    pub fn history_item(&self, number: SlotNumber) -> Key {
        format!("{}history/{number:020}", self.prefix)
    }
    /// The slot that decided an operation.
    pub fn operation(&self, operation: Token) -> Key {
        format!("{}operation/{operation}", self.prefix)
    }
    /// The slot that decided a generation.
    pub fn generation(&self, generation: Generation) -> Key {
        format!("{}generation/{generation:020}", self.prefix)
    }
    /// All changes on probation.
    pub fn probations(&self) -> Key {
        format!("{}probation/", self.prefix)
    }
    /// A change on probation.
    pub fn probation(&self, operation: Token) -> Key {
        format!("{}probation/{operation}", self.prefix)
    }
    /// The generation that a change on probation was last based on: a number that never goes back.
    pub fn probation_base(&self, operation: Token) -> Key {
        format!("{}probation-base/{operation}", self.prefix)
    }
    /// The prefix of all bases of changes on probation.
    pub fn probation_bases(&self) -> Key {
        format!("{}probation-base/", self.prefix)
    }
    /// The prefix under which the ends of all probations are.
    pub fn probations_ended(&self) -> Key {
        format!("{}probation-ended/", self.prefix)
    }
    /// How the probation of a change ended.
    pub fn probation_ended(&self, operation: Token) -> Key {
        format!("{}probation-ended/{operation}", self.prefix)
    }
    /// The sealed replication key.
    pub fn replication(&self) -> Key {
        format!("{}replication-key", self.prefix)
    }
    /// The number of the log's life, which grows; absent until the log is restored from its secondaries.
    pub fn restored(&self) -> Key {
        format!("{}restored", self.prefix)
    }
    /// The life of a restored log, and the entries it began with.
    pub fn life(&self) -> Key {
        format!("{}life", self.prefix)
    }
    /// The life that may sign: it is announced to the secondaries.
    pub fn announced(&self) -> Key {
        format!("{}announced", self.prefix)
    }
    /// All storage nodes that are leaving.
    pub fn all_leaving(&self) -> Key {
        format!("{}leaving/", self.prefix)
    }
    /// The first generation whose storage nodes count for large batches: a batch on nodes of an earlier one cannot be ordered.
    pub fn storage_from(&self) -> Key {
        format!("{}storage-from", self.prefix)
    }
    /// Promised work is released under this number of slots or a higher one: a scan that must miss none demands it.
    pub fn release_from(&self) -> Key {
        format!("{}release-from", self.prefix)
    }
    /// A storage node that is leaving: the last generation that names it, and which batches may be there.
    pub fn leaving(&self, node: &str) -> Key {
        format!("{}leaving/{node}", self.prefix)
    }
    /// All sealed signing keys.
    pub fn signing_keys(&self) -> Key {
        format!("{}key/", self.prefix)
    }
    /// A shard's sealed signing key.
    pub fn signing_key(&self, tree_id: u64) -> Key {
        format!("{}key/{tree_id:020}", self.prefix)
    }
}

/// The number of the slot, snapshot or mark at the end of a key.
pub fn trailing_slot(key: &str) -> Option<SlotNumber> {
    trailing_number(key).map(SlotNumber::new)
}

/// The number that an announcement was made under, from its key in the bag.
pub fn announced_under(key: &str) -> Option<SlotNumber> {
    trailing_slot(key.rsplit_once('/')?.0)
}

/// The number at the end of a key.
pub fn trailing_number(key: &str) -> Option<u64> {
    key.rsplit('/').next()?.parse().ok()
}
