//! The messages between clients and a log server: plain values, no behaviour beyond serialisation. The modules at the top have those of
//! `logctl` and an admin endpoint, by resource; [`data`] has those of writers and readers.
//!
//! Every body is JSON. Unknown fields in requests are errors; clients ignore unknown fields in answers, so that an older
//! `logctl` can talk to a newer server. Sizes are entries, times are RFC 3339 UTC strings, hashes are lowercase hex.
//!
//! [`routes`] names each request with its permission, parameters, bodies and refusals. A client, a server and the document
//! [`openapi`] are made from that table, so all of them have the same requests. A refusal is a [`Problem`] whose
//! `code` is one of [`codes`].
//!
//! ```
//! use wire::routes::{COMMON, Name};
//! use wire::{BASE, Problem, codes};
//!
//! let rotate = Name::RotateShard.route();
//! let request = format!("{} {BASE}{}", rotate.method.as_str(), rotate.path);
//! assert_eq!(request, "POST /admin/v1/logs/{log}/rotations");
//! assert_eq!(Name::RotateShard.need().unwrap().to_string(), "shard:rotate");
//!
//! let answer = r#"{
//!     "type": "urn:logctl:problem:stale", "title": "The configuration has changed", "status": 412,
//!     "code": "stale", "detail": "the running generation is 8", "since": "a newer server"
//! }"#;
//! let problem: Problem = serde_json::from_str(answer)?;
//! assert_eq!(problem.code, codes::STALE);
//! assert!(COMMON.iter().chain(rotate.codes).any(|code| *code == problem.code));
//! # Ok::<(), serde_json::Error>(())
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

mod audit;
pub mod codes;
mod config;
pub mod data;
mod import;
mod log;
mod merge;
mod openapi;
mod operation;
mod problem;
mod qos;
mod query;
pub mod routes;
mod server;
mod shard;
mod token;

pub use audit::{AuditEntry, AuditPage, AuditReceipt};
pub use config::{ConfigAnswer, Difference, History, HistoryItem};
pub use import::{
    ImportDropped, ImportEntry, ImportPage, ImportProgress, ImportRequest, ImportShard,
    ImportedShard,
};
pub use log::{
    CreateLogRequest, FreezeRequest, LogCondition, LogStatus, Logs, NoRequest, SearchIndex,
    UnfreezeRequest, Watermarks,
};
pub use merge::{MergeStatus, NodeStatus, PeerStatus, ProgramStatus, WitnessStatus};
pub use openapi::openapi;
pub use operation::{Action, Operation, OperationState, Operations};
pub use problem::{Finding, PROBLEM_TYPE, Problem};
pub use qos::{
    QosStatus, QueueStatus, Refused, SimulatedFigures, SimulatedTier, Simulation, TierStatus,
};
pub use query::{
    ConfigQuery, ConfigureQuery, LogQuery, LogsQuery, MAX_REASON, NoQuery, PreviewQuery,
    ReasonQuery, SimulateQuery, TRAIL_LIMIT, TrailQuery, WriteQuery,
};
pub use server::{Capabilities, Diagnosis, Diagnostics, Replica, Replicas, Severity, WhoAmI};
pub use shard::{
    AnnounceRequest, Announced, PlanRequest, RotateRequest, Seen, Shard, ShardState, Shards,
};
pub use token::{NewToken, Revoked, Session, Token, TokenRequest, Tokens};

/// The base path of every resource.
pub const BASE: &str = "/admin/v1";
