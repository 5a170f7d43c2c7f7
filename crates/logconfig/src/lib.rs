//! The document that an operator writes about a log, [`LogConfig`].
//!
//! Everything here is a function of its arguments: no clock, no files, no environment. Nothing that a text can contain makes it
//! panic, and no text makes it use more than a small multiple of its own size.
//!
//! | to | use |
//! |---|---|
//! | read a document, with everything that is wrong with it | [`parse`], [`Finding`] |
//! | see what a document changes, and whether it may | [`change`], [`parse_change`], [`diff`] |
//! | open the next shard | [`with_rotation`], [`with_planned`] |
//! | have a change reviewed first, and see what moved under it | [`Plan`], [`three_way`] |
//! | go back to earlier settings | [`rolled_back`] |
//! | describe the document to an editor | [`schema`] |
//!
//! A document is read; a rotation follows from it, and is a change that is allowed. A typing error is told with its place:
//!
//! ```
//! use logconfig::{ShardState, change, parse, with_rotation};
//!
//! let running = parse("
//! log: argon
//! origin: log.example.org/argon
//! shards:
//!   - {name: 2026a, state: active}
//! ").unwrap();
//! assert_eq!(running.merge.checkpoint_interval.to_string(), "200ms"); // the default
//!
//! let next = with_rotation(&running, Some("2026b".to_owned().try_into()?), 1_790_000_000).unwrap();
//! assert_eq!(next.shards[0].state, ShardState::Frozen);
//! let change = change(&running, &next).unwrap();
//! assert_eq!(change.open.unwrap().as_str(), "2026b");
//!
//! let findings = parse("log: argon\nshards: [{name: 2026a, state: activ}]\n").unwrap_err();
//! assert_eq!((findings[0].line, findings[0].column), (Some(2), Some(31)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

mod announced;
mod change;
mod check;
mod diff;
mod finding;
mod list;
mod merge;
mod model;
mod name;
mod next;
mod parse;
mod plan;
mod qos;
mod rekor;
mod rekor_shards;
mod rollback;
mod schema;
mod span;
mod stored;
pub mod text;
mod three_way;
mod tree;
mod validate;
mod write;

pub use announced::{
    Announced, MAX_PLACE, MAX_PLACES, NotAnnounced, SETTLE, Seen, is_announced, with_announced,
    with_withdrawn,
};
pub use change::{DocumentChange, change};
pub use diff::{Difference, diff};
pub use finding::Finding;
pub use merge::{
    BucketKind, BucketUrl, BucketUrlError, FrontendConfig, LOCAL, MAX_NODES, MAX_PEERS,
    MergeConfig, SecondaryConfig, StorageConfig, StorageNode, WitnessConfig,
};
pub use model::{
    Algorithm, ApiVersion, KeySpec, Kind, LogConfig, OriginForm, RotateConfig, ShardConfig,
    ShardState,
};
pub use name::{
    LogName, MAX_NAME, NameError, NodeName, SYSTEM, ShardName, TenantName, TierName, is_label,
};
pub use next::{next_name, with_planned, with_rotation};
pub use parse::{locate, parse, parse_change};
pub use plan::{MAX_PLAN_BYTES, Plan, PlanDocument};
pub use qos::{
    ByteRate, ByteRateError, MAX_TENANTS, MAX_TIERS, MAX_TOKENS, Percent, PercentError, QosConfig,
    Rate, RateError, TOKEN_PREFIX, TenantConfig, TierConfig, Urgency, UrgencyError, WriterToken,
    is_token_hash, token_hash, token_text,
};
pub use rekor::{Duplicates, EntryKind, EntryKinds, FirstEntry, RekorConfig};
pub use rekor_shards::{RekorShards, read_rekor, write_rekor};
pub use rollback::{changes_settings, rolled_back};
pub use schema::{SCHEMA_ID, schema};
pub use span::{Span, SpanError};
pub use stored::{Written, settings, whole};
pub use three_way::{Moved, three_way};
pub use tree::{MAX_BYTES, MAX_DEPTH, MAX_FINDINGS};
pub use validate::{MAX_ORIGIN, MAX_PLANNED};

/// The file by which `logd dev` knows a folder that it made, and `logctl` what to advise.
pub const DEV_MARKER: &str = ".logd-dev";
