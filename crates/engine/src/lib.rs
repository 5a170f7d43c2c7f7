//! The engine: an order per log, shards, the merge, and the stores below.
//!
//! ```text
//! append ─▶ order (slots) ─▶ merge fetch ─▶ merge sth ─▶ readers
//!              ▲
//! change ──────┘   a config change is a decision in the same order
//! ```
//!
//! [`Engine`] opens every log of one pair of stores; [`Log`] is the handle that servers use. Everything after the order is a
//! pure function of it, so any replica may do any of the work.

mod arrivals;
pub mod change;
pub mod clock;
mod create;
mod damage;
mod document;
mod engine;
mod formats;
pub mod fsck;
#[cfg(test)]
mod growth;
mod halt;
mod heart;
mod history;
mod keyed;

mod log;
mod memory;
pub mod merge;
mod metrics;
pub mod mirror;
pub mod order;
mod orphans;
mod promise;
mod read;
pub mod restore;
mod rotation;
mod settled;
pub mod shard;
mod status;
mod supervise;
mod upload;

pub use change::{Action, Applied, Caller, ChangeError, ChangeOutcome, Probation, Request, Trial};
pub use clock::{Clock, ClockFault};
pub use damage::Damaged;
pub use engine::{Engine, EngineError, EngineOptions, ReplicaInfo, SYSTEM};
pub use history::HistoryRecord;
pub use keyed::{Repeat, Reused, WriteKey};
pub use log::{AppendError, Appended, Log};
pub use memory::MemoryError;
pub use merge::nodes::NodeState;
pub use merge::peers::{NoPeers, PeerAnswer, PeerError, PeerLife, PeerRequest, Peers};
pub use merge::replicas::{Replicas, SecondaryState, WitnessCounts};
pub use merge::view::{MergeView, PeerView, ShardPositions};
pub use merge::{
    Done, Finished, Folders, MergeOptions, Places, Program, Programs, Trouble, TroubleKind,
};
pub use metrics::{Gauge, Histogram, LogMetrics, QosMetrics, TierMetrics};
pub use order::chunk::{Chunk, UploadId, UploadPart};
pub use order::queue::Waiting;
pub use order::slot::Token;
pub use promise::{Placement, Promise, PromiseId};
pub use read::{EntryRecord, Inclusion, ReadError};
pub use restore::{Restore, RestoreError, Restored};
pub use rotation::Overdue;
pub use shard::keys::Kek;
pub use status::{Condition, ShardView, Status, Watermarks};
pub use supervise::Faults;
pub use upload::{UploadProgress, UploadRange};
