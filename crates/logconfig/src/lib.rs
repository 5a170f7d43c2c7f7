//! What an operator writes about a log: the [`LogConfig`] document.
//!
//! Text comes in through [`parse`], which lists *all* that is wrong with it, each with line and column; what is allowed between
//! the running configuration and another is [`change`]; the next shard's document is [`with_rotation`]; a change that is reviewed
//! first is a [`Plan`], and what moved under it says [`three_way`]. Everything here is a
//! function of its arguments: no clock, no files, no environment. Nothing that a text can contain makes it panic, and no text
//! makes it use more than a small multiple of its own size.

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
mod rollback;
mod schema;
mod span;
mod stored;
pub mod text;
mod three_way;
mod tree;
mod validate;
mod write;

pub use change::{Change, change};
pub use diff::{Difference, diff};
pub use finding::Finding;
pub use merge::{
    BucketKind, BucketUrl, BucketUrlError, FrontendConfig, LOCAL, MAX_NODES, MAX_PEERS,
    MergeConfig, SecondaryConfig, StorageConfig, StorageNode, WitnessConfig,
};
pub use model::{
    Algorithm, ApiVersion, KeySpec, Kind, LogConfig, RotateConfig, ShardConfig, ShardState,
};
pub use name::{LogName, MAX_NAME, NameError, NodeName, SYSTEM, ShardName, TenantName, TierName};
pub use next::{next_name, with_planned, with_rotation};
pub use parse::{locate, parse, parse_change};
pub use plan::{MAX_PLAN_BYTES, Plan, PlanDocument};
pub use qos::{
    ByteRate, ByteRateError, MAX_TENANTS, MAX_TIERS, MAX_TOKENS, Percent, PercentError, QosConfig,
    Rate, RateError, TOKEN_PREFIX, TenantConfig, TierConfig, Urgency, UrgencyError, WriterToken,
    is_token_hash, token_hash, token_text,
};
pub use rekor::{RekorShards, read_rekor, write_rekor};
pub use rollback::{changes_settings, rolled_back};
pub use schema::{SCHEMA_ID, schema};
pub use span::{Span, SpanError};
pub use stored::{Written, settings, whole};
pub use three_way::{Moved, three_way};
pub use tree::{MAX_BYTES, MAX_DEPTH, MAX_FINDINGS};
pub use validate::{MAX_ORIGIN, MAX_PLANNED};

/// The file by which `logd dev` knows a folder that it made, and `logctl` what to advise.
pub const DEV_MARKER: &str = ".logd-dev";
