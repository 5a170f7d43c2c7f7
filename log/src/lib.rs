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

pub mod change;
mod engine;
pub mod fsck;
mod halt;

mod log;
pub mod merge;
mod metrics;
pub mod order;
pub mod record;
pub mod shard;
pub mod store;

pub use change::{Action, Applied, Caller, ChangeError, ChangeOutcome, HistoryRecord, Request};
pub use engine::{Engine, EngineError, EngineOptions, ReplicaInfo, SYSTEM};
pub use log::{
    AppendError, Appended, Condition, EntryRecord, Inclusion, Log, ReadError, ShardView, Status,
    Watermarks,
};
pub use metrics::{Gauge, Histogram, LogMetrics};
pub use shard::keys::Kek;
