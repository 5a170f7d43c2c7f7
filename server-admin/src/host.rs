//! The trait that a server implements to be administered, with the types of the wire.
//!
//! The plug-in knows requests, callers and problem documents; the [`Host`] knows logs. Nothing here names an engine, so any server can be a
//! host. What must never happen: a change that was refused is partly made, or one that was made is reported as refused. If the host does
//! not know the outcome, it returns [`HostError::UnknownOutcome`].

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use logconfig::LogConfig;
use wire::{
    AnnounceRequest, AuditPage, AuditReceipt, ConfigAnswer, CreateLogRequest, Diagnostics,
    Difference, Finding, FreezeRequest, HistoryItem, ImportPage, ImportProgress, ImportRequest,
    LogStatus, MergeStatus, Operation, PlanRequest, QosStatus, Replica, RotateRequest, Simulation,
};

use crate::etag::Base;

/// The result of a [`Host`] method: boxed, so that the trait is object-safe.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, HostError>>;

/// A change that a caller asks for. It has passed authentication, authorisation and parsing; the host validates it against the running
/// state.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Run this document. `PUT logs/{log}/config`.
    Configure {
        /// The whole document; its `log` is the log of the path.
        document: Box<LogConfig>,
        /// The state that the author saw.
        base: Base,
        /// Revert it automatically unless it is confirmed within this time ([`Host::confirm`]); 1 s to 24 h. A change that
        /// touches shards is [`HostError::Invalid`] with this: shards never go back.
        confirm_within: Option<Duration>,
    },
    /// Freeze the active shard and open the next. `POST logs/{log}/rotations`.
    Rotate {
        /// The request; its name is valid. Without `force`, a shard that could not be published now, or whose key has to be announced
        /// and was not, is [`HostError::Invalid`]. With `settle`, it is [`HostError::Invalid`] unless the key was announced that
        /// long ago.
        request: RotateRequest,
        /// The state that the author saw, where they insist on it.
        base: Option<Base>,
    },
    /// Plan a shard. `POST logs/{log}/shards`.
    Plan {
        /// The request; its name is valid.
        request: PlanRequest,
        /// The state that the author saw, where they insist on it.
        base: Option<Base>,
    },
    /// Record that a shard's key was seen. `POST logs/{log}/announcements`.
    Announce(AnnounceRequest),
    /// Freeze the log. `POST logs/{log}/freeze`.
    Freeze(FreezeRequest),
    /// Unfreeze the log. `POST logs/{log}/unfreeze`.
    Unfreeze,
    /// Create the log with this document, whose `log` is the log of the call. `POST logs`.
    Create(Box<CreateLogRequest>),
    /// Hide the log, which must be frozen; its data is kept. `DELETE logs/{log}`.
    Delete,
    /// Show a deleted log again, still frozen. `POST logs/{log}/undelete`.
    Undelete,
}

/// A step of an import of another Rekor's shards. Each may be asked for again; together they come before [`Change::Create`], whose document
/// then lists the shards as frozen ones, named by their trees.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ImportStep {
    /// Begin the import, or return its progress: `PUT logs/{log}/import`. A preview makes the same checks and writes nothing.
    Begin(Box<ImportRequest>, Mode),
    /// Add entries. `POST logs/{log}/import`.
    Add(ImportPage),
    /// Drop it: the answer lists the shards that there were. `DELETE logs/{log}/import`.
    Drop,
}

/// The mode of a change: made, or only previewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `?dryRun=true`: the same steps, all but the last. Nothing is written and nothing is audited.
    Preview,
    /// The change is made.
    Apply,
}

/// On whose behalf a change is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `uid:0`, `token:ci`: authenticated, safe to log.
    pub actor: String,
    /// The request's `Idempotency-Key`: 1 to 128 visible ASCII characters. It belongs to its actor and log.
    pub idempotency_key: Option<String>,
    /// Why, in the caller's own words, on one line. It belongs to the audit trail and the history.
    pub reason: Option<String>,
    /// The connection that the request came over: unique among all connections of this process. Absent when the listener does not know it.
    pub connection: Option<u64>,
}

/// An event for the audit trail that is not a change of a log: a failed login, a token made or revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The caller that did it, or tried to.
    pub actor: String,
    /// `login-failed`, `token-create`, `token-revoke`, `session-create`.
    pub action: &'static str,
    /// For a person; never a secret.
    pub detail: String,
}

/// Settings that this host supports beyond the basics: shards, rotation, and how often a tree is signed. A setting that the host
/// does not support is refused with a finding before the host is asked, so that no setting is silently without effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// `qos`: tiers, tenants, writers' tokens.
    pub qos: bool,
    /// `merge` but for `checkpointInterval`: storage nodes, secondaries, a backup quorum, frontends.
    pub merge: bool,
    /// A policy of witnesses: `witnesses` in a document.
    pub witnesses: bool,
    /// Changes on probation: `?confirmWithin=`.
    pub probation: bool,
    /// Keys of `ecdsa-p256`, and origins that are host names: `key` and `originForm` in a document.
    pub ecdsa: bool,
    /// A front for Sigstore's clients: `rekor` in a document.
    pub rekor: bool,
    /// Records of announced keys: [`Change::Announce`], `rotate.requireAnnounced` and `rotate.settle` in a document.
    pub announce: bool,
}

impl Capabilities {
    /// A host that supports everything that a document can contain.
    #[must_use]
    pub fn all() -> Self {
        Self {
            qos: true,
            merge: true,
            witnesses: true,
            probation: true,
            ecdsa: true,
            rekor: true,
            announce: true,
        }
    }

    /// Adds tiers, tenants and writers' tokens.
    #[must_use]
    pub fn with_qos(self) -> Self {
        Self { qos: true, ..self }
    }

    /// Adds storage nodes, secondaries and frontends.
    #[must_use]
    pub fn with_merge(self) -> Self {
        Self {
            merge: true,
            ..self
        }
    }
}

impl From<Capabilities> for wire::Capabilities {
    fn from(can: Capabilities) -> Self {
        Self {
            qos: can.qos,
            merge: can.merge,
            witnesses: can.witnesses,
            probation: can.probation,
            ecdsa: can.ecdsa,
            rekor: can.rekor,
            announce: can.announce,
        }
    }
}

/// Which entries of the audit trail are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only entries before this index; the newest when absent.
    pub before: Option<tlog::GlobalIndex>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
    /// Only of this log.
    pub log: Option<String>,
}

/// The administered server.
///
/// # Contract of [`apply`](Host::apply)
///
/// - **Order of the checks.** First the idempotency key: the same key with the same change repeats the first answer,
///   with another change it is [`HostError::KeyReused`]. Then content: a document that equals what runs is
///   [`OperationState::Unchanged`](wire::OperationState::Unchanged), whatever its base. Then the base: unless
///   [`Base::matches`] the running entity tag it is [`HostError::Stale`]. Then everything else.
/// - **Audit.** The host appends the intent durably *before* the effect and the outcome after it; when the intent can't
///   be appended the change is not made. [`Operation::audit_index`] is the intent's index. A preview is not audited.
/// - **Atomic.** A change is decided as a whole or not at all. A returned operation is durable.
/// - **Concurrency.** The router runs one `apply` at a time per log in its process; other replicas may decide at the
///   same time, which the host must survive. Previews and reads run beside it.
/// - **Cancellation.** A caller that hangs up does not cancel `apply`. It is dropped only when the runtime that serves the endpoint stops,
///   and the host must survive that too.
///
/// Futures run on the runtime that serves the endpoint, which may be another than the host's own.
pub trait Host: Send + Sync + 'static {
    /// The settings that documents may contain beyond the basics; by default none.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// All logs of this server. The plug-in fills a `generation` of 0 in from the entity tag.
    fn logs(&self) -> Answer<'_, Vec<LogStatus>>;

    /// One log. [`HostError::NotFound`] when there is none of this name; so in every method that takes one.
    fn status<'a>(&'a self, log: &'a str) -> Answer<'a, LogStatus> {
        Box::pin(async move {
            let found = self
                .logs()
                .await?
                .into_iter()
                .find(|status| status.log == log);
            found.ok_or_else(|| HostError::NotFound(format!("no log named {log}")))
        })
    }

    /// The logs that were deleted and can be had back. Without this, none are known.
    fn deleted(&self) -> Answer<'_, Vec<LogStatus>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The server's program and version, for people: `logd 0.1.0`. By default none.
    fn version(&self) -> Option<String> {
        None
    }

    /// The running document and its entity tag, `g<generation>-<digest>` as `LogConfig::etag` makes it, read at one instant. The
    /// plug-in fills the document's `generation` in from the tag where the host leaves it out.
    fn config<'a>(&'a self, log: &'a str) -> Answer<'a, ConfigAnswer>;

    /// Makes a change, or previews it. See the contract above.
    fn apply<'a>(
        &'a self,
        log: &'a str,
        change: Change,
        mode: Mode,
        caller: Caller,
    ) -> Answer<'a, Operation>;

    /// Makes a step of an import into a log that is not there yet. Its beginning and its end are audited.
    fn import<'a>(
        &'a self,
        log: &'a str,
        step: ImportStep,
        caller: Caller,
    ) -> Answer<'a, ImportProgress> {
        let _ = (log, step, caller);
        unsupported("this server does not import shards")
    }

    /// The decided changes of a log, newest first. Without this, none are known.
    fn history<'a>(&'a self, log: &'a str) -> Answer<'a, Vec<HistoryItem>> {
        none_of(self.status(log))
    }

    /// The latest operations, newest first, at most 100; of one log, or of all. Without this, none are known.
    fn operations<'a>(&'a self, log: Option<&'a str>) -> Answer<'a, Vec<Operation>> {
        match log {
            Some(log) => none_of(self.status(log)),
            None => Box::pin(async { Ok(Vec::new()) }),
        }
    }

    /// One operation, by its id of 32 hex digits.
    fn operation<'a>(&'a self, id: &'a str) -> Answer<'a, Operation> {
        Box::pin(async move {
            let found = self
                .operations(None)
                .await?
                .into_iter()
                .find(|operation| operation.id == id);
            found.ok_or_else(|| HostError::NotFound(format!("no operation {id}")))
        })
    }

    /// The server processes that share the stores; with a log, each with the generation it runs of it. Without this, none are
    /// known.
    fn replicas<'a>(&'a self, log: Option<&'a str>) -> Answer<'a, Vec<Replica>> {
        match log {
            Some(log) => none_of(self.status(log)),
            None => Box::pin(async { Ok(Vec::new()) }),
        }
    }

    /// The server processes whose heartbeats ended without a clean stop, for as long as an operator may want to know. Without this, none are known.
    fn silent(&self) -> Answer<'_, Vec<Replica>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The document that a generation ran, with the server-filled fields it had then as far as they are known.
    fn config_at<'a>(&'a self, log: &'a str, generation: u64) -> Answer<'a, ConfigAnswer> {
        let _ = (log, generation);
        unsupported("earlier configurations are not kept")
    }

    /// How far each program of a log's merge and each of its peers is.
    fn merge<'a>(&'a self, log: &'a str) -> Answer<'a, MergeStatus> {
        let _ = log;
        unsupported("this server does not report how far its merge is")
    }

    /// What the writers of a log experience on this replica, by tier and tenant.
    fn qos<'a>(&'a self, log: &'a str) -> Answer<'a, QosStatus> {
        let _ = log;
        unsupported("this server does not report what its writers experience")
    }

    /// Simulates the tiers and tenants of `document`, which is valid by itself, with the writes that arrived `since` that long ago, 1 min
    /// to 7 d. It must stay bounded in time and memory, however many arrived.
    fn simulate<'a>(
        &'a self,
        log: &'a str,
        document: Box<LogConfig>,
        since: Duration,
    ) -> Answer<'a, Simulation> {
        let _ = (log, document, since);
        unsupported("this server does not record how writes arrive")
    }

    /// Keeps a change that was made with `confirm_within`. Confirming twice is confirming once. The connection that made the
    /// change can't confirm it ([`HostError::Conflict`]): that would not show that the server can still be reached. Too late is
    /// [`HostError::Conflict`] too. Audited like a change.
    fn confirm<'a>(&'a self, operation: &'a str, caller: Caller) -> Answer<'a, Operation> {
        let _ = (operation, caller);
        unsupported("changes can't be made on probation")
    }

    /// Appends an event to the audit trail, durably. An error means that the announced action must not be done. A host without a trail
    /// returns `None`.
    fn record(&self, event: Event) -> Answer<'_, Option<AuditReceipt>> {
        let _ = event;
        Box::pin(async { Ok(None) })
    }

    /// A page of the audit trail, newest first.
    fn audit(&self, query: AuditQuery) -> Answer<'_, AuditPage> {
        let _ = query;
        unsupported("there is no audit trail")
    }

    /// An object of the audit trail as a C2SP tlog-tiles log: `SHARD/checkpoint`, `SHARD/tile/0/000`,
    /// `SHARD/tile/entries/000`; and `shards`, the list of its shards as any log's readers get it: JSON objects with `name`,
    /// `state`, `treeId`, `origin`, `vkey` and `startIndex`, where an auditor begins. `None` when there is none at this path. The path is a caller's: it may hold anything.
    fn audit_object<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        let _ = path;
        unsupported("there is no audit trail")
    }

    /// The findings of this replica about itself and its stores.
    fn diagnose(&self) -> Answer<'_, Diagnostics> {
        unsupported("this server does not diagnose itself")
    }

    /// Puts a row into a small memory that all replicas share, durably, unless the key is there: whether it was put. The row
    /// may be forgotten after `until`. The plug-in keeps its sessions, tokens and used identity tokens there; without this
    /// memory they are refused.
    ///
    /// Keys are at most 200 bytes of `a-z 0-9 - . /`, values at most 16 KiB.
    fn remember<'a>(&'a self, key: &'a str, value: &'a str, until: Timestamp) -> Answer<'a, bool> {
        let _ = (key, value, until);
        unsupported("this server has no memory for sessions and tokens")
    }

    /// The rows of that memory whose keys begin with `prefix`, by key, without those that have expired.
    fn recall<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<(String, String)>> {
        let _ = prefix;
        unsupported("this server has no memory for sessions and tokens")
    }

    /// Forgets a row: whether it was there.
    fn forget<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        let _ = key;
        unsupported("this server has no memory for sessions and tokens")
    }
}

/// An empty list about a log that is there.
fn none_of<'a, T>(status: Answer<'a, LogStatus>) -> Answer<'a, Vec<T>>
where
    T: Send + 'a,
{
    Box::pin(async move { status.await.map(|_| Vec::new()) })
}

fn unsupported<T: Send>(what: &'static str) -> Answer<'static, T> {
    Box::pin(async move { Err(HostError::Unsupported(what.to_owned())) })
}

/// Why a host did not do what was asked. Each becomes a problem document with the code of the same name
/// ([`wire::codes`]); texts reach the caller, so they never hold secrets.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// 404: no such log, shard or operation.
    #[error("{0}")]
    NotFound(String),
    /// 422: refused by validation. All findings, never only the first.
    #[error("refused by validation: {} finding(s)", .0.len())]
    Invalid(Vec<Finding>),
    /// 412: the base has changed.
    #[error("the configuration is now {current_etag}")]
    Stale {
        /// The running entity tag.
        current_etag: String,
        /// The actor that changed it last.
        changed_by: Option<String>,
        /// When it was changed, RFC 3339.
        changed_at: Option<String>,
        /// The differences between the base and now; empty when the base is no longer known.
        differences: Vec<Difference>,
    },
    /// 409: the log's condition does not allow the change.
    #[error("{0}")]
    Conflict(String),
    /// 422: a signature or a root of the imported shards is wrong; the finding points to the shard or the entry in the request.
    #[error("{}", .0.message)]
    Unverified(Box<Finding>),
    /// 422: the idempotency key was used for another change.
    #[error("this idempotency key belongs to another change")]
    KeyReused {
        /// The operation that it belongs to.
        operation: Option<String>,
    },
    /// 501: this host can't do that at all.
    #[error("{0}")]
    Unsupported(String),
    /// 503: the log is halted on this replica; why.
    #[error("the log is halted on this replica: {0}")]
    Halted(String),
    /// 507: no space left; the text names the store.
    #[error("no space left: {0}")]
    Full(String),
    /// 503: the stores can't be reached or the server is stopping; nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// 503: it may have been decided or not; a repeat with the same idempotency key shows which.
    #[error("the outcome of operation {operation} could not be learned")]
    UnknownOutcome {
        /// The operation whose outcome is open.
        operation: String,
    },
    /// 500: a bug; what went wrong.
    #[error("{0}")]
    Internal(String),
}
