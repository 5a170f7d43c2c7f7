//! The engine: for each log an order over the stores, its shards, and the four programs from the order to readers.
//!
//! ```text
//! append ─▶ order (slots) ─▶ integrate ─▶ publish ─▶ readers
//!              ▲
//! change ──────┘   a config change is a decision in the same order
//! ```
//!
//! [`Engine`] opens every log of one pair of stores; [`Log`] is the handle that servers use. Everything after the order is a
//! pure function of it, so any replica may do any of the work.

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

mod backoff;
mod clock;
mod collect;
mod control;
mod damage;
mod distribute;
mod document;
mod engine;
mod entry_times;
mod formats;
pub mod fsck;
mod halt;
mod health;
mod heart;
mod ingest;
mod integrate;
mod keyring;
mod leaving;
pub mod ledger;
mod life;
mod log;
mod metrics;
mod nodes;
mod object_cache;
mod objects;
mod orphans;
mod peers;
pub mod pending;
mod places;
pub mod position;
mod program;
mod progress;
mod promise;
mod publish;
mod read;
mod recover;
mod repair;
mod replicate;
mod restore;
mod running;
mod shard;
mod status;
mod supervise;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod times;
mod uploads;

pub use clock::ClockFault;
pub use control::audit::{Audited, Receipt, Recorded, Unrecorded, record as audit};
pub use control::history::HistoryRecord;
pub use control::rotation::Overdue;
pub use control::{Action, Applied, Author, ChangeError, ChangeOutcome, Probation, Request, Trial};
pub use control::{ImportedSoFar, OldEntry, OldShard};
pub use damage::Damaged;
pub use engine::{Engine, EngineError, EngineOptions, MemoryError, ReplicaInfo, SYSTEM};
pub use ingest::answer::{AppendError, Appended, Unpromisable};
pub use keyring::kek_opens;
pub use ledger::locations::{UploadProgress, UploadRange};
pub use ledger::queue::PromisedBacklog;
pub use log::Log;
pub use metrics::{Gauge, Histogram, LogMetrics, QosMetrics, TierMetrics};
pub use mirror::{NoPeerClient, PeerAnswer, PeerClient, PeerError, PeerLife, PeerRequest};
pub use nodes::NodeState;
pub use order::chunk::{Chunk, UploadId, UploadPart};
pub use order::token::Token;
pub use peers::{Peers, SecondaryState, WitnessCounts};
pub use places::{Folders, Opening, Places};
pub use program::{Done, Finished, MergeOptions, Program, Programs, Trouble, TroubleKind};
pub use progress::view::{MergeView, PeerView, ShardPositions};
pub use promise::{Placement, Promise, PromiseId};
pub use read::{Consistency, EntryRecord, Inclusion, ReadError, RekorEntry, RekorShard, RekorTree};
pub use replicate::manifest::Manifest;
pub use restore::{CheckedCopy, Drill, Fault, Restore, RestoreError, Restored};
pub use shard::SignError;
pub use shard::keys::{Kek, KeyError, is_exposed, read_secret, write_secret};
pub use shard::signers::SignedOpening;
pub use status::{Condition, ShardView, Status, Watermarks};
pub use supervise::Faults;
pub use uploads::keyed::{Repeat, Reused, WriteKey};
