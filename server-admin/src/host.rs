//! What a server supplies to be administered, in the words of the wire.
//!
//! The plug-in knows requests, callers and problem documents; the [`Host`] knows logs. Nothing here names an engine, so
//! any server can be a host. What must never happen: a change that was refused is partly made, or one that was made is
//! reported as refused. Where the host can't tell, it says [`HostError::UnknownOutcome`].

use admin_api::{ConfigAnswer, Difference, Finding, HistoryItem, LogStatus, Operation, Replica};
use config::{LogConfig, ShardName};
use futures_util::future::BoxFuture;

use crate::etag::Base;

/// What a [`Host`] method returns: boxed, so that the trait is object-safe.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, HostError>>;

/// A change that a caller asks for. It has passed authentication, authorisation and parsing, not validation against
/// the running state: that is the host's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Run this document. `PUT logs/{log}/config`.
    Configure {
        /// The whole document; its `log` is the log of the path.
        document: Box<LogConfig>,
        /// The state that the author saw.
        base: Base,
    },
    /// Freeze the active shard and open the next. `POST logs/{log}/rotations`.
    Rotate {
        /// The shard to open; the oldest planned one, or a new one by the name template, when absent.
        name: Option<ShardName>,
        /// The state that the author saw, where he insists.
        base: Option<Base>,
    },
    /// Plan a shard. `POST logs/{log}/shards`.
    Plan {
        /// The shard's name; by the name template when absent.
        name: Option<ShardName>,
        /// The state that the author saw, where he insists.
        base: Option<Base>,
    },
    /// Stop taking writes. `POST logs/{log}/freeze`.
    Freeze {
        /// Skip the wait for promised work.
        now: bool,
    },
    /// Take writes again. `POST logs/{log}/unfreeze`.
    Unfreeze,
}

/// Whether a change is made or only worked out.
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
}

/// The administered server.
///
/// # Contract of [`apply`](Host::apply)
///
/// - **Order of the checks.** First the idempotency key: the same key with the same change repeats the first answer,
///   with another change it is [`HostError::KeyReused`]. Then content: a document that equals what runs is
///   [`OperationState::Unchanged`](admin_api::OperationState::Unchanged), whatever its base. Then the base: unless
///   [`Base::matches`] the running entity tag it is [`HostError::Stale`]. Then everything else.
/// - **Audit.** The host appends the intent durably *before* the effect and the outcome after it; when the intent can't
///   be appended the change is not made. [`Operation::audit_index`] is the intent's index. A preview is not audited.
/// - **Atomic.** A change is decided as a whole or not at all. A returned operation is durable.
/// - **Concurrency.** The router runs one `apply` at a time per log in its process; other replicas may decide at the
///   same time, which the host must survive. Previews and reads run beside it.
/// - **Cancellation.** A caller who hangs up does not cancel `apply`. It is dropped only when the runtime that serves
///   the endpoint stops, and the host must survive that too.
///
/// Futures run on the runtime that serves the endpoint, which may be another than the host's own.
pub trait Host: Send + Sync + 'static {
    /// All logs of this server.
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

    /// The running document and its entity tag, read at one instant.
    fn config<'a>(&'a self, log: &'a str) -> Answer<'a, ConfigAnswer>;

    /// Makes a change, or previews it. See the contract above.
    fn apply<'a>(
        &'a self,
        log: &'a str,
        change: Change,
        mode: Mode,
        caller: Caller,
    ) -> Answer<'a, Operation>;

    /// The decided changes of a log, newest first.
    fn history<'a>(&'a self, log: &'a str) -> Answer<'a, Vec<HistoryItem>>;

    /// The latest operations, newest first, at most 100; of one log, or of all.
    fn operations<'a>(&'a self, log: Option<&'a str>) -> Answer<'a, Vec<Operation>>;

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

    /// The server processes that share the stores; with a log, each with the generation it runs of it.
    fn replicas<'a>(&'a self, log: Option<&'a str>) -> Answer<'a, Vec<Replica>>;
}

/// Why a host did not do what was asked. Each becomes a problem document with the code of the same name
/// ([`admin_api::codes`]); texts reach the caller, so they never hold secrets.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// 404: no such log, shard or operation.
    #[error("{0}")]
    NotFound(String),
    /// 422: refused by validation. All findings, never only the first.
    #[error("refused by validation: {} finding(s)", .0.len())]
    Invalid(Vec<Finding>),
    /// 412: the base moved.
    #[error("the configuration is now {current_etag}")]
    Stale {
        /// The running entity tag.
        current_etag: String,
        /// Who changed it last.
        changed_by: Option<String>,
        /// When, RFC 3339.
        changed_at: Option<String>,
        /// What moved between the base and now; empty when the base is no longer known.
        differences: Vec<Difference>,
    },
    /// 409: not in the log's present condition.
    #[error("{0}")]
    Conflict(String),
    /// 422: the idempotency key was used for another change.
    #[error("this idempotency key belongs to another change")]
    KeyReused {
        /// The operation that it belongs to.
        operation: Option<String>,
    },
    /// 503: the log is halted on this replica; why.
    #[error("the log is halted on this replica: {0}")]
    Halted(String),
    /// 507: no space left; where.
    #[error("no space left: {0}")]
    Full(String),
    /// 503: the stores can't be reached or the server is stopping; nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// 503: it may have been decided or not; asking again with the same idempotency key tells.
    #[error("the outcome of operation {operation} could not be learned")]
    UnknownOutcome {
        /// The operation's id.
        operation: String,
    },
    /// 500: a bug.
    #[error("{0}")]
    Internal(String),
}
