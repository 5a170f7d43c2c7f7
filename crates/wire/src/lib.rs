//! What travels between `logctl` and an admin endpoint: plain values, no behaviour beyond serialisation.
//!
//! Every body is JSON. Unknown fields in requests are errors; clients ignore unknown fields in answers, so that an older
//! `logctl` can talk to a newer server. Sizes are entries, times are RFC 3339 UTC strings, hashes are lowercase hex.

pub mod codes;
mod merge;
mod openapi;
mod qos;
mod query;
pub mod routes;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use merge::{MergeStatus, NodeStatus, PeerStatus, ProgramStatus, WitnessStatus};
pub use openapi::openapi;
pub use qos::{
    QosStatus, QueueStatus, Refused, SimulatedFigures, SimulatedTier, Simulation, TierStatus,
};
pub use query::{
    ConfigQuery, ConfigureQuery, LogQuery, LogsQuery, MAX_REASON, NoQuery, ReasonQuery,
    SimulateQuery, TRAIL_LIMIT, TrailQuery, WriteQuery,
};

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
    /// Whether it is planned, active or frozen.
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
    pub config: logconfig::LogConfig,
}

/// `POST logs/{log}/rotations`. A preview with `?dryRun=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateRequest {
    /// Name of the shard to open; the oldest planned one, or a new one by the name template, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Open it although too few of the policy's witnesses know it: it is not published until they do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
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
    /// The log was hidden; its data is kept.
    Delete,
    /// A deleted log is there again.
    Undelete,
    /// An unconfirmed change was taken back, by the server itself.
    Revert,
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
    /// It runs, and is reverted unless somebody confirms it in time; see `confirmBy`.
    Unconfirmed,
    /// It ran, nobody confirmed it, and the settings before it run again; see `revertedBy`.
    Reverted,
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
    /// The reason that the caller gave, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Index of its intent in the system log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_index: Option<u64>,
    /// Proof that its intent is in the audit trail; only in the answer to the write itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReceipt>,
    /// Until when it must be confirmed over a new connection, RFC 3339; afterwards it is reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_by: Option<String>,
    /// The operation that reverted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverted_by: Option<String>,
    /// What changed, or would.
    pub differences: Vec<Difference>,
    /// Each live replica and whether it runs the result.
    #[serde(default)]
    pub replicas: Vec<Replica>,
    /// The last signed checkpoint of a frozen log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// What will not go as its author may expect, although the change can be made; only in the answer to the write itself and to
    /// its preview.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

/// Proof that an entry is in the audit trail (RFC 9162 inclusion proof against a signed checkpoint). What it proves is checked
/// by the client; a server that rewrites its trail can't give proofs against checkpoints that clients have pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditReceipt {
    /// Index of the entry in the system log.
    pub index: u64,
    /// The shard of the system log that holds it.
    pub shard: String,
    /// Its index in that shard: what the proof is about.
    pub leaf_index: u64,
    /// The entry's bytes, which are JSON text.
    pub entry: String,
    /// Hashes from the leaf's sibling up, hex.
    pub proof: Vec<String>,
    /// The signed checkpoint (C2SP tlog-checkpoint) that the proof leads to.
    pub checkpoint: String,
    /// Verifier key of the checkpoint (C2SP signed-note). Pin it: one that comes with the proof proves nothing alone.
    pub vkey: String,
}

/// An entry of the audit trail: an element of `GET audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Index in the system log.
    pub index: u64,
    /// `intent`: asked for. `outcome`: what became of an intent. `event`: anything else (a failed login, a new token).
    pub kind: String,
    /// When it was written, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Who: `uid:0`, `token:ci`, `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What is asked for: `configure`, `rotate`, `token-create`, `login-failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The log concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The operation concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Of an outcome: `decided`, `unchanged`, `refused`, `not-decided`, `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Of an outcome: index of its intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<u64>,
    /// Of an outcome: the generation after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Details, in words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `GET audit?before=INDEX&limit=N&log=NAME`: newest first. The whole trail, as a verifiable log, is under `audit/tree/`, in the
/// layout of the data plane (`audit/tree/shards`, `audit/tree/SHARD/checkpoint`, `…/tile/0/000`, `…/tile/entries/000`; C2SP tlog-tiles).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// Entries in the trail, in all.
    pub size: u64,
    /// Newest first; at most 1000.
    pub entries: Vec<AuditEntry>,
    /// What to send as `before` for the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// `POST logs`: creates a log. A preview with `?dryRun=true`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateLogRequest {
    /// Its first document.
    pub config: logconfig::LogConfig,
}

/// `DELETE logs/{log}` and `POST logs/{log}/undelete`: an empty object, or no body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoRequest {}

/// A bearer token, without its text: an element of `GET tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// The caller is `token:NAME`.
    pub name: String,
    /// What it may do: `resource:verb:log`.
    pub scopes: Vec<String>,
    /// When it ends, RFC 3339.
    pub expires_at: String,
    /// Who made it; absent for one that was written into the token file by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it was made, RFC 3339; absent like `createdBy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Whether it can be revoked here; one of the server's token file is taken out of the file.
    pub revocable: bool,
}

/// `GET tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// By name.
    pub tokens: Vec<Token>,
}

/// `POST tokens`. Nobody can give away more than they have: each scope must be covered by the caller's own permissions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// 1 to 63 of a-z, 0-9, `-`, `.`; taken is 409.
    pub name: String,
    /// What it may do: `resource:verb:log`.
    pub scopes: Vec<String>,
    /// For how long, seconds; at most a year.
    pub lifetime_seconds: u64,
}

/// The answer to `POST tokens`: the only place where the token's text ever stands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    /// The token's text.
    pub secret: String,
    /// The token without its text, as `GET tokens` lists it.
    pub token: Token,
    /// Index of its intent in the system log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_index: Option<u64>,
    /// Proof that this intent is in the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReceipt>,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// The answer to `DELETE tokens/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// The token's name.
    pub name: String,
    /// Index of the intent in the system log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_index: Option<u64>,
    /// Proof that this intent is in the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReceipt>,
}

/// The answer to `POST sessions`, which exchanges an OIDC identity token (sent as the bearer) for a short session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// To send as the bearer from now on.
    pub secret: String,
    /// `oidc:RULE`.
    pub actor: String,
    /// What it may do: `resource:verb:log`.
    pub permissions: Vec<String>,
    /// When it ends, RFC 3339.
    pub expires_at: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

/// What a check found: an element of `GET diagnostics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// What was checked: `clock`, `disk`, `key-permissions`, `store-latency`, `tls-expiry`, `replicas`, `checkpoint-age`.
    pub check: String,
    /// The log it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What was measured, for a person: `42 GiB free`.
    pub measured: String,
    /// What to do; always there unless all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How bad a finding of `GET diagnostics` is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// All is well.
    #[default]
    Ok,
    /// Will become a problem.
    Warning,
    /// Is a problem.
    Critical,
}

/// `GET diagnostics`: what this replica finds out about itself and its stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    /// The server's clock, RFC 3339 with milliseconds: compare it with yours.
    pub time: String,
    /// The replica that answers.
    pub replica: String,
    /// Every check that was made.
    pub checks: Vec<Diagnosis>,
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
    /// Those that fell silent within the last hour without a goodbye.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<Replica>,
}

/// One decided change: an element of `GET logs/{log}/history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// The generation after it.
    pub generation: u64,
    /// What was done.
    pub action: Action,
    /// When it was decided, RFC 3339.
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
    /// The entity tag after it; its document is `GET logs/{log}/config?generation=N`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The reason that the caller gave, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the change did to the configuration. Absent for old changes: ask for the operation instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences: Option<Vec<Difference>>,
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
    /// The server's program and version: `logd 0.1.0`; absent when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What the server can do beyond the basics.
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// What documents and requests may ask of a server beyond shards, rotation and `merge.checkpointInterval`. A server that does not say
/// it is taken to do everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Capabilities {
    /// Tiers, tenants and tokens of writers: `qos` in a document, `GET logs/{log}/qos`.
    pub qos: bool,
    /// Storage nodes, secondaries, a backup quorum, frontends: `merge` in a document.
    pub merge: bool,
    /// A policy of witnesses: `witnesses` in a document.
    pub witnesses: bool,
    /// Changes that are taken back unless somebody confirms them: `?confirmWithin=`.
    pub probation: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            qos: true,
            merge: true,
            witnesses: true,
            probation: true,
        }
    }
}

/// What is wrong, where, and what to do: an element of [`Problem::findings`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable identifier, kebab-case.
    pub code: String,
    /// What is wrong, in words for a person.
    pub message: String,
    /// JSON pointer into the document.
    pub pointer: String,
    /// 1-based, when the server parsed text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// 1-based.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What the author of the document can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<logconfig::Difference> for Difference {
    fn from(difference: logconfig::Difference) -> Self {
        Self {
            subject: difference.subject,
            before: difference.before,
            after: difference.after,
        }
    }
}

impl From<logconfig::Finding> for Finding {
    fn from(finding: logconfig::Finding) -> Self {
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
    /// What the caller can do next.
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
