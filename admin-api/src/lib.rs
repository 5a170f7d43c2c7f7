//! What travels between `logctl` and an admin endpoint: plain values, no behaviour beyond serialisation.
//!
//! Every body is JSON. Unknown fields in requests are errors; clients ignore unknown fields in answers, so that an older
//! `logctl` can talk to a newer server. Sizes are entries, times are RFC 3339 UTC strings, hashes are lowercase hex.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where every resource lives.
pub const BASE: &str = "/admin/v1";
/// The media type of [`Problem`] (RFC 9457).
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// A log's condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogCondition {
    /// Takes writes.
    #[default]
    Open,
    /// Finishes promised work before a freeze; takes no new writes.
    Closing,
    /// Takes no writes.
    Frozen,
    /// Stopped on this replica, because something is wrong; see `reason`.
    Halted,
}

/// A shard's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// Has its origin and key, opens at a later rotation.
    Planned,
    /// Takes the log's writes.
    Active,
    /// Takes no more writes.
    Frozen,
}

/// A shard as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Unique in its log.
    pub name: String,
    /// Its state.
    pub state: ShardState,
    /// Positive 63-bit integer, decimal (a string: JSON numbers lose precision).
    pub tree_id: String,
    /// The checkpoint origin, `ORIGIN/NAME`.
    pub origin: String,
    /// The verifier key of its checkpoints (C2SP signed-note).
    pub vkey: String,
    /// Global index of its first entry; absent while planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_index: Option<u64>,
    /// Entries ordered into it; absent while planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Entries covered by its signed checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<u64>,
    /// Root of the published tree, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_hash: Option<String>,
}

/// Positions of one log, in entries of the global index; `ordered >= integrated >= published`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watermarks {
    /// Decided and durable.
    pub ordered: u64,
    /// In the Merkle tree.
    pub integrated: u64,
    /// Covered by signed checkpoints.
    pub published: u64,
}

/// One log: `GET logs/{log}`, and an element of `GET logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    /// The log's name.
    pub log: String,
    /// Its condition.
    pub condition: LogCondition,
    /// Why it is halted, or since when frozen; for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The configuration generation that this replica runs.
    pub generation: u64,
    /// The configuration's entity tag, `g<generation>-<sha256 prefix>`, without quotes.
    pub etag: String,
    /// The log's positions.
    pub watermarks: Watermarks,
    /// Time of the last publication, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
    /// All shards, oldest first.
    pub shards: Vec<Shard>,
    /// Where readers and writers reach the log (`http://127.0.0.1:7070`), when the server knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// `GET logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Logs {
    /// One status per log.
    pub logs: Vec<LogStatus>,
}

/// `GET logs/{log}/shards`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shards {
    /// Oldest first.
    pub shards: Vec<Shard>,
}

/// `GET logs/{log}/config`: the running document. The entity tag is also in the `ETag` header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigAnswer {
    /// `g<generation>-<sha256 prefix>`, without quotes.
    pub etag: String,
    /// The document, with its server-filled fields.
    pub config: config::LogConfig,
}

/// `POST logs/{log}/rotations`. A preview with `?dryRun=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateRequest {
    /// Name of the shard to open; the oldest planned one, or a new one by the name template, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `POST logs/{log}/shards`: plans a shard. A preview with `?dryRun=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanRequest {
    /// Name of the new shard; by the name template when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `POST logs/{log}/freeze`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FreezeRequest {
    /// Skip the wait for promised work.
    #[serde(default)]
    pub now: bool,
}

/// `POST logs/{log}/unfreeze`: an empty object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnfreezeRequest {}

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What changes, in an operator's words: `shard 2026b`, `merge.checkpointInterval`.
    pub subject: String,
    /// The value before; absent when added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value after; absent when removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What kind of change an operation makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A new configuration document.
    #[default]
    Configure,
    /// The active shard froze and the next one opened.
    Rotate,
    /// A shard was planned.
    Plan,
    /// The log stopped taking writes.
    Freeze,
    /// The log takes writes again.
    Unfreeze,
    /// The log was created.
    Create,
}

/// How far an operation got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// Nothing to do: what was asked for already runs.
    #[default]
    Unchanged,
    /// A preview; nothing was changed.
    Planned,
    /// Decided, but not every live replica runs it yet.
    Decided,
    /// Every live replica runs it.
    Done,
    /// Refused; nothing was changed.
    Refused,
}

/// One change, as asked for and as it went: the answer to every write, and `GET operations/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// 32 hex digits.
    pub id: String,
    /// The log it changes.
    pub log: String,
    /// What it does.
    pub action: Action,
    /// How far it got.
    pub state: OperationState,
    /// The generation before it.
    pub base_generation: u64,
    /// The generation after it.
    pub generation: u64,
    /// The entity tag after it.
    pub etag: String,
    /// When it was decided, RFC 3339; absent when nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// The global index at which it took effect; absent when nothing was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_index: Option<u64>,
    /// Who asked (`uid:0`, `token:ci`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Index of its intent in the system log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_index: Option<u64>,
    /// What changed, or would.
    pub differences: Vec<Difference>,
    /// Each live replica and whether it runs the result.
    #[serde(default)]
    pub replicas: Vec<Replica>,
    /// The last signed checkpoint of a frozen log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// `GET operations?log=NAME`: newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operations {
    /// Newest first, at most 100.
    pub operations: Vec<Operation>,
}

/// A server process that shares the stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// 16 hex digits, new at each start of the process.
    pub id: String,
    /// Host name and process id, for a person.
    pub label: String,
    /// The newest slot format it understands.
    pub format: u32,
    /// The generation it runs of the log in question; absent in lists over all logs or when it does not serve that log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Seconds since it last reported.
    pub age_seconds: u64,
}

/// `GET replicas?log=NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replicas {
    /// All that reported lately.
    pub replicas: Vec<Replica>,
}

/// One decided change: an element of `GET logs/{log}/history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// The generation after it.
    pub generation: u64,
    /// What was done.
    pub action: Action,
    /// When, RFC 3339.
    pub time: String,
    /// The slot that carries the decision.
    pub slot: u64,
    /// The global index at which it took effect.
    pub at_index: u64,
    /// The operation's id.
    pub operation: String,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// A sentence: `opened 2026c, froze 2026b at 1048576`.
    pub summary: String,
}

/// `GET logs/{log}/history`: newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// Newest first.
    pub history: Vec<HistoryItem>,
}

/// `GET whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoAmI {
    /// `uid:0`, `token:ci`.
    pub actor: String,
    /// What it may do, as `resource:verb:log` with `*` for any.
    pub permissions: Vec<String>,
}

/// What is wrong, where, and what to do: an element of [`Problem::findings`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable identifier, kebab-case.
    pub code: String,
    /// For a person.
    pub message: String,
    /// JSON pointer into the document.
    pub pointer: String,
    /// 1-based, when the server parsed text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// 1-based.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<config::Difference> for Difference {
    fn from(difference: config::Difference) -> Self {
        Self {
            subject: difference.subject,
            before: difference.before,
            after: difference.after,
        }
    }
}

impl From<config::Finding> for Finding {
    fn from(finding: config::Finding) -> Self {
        Self {
            code: finding.code.to_string(),
            message: finding.message,
            pointer: finding.pointer,
            line: finding.line,
            column: finding.column,
            hint: finding.hint,
        }
    }
}

/// An RFC 9457 problem document: every answer with a status of 400 and up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:logctl:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short summary of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable identifier, kebab-case; see [`codes`].
    pub code: String,
    /// This occurrence, for a person.
    pub detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// All findings of a refused document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The running configuration's entity tag (stale base).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_etag: Option<String>,
    /// Who changed it last (stale base).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// When (stale base), RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
    /// What moved between the base and now (stale base).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// The operation concerned, when its outcome is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// The stable problem codes and the HTTP status of each.
pub mod codes {
    /// 400: not understood.
    pub const BAD_REQUEST: &str = "bad-request";
    /// 401: who are you.
    pub const UNAUTHENTICATED: &str = "unauthenticated";
    /// 403: not allowed.
    pub const FORBIDDEN: &str = "forbidden";
    /// 403: a browser asked.
    pub const BROWSER_REFUSED: &str = "browser-refused";
    /// 404: no such log, shard, operation or route.
    pub const NOT_FOUND: &str = "not-found";
    /// 405: not with this method.
    pub const METHOD_NOT_ALLOWED: &str = "method-not-allowed";
    /// 409: not in the log's present condition (frozen, not frozen).
    pub const CONFLICT: &str = "conflict";
    /// 412: the base moved.
    pub const STALE: &str = "stale";
    /// 408: the body did not arrive in time.
    pub const REQUEST_TIMEOUT: &str = "request-timeout";
    /// 413: body too large.
    pub const TOO_LARGE: &str = "too-large";
    /// 415: wrong content type or a compressed body.
    pub const UNSUPPORTED_MEDIA_TYPE: &str = "unsupported-media-type";
    /// 422: refused by validation; see the findings.
    pub const INVALID: &str = "invalid";
    /// 422: this idempotency key was used with another body.
    pub const KEY_REUSED: &str = "idempotency-key-reused";
    /// 428: a write needs `If-Match`.
    pub const PRECONDITION_REQUIRED: &str = "precondition-required";
    /// 429: too many requests.
    pub const TOO_MANY: &str = "too-many-requests";
    /// 500: a bug.
    pub const INTERNAL: &str = "internal";
    /// 503: the log is halted on this replica.
    pub const HALTED: &str = "halted";
    /// 503: the stores can't be reached, or the server is stopping; nothing was changed.
    pub const UNAVAILABLE: &str = "unavailable";
    /// 503: the outcome could not be learned; safe to ask again with the same idempotency key.
    pub const UNKNOWN_OUTCOME: &str = "unknown-outcome";
    /// 507: no space left on the store.
    pub const FULL: &str = "full";
}
