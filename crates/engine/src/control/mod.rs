//! Changes to a running log: the typed steps from a request to a decision in the order. A preview runs the same steps and stops
//! before the last. From outside there is one way to all of them, [`audit::Audited`].
//!
//! What must never happen: a change is decided twice, or a slot names a shard whose key is not durable.

pub(crate) mod audit;
mod create;
pub(crate) mod fits;
mod freeze;
pub(crate) mod history;
mod preflight;
mod prepare;
mod probation;
pub(crate) mod rotation;

use logconfig::{Difference, Finding, LogConfig, ShardName, ShardState};
use order::Generation;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tlog::Hash;

use crate::leaving::taken_out;
use crate::ledger::CommitError;
use crate::log::Log;
use order::slot::{Control, Decision, Token};
use order::state::{Intake, Refusal, Shard};
use store::StoreError;
use store::record;

use self::audit::Unrecorded;
pub(crate) use self::preflight::not_permitted;
pub(crate) use self::prepare::prepare;
pub use self::probation::{Probation, Trial};
pub use order::slot::Action;

/// How often a request without a base is tried again when the configuration moves under it.
const TRIES: usize = 8;

/// A request for a change. It does not include the state that it is based on: a request that is sent again with its idempotency key is the
/// same request, even if the configuration changed meanwhile.
#[derive(Clone, Debug, Serialize)]
pub enum Request {
    /// Replace the configuration document.
    Configure {
        /// The whole document, which replaces the running one.
        next: Box<LogConfig>,
        /// The generation it was made from.
        #[serde(skip)]
        base: Option<Generation>,
    },
    /// Freeze the active shard and open the next.
    Rotate {
        /// The shard to open; the oldest planned one or a new one when absent.
        name: Option<ShardName>,
        /// Refuse when the generation is another.
        #[serde(skip)]
        base: Option<Generation>,
        /// Open it although too few witnesses or secondaries know it. It is not published until they do.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Add a planned shard.
    PlanShard {
        /// Its name; by the template when absent.
        name: Option<ShardName>,
        /// Refuse when the generation is another.
        #[serde(skip)]
        base: Option<Generation>,
    },
    /// Run this document, and go back to the one before unless somebody confirms it in time.
    OnProbation {
        /// The whole document. Its shards are those that run: they never go back.
        next: Box<LogConfig>,
        /// The generation it was made from.
        #[serde(skip)]
        base: Option<Generation>,
        /// How long it may wait for its confirmation, milliseconds.
        within_ms: u64,
        /// The asking replica, and its connection: the one that may not confirm. No part of the request.
        #[serde(skip)]
        from: (String, Option<u64>),
    },
    /// Take back a change that was made on probation: the earlier settings, with today's shards.
    Revert {
        /// The change on probation.
        operation: Token,
        /// The generation before it.
        base: Generation,
    },
    /// Freeze this shard and open the next, if it is still the active one. However many replicas ask, it is one request.
    RotateOut {
        /// The shard that was active when it was asked for.
        shard: ShardName,
        /// Why, for the history. No part of the request.
        #[serde(skip)]
        why: String,
    },
    /// Freeze the log: it accepts no entries.
    Freeze {
        /// Skip the wait for promised work.
        now: bool,
    },
    /// Accept entries again after a freeze.
    Unfreeze,
    /// Hide a frozen log.
    Delete,
    /// Show a deleted log again.
    Undelete,
}

impl Request {
    /// The generation it was made from, if its author insists on it.
    fn base(&self) -> Option<Generation> {
        match self {
            Self::Configure { base, .. }
            | Self::OnProbation { base, .. }
            | Self::Rotate { base, .. }
            | Self::PlanShard { base, .. } => *base,
            _ => None,
        }
    }

    /// What it asks for.
    pub fn action(&self) -> Action {
        match self {
            Self::Configure { .. } | Self::OnProbation { .. } => Action::Configure,
            Self::Rotate { .. } | Self::RotateOut { .. } => Action::Rotate,
            Self::PlanShard { .. } => Action::Plan,
            Self::Revert { .. } => Action::Revert,
            Self::Freeze { .. } => Action::Freeze,
            Self::Unfreeze => Action::Unfreeze,
            Self::Delete => Action::Delete,
            Self::Undelete => Action::Undelete,
        }
    }

    /// The action's name in the audit trail.
    fn word(&self) -> &'static str {
        if matches!(self, Self::Rotate { force: true, .. }) {
            return "rotate-forced";
        }
        match self.action() {
            Action::Configure => "configure",
            Action::Rotate => "rotate",
            Action::Plan => "plan",
            Action::Freeze => "freeze",
            Action::Unfreeze => "unfreeze",
            Action::Create => "create",
            Action::Delete => "delete",
            Action::Undelete => "undelete",
            Action::Revert => "revert",
        }
    }

    fn digest(&self) -> Hash {
        record::digest(&serde_json::to_vec(self).unwrap_or_default())
    }

    fn reason(&self) -> Option<String> {
        match self {
            Self::RotateOut { why, .. } => Some(why.clone()),
            Self::Revert { operation, .. } => Some(format!("nobody confirmed {operation} in time")),
            _ => None,
        }
    }
}

/// The caller of a change, for the history and the audit trail.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name in the audit trail: `uid:0`, `token:ci`.
    pub actor: String,
    /// The same key with the same request is the same operation.
    pub idempotency_key: Option<String>,
    /// Why, in the caller's own words, for the history. No part of the request.
    pub reason: Option<String>,
}

impl Caller {
    /// The operation that this caller's idempotency key names on a log; none without a key.
    pub fn operation(&self, log: &str) -> Option<Token> {
        let key = self.idempotency_key.as_ref()?;
        let mut hash = Sha256::new();
        for part in [log, self.actor.as_str(), key.as_str()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Some(Token::from_bytes(bytes))
    }
}

/// How far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// The requested state already runs.
    Unchanged,
    /// A preview: nothing was changed.
    Planned,
    /// Decided and durable: it cannot be lost.
    Decided,
}

/// A change as it went.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Id of the operation: 32 hex digits.
    pub operation: String,
    /// What was asked for.
    pub action: Action,
    /// How far it got.
    pub outcome: ChangeOutcome,
    /// The generation that the change was made on.
    pub base_generation: Generation,
    /// The generation that the change makes.
    pub generation: Generation,
    /// The entity tag of that generation.
    pub etag: String,
    /// When it was decided, milliseconds since the Unix epoch.
    pub time_ms: Option<u64>,
    /// The global index at which it took effect.
    pub at_index: Option<u64>,
    /// What changed, or would change.
    pub differences: Vec<Difference>,
    /// The final checkpoint of a freeze.
    pub checkpoint: Option<String>,
    /// Effects of the change that its author may not expect. A repeated answer has none.
    pub warnings: Vec<Finding>,
}

/// Why a change was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// The document is refused.
    #[error("the document is refused ({} findings)", .0.len())]
    Invalid(Vec<Finding>),
    /// The base is not the running generation.
    #[error("the base moved: {current_etag} runs")]
    Stale {
        /// The entity tag that runs.
        current_etag: String,
        /// Who changed it last.
        changed_by: Option<String>,
        /// When, milliseconds since the Unix epoch.
        changed_at_ms: Option<u64>,
        /// The differences from the base to the running configuration.
        differences: Vec<Difference>,
    },
    /// Not possible in this condition.
    #[error("{0}")]
    Conflict(String),
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for another request (operation {operation})")]
    KeyReused {
        /// The operation that used this key.
        operation: String,
    },
    /// The log is halted.
    #[error("the log is halted: {reason}")]
    Halted {
        /// The contradiction that halted the log.
        reason: String,
    },
    /// No space is left on a store.
    #[error("no space left: {0}")]
    Full(String),
    /// The outcome could not be learned; ask again with the same key.
    #[error("the outcome of operation {operation} could not be learned")]
    Unknown {
        /// The operation whose outcome is unknown.
        operation: String,
    },
    /// The store failed; nothing was changed.
    #[error(transparent)]
    Store(StoreError),
    /// The audit trail does not take the intent; nothing was changed.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(detail) => Self::Full(detail),
            other => Self::Store(other),
        }
    }
}

impl Log {
    /// The effects that a request would have.
    pub async fn preview(&self, request: Request) -> Result<Applied, ChangeError> {
        freeze::system(self.name(), &request)?;
        let caller = Caller {
            actor: String::new(),
            idempotency_key: None,
            reason: None,
        };
        self.execute(request, caller, true).await
    }

    /// Makes a change: decided in the order, durable, and running on this replica when it answers.
    pub(crate) async fn change(
        &self,
        request: Request,
        caller: Caller,
    ) -> Result<Applied, ChangeError> {
        self.execute(request, caller, false).await
    }

    /// Makes a change that no intent announces: for tests of what comes after the decision.
    #[cfg(feature = "testing")]
    pub async fn change_unaudited(
        &self,
        request: Request,
        caller: Caller,
    ) -> Result<Applied, ChangeError> {
        self.change(request, caller).await
    }

    async fn execute(
        &self,
        request: Request,
        caller: Caller,
        dry: bool,
    ) -> Result<Applied, ChangeError> {
        if let Some(reason) = self.health.halt.reason() {
            return Err(ChangeError::Halted { reason });
        }
        fits::caller(&caller)?;
        let digest = request.digest();
        let operation = caller
            .operation(&self.ledger.name)
            .unwrap_or_else(|| self.ledger.token());
        self.ledger.refresh().await?;
        self.running.update_running().await?;
        if let Some(before) = self.earlier(operation, digest).await? {
            return Ok(before);
        }
        let action = request.action();
        let control = match &request {
            Request::Freeze { now } => {
                return self.freeze(*now, operation, digest, &caller, dry).await;
            }
            Request::Unfreeze => Control::Unfreeze,
            Request::Delete => Control::Delete,
            Request::Undelete => Control::Undelete,
            _ => {
                return self
                    .reconfigure(&request, operation, digest, &caller, dry)
                    .await;
            }
        };
        self.gate(action, control, operation, digest, &caller, dry)
            .await
    }

    /// The answer given before to the same operation.
    pub(crate) async fn earlier(
        &self,
        operation: Token,
        digest: Hash,
    ) -> Result<Option<Applied>, ChangeError> {
        let remembered = self.ledger.state().remembered(operation).cloned();
        let request = match remembered {
            Some(remembered) => Some(remembered.request),
            None => self
                .decided(operation)
                .await?
                .and_then(|(slot, _)| slot.control)
                .filter(|decision| decision.operation == operation)
                .map(|decision| decision.request),
        };
        match request {
            None => Ok(None),
            Some(request) if request == digest => self.repeated(operation).await,
            Some(_) => Err(reused(operation)),
        }
    }

    /// The answer to an operation that was decided before.
    async fn repeated(&self, operation: Token) -> Result<Option<Applied>, ChangeError> {
        let Some(record) = self.operation(&operation.to_string()).await? else {
            return Ok(None);
        };
        let differences = self.changed_by(&record).await?;
        Ok(Some(Applied {
            operation: record.operation,
            action: record.action,
            outcome: ChangeOutcome::Decided,
            base_generation: record.base,
            generation: record.generation,
            etag: record.etag,
            time_ms: Some(record.time_ms),
            at_index: Some(record.at_index),
            differences,
            checkpoint: None,
            warnings: Vec::new(),
        }))
    }

    fn unchanged(&self, operation: Token, action: Action) -> Applied {
        let generation = self.running.now.load().generation;
        Applied {
            operation: operation.to_string(),
            action,
            outcome: ChangeOutcome::Unchanged,
            base_generation: generation,
            generation,
            etag: self.running_etag(),
            time_ms: None,
            at_index: None,
            differences: Vec::new(),
            checkpoint: None,
            warnings: Vec::new(),
        }
    }

    /// The document that a request makes of the `running` one, and how they differ. `None`: it already runs. `before` is the
    /// document that a revert goes back to.
    fn plan(
        &self,
        request: &Request,
        running: &LogConfig,
        before: Option<&LogConfig>,
    ) -> Result<Option<(LogConfig, logconfig::Change)>, ChangeError> {
        let seconds = self.ledger.clock.now_seconds();
        let one = |finding: Finding| ChangeError::Invalid(vec![finding]);
        let next = match request {
            Request::Configure { next, .. } | Request::OnProbation { next, .. } => (**next).clone(),
            // A job that is run again finds that its shard already exists.
            Request::Rotate {
                name: Some(name), ..
            } if running.active().is_some_and(|shard| shard.name == *name) => {
                return Ok(None);
            }
            Request::PlanShard {
                name: Some(name), ..
            } if running
                .shard(name)
                .is_some_and(|shard| shard.state == ShardState::Planned) =>
            {
                return Ok(None);
            }
            Request::Rotate { name, .. } => {
                logconfig::with_rotation(running, name.clone(), seconds).map_err(one)?
            }
            Request::RotateOut { shard, .. } => {
                if running.active().is_none_or(|active| active.name != *shard) {
                    return Ok(None);
                }
                logconfig::with_rotation(running, None, seconds).map_err(one)?
            }
            Request::PlanShard { name, .. } => {
                logconfig::with_planned(running, name.clone(), seconds).map_err(one)?
            }
            Request::Revert { .. } => match before {
                Some(before) => logconfig::rolled_back(running, before),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        if next.same_settings(running) && next.same_shards(running) {
            return Ok(None);
        }
        if request
            .base()
            .is_some_and(|base| base != generation(running))
        {
            return Err(self.stale(Vec::new()));
        }
        let change = logconfig::change(running, &next).map_err(ChangeError::Invalid)?;
        Ok((!change.differences.is_empty()).then_some((next, change)))
    }

    fn stale(&self, differences: Vec<Difference>) -> ChangeError {
        let state = self.ledger.state();
        let last = state
            .operations
            .iter()
            .rev()
            .find(|o| o.generation == state.generation && o.base != o.generation);
        ChangeError::Stale {
            current_etag: self.running_etag(),
            changed_by: last.map(|o| o.actor.clone()),
            changed_at_ms: last.map(|o| o.time),
            differences,
        }
    }

    async fn reconfigure(
        &self,
        request: &Request,
        operation: Token,
        digest: Hash,
        caller: &Caller,
        dry: bool,
    ) -> Result<Applied, ChangeError> {
        let base = request.base();
        let before = match request {
            Request::Revert { base, .. } => self.config_at(*base).await?.map(|(then, _)| then),
            _ => None,
        };
        for _ in 0..TRIES {
            let running = match request {
                // The shards in the document are compared with the known ones.
                Request::Configure { .. } | Request::OnProbation { .. } => self.config(),
                _ => self.document(),
            };
            let planned = match self.plan(request, &running, before.as_ref()) {
                Err(ChangeError::Stale { .. }) => {
                    return Err(self.stale(self.moved_since(base).await?));
                }
                other => other?,
            };
            let Some((next, change)) = planned else {
                return Ok(self.unchanged(operation, request.action()));
            };
            // Checked after the base was read: a reader that sees a change on probation also sees its row.
            self.probation_allows(request, &running, &next).await?;
            let (written, current) = (next.written(), generation(&running));
            let generation = current.next();
            let mut applied = Applied {
                operation: operation.to_string(),
                action: match request.action() {
                    Action::Configure if change.open.is_some() => Action::Rotate,
                    action => action,
                },
                outcome: ChangeOutcome::Planned,
                base_generation: current,
                generation,
                etag: written.etag(generation.get()),
                time_ms: None,
                at_index: None,
                differences: change.differences,
                checkpoint: None,
                warnings: Vec::new(),
            };
            let state = self.ledger.state();
            if state.deleted {
                return Err(ChangeError::Conflict(freeze::deleted(&self.ledger.name)));
            }
            if matches!(state.gate, Intake::Frozen { .. }) {
                return Err(ChangeError::Conflict(
                    "the log is frozen: `logctl op list` shows when and why, `logctl log unfreeze` ends it; after a restore with --force read docs/operations.md first".into(),
                ));
            }
            let too_large = fits::document(&next, &written, &change.plan);
            if !too_large.is_empty() {
                return Err(ChangeError::Invalid(too_large));
            }
            let known = state.shards.iter().any(|s| s.identity.ecdsa.is_some());
            let already = known || self.running.config().is_unreadable_before_two_keys();
            if let Some(why) = self.ingest.formats.refuses(&next, already) {
                return Err(ChangeError::Conflict(why));
            }
            applied.warnings = self.warnings(request, &next).await?;
            let mut reason = both(caller.reason.clone(), request.reason());
            // Taking a change back waits for nobody.
            if !matches!(request, Request::Revert { .. }) {
                let open = change.open.as_ref();
                let unrecognised = self.unrecognised(&next, open).await?;
                let forced = matches!(request, Request::Rotate { force: true, .. });
                if unrecognised.stop && !forced {
                    return Err(ChangeError::Invalid(unrecognised.findings));
                }
                if let Some(open) = open.filter(|_| unrecognised.stop) {
                    reason = both(reason, Some(unrecognised.forced(open)));
                }
                applied.warnings.extend(unrecognised.findings);
            }
            if dry {
                return Ok(applied);
            }
            let fresh = unknown(&change.plan, &state.shards);
            let identities =
                prepare(&self.running, &self.guard.keyring, &next, &written, &fresh).await?;
            let leaving = taken_out(&self.running.config(), &next);
            self.ledger.note_leaving(&leaving, current).await?;
            if let Request::OnProbation {
                within_ms, from, ..
            } = request
            {
                self.put_on_probation(operation, current, *within_ms, from)
                    .await?;
            }
            let control = Control::Reconfigure {
                base: current,
                document: Hash(written.digest),
                plan: identities,
                open: change.open.map(|name| name.to_string()),
            };
            let decision = Decision {
                operation,
                request: digest,
                action: applied.action,
                actor: caller.actor.clone(),
                control,
                reason: reason.map(fits::reason),
            };
            match self.ingest.batcher.control(decision).await {
                Ok(placed) => {
                    self.running
                        .update_running()
                        .await
                        .map_err(|_| ChangeError::Unknown {
                            operation: operation.to_string(),
                        })?;
                    applied.outcome = ChangeOutcome::Decided;
                    applied.time_ms = Some(placed.slot.time);
                    applied.at_index = Some(placed.start);
                    return Ok(applied);
                }
                Err(CommitError::Refused(Refusal::Stale { .. })) if base.is_none() => {
                    self.running.update_running().await?
                }
                Err(CommitError::Refused(Refusal::Stale { .. })) => {
                    self.running.update_running().await?;
                    return Err(self.stale(self.moved_since(base).await?));
                }
                Err(e) => return self.refused(e, operation).await,
            }
        }
        Err(self.stale(Vec::new()))
    }

    /// The answer to a control that was not decided.
    async fn refused(&self, error: CommitError, operation: Token) -> Result<Applied, ChangeError> {
        Err(match error {
            CommitError::Refused(Refusal::Already(_)) => {
                let unknown = || ChangeError::Unknown {
                    operation: operation.to_string(),
                };
                return self.repeated(operation).await?.ok_or_else(unknown);
            }
            CommitError::Refused(Refusal::KeyReused) => reused(operation),
            CommitError::Refused(Refusal::Frozen) | CommitError::Frozen => ChangeError::Conflict(
                "the log is frozen: `logctl op list` shows when and why, `logctl log unfreeze` ends it; after a restore with --force read docs/operations.md first".into(),
            ),
            CommitError::Refused(Refusal::NotFrozen) => {
                ChangeError::Conflict("the log is not frozen".into())
            }
            CommitError::Refused(Refusal::Deleted) => {
                ChangeError::Conflict(freeze::deleted(&self.ledger.name))
            }
            CommitError::Refused(Refusal::NotDeleted) => {
                ChangeError::Conflict("the log is not deleted".into())
            }
            CommitError::Refused(Refusal::Shards(why)) => ChangeError::Conflict(why),
            CommitError::Refused(Refusal::Stale { .. }) => self.stale(Vec::new()),
            CommitError::Store(e) => e.into(),
            // The order gives the last two answers only to batches.
            e @ (CommitError::Unknown(_)
            | CommitError::AskAgain
            | CommitError::WrongShard
            | CommitError::Overtaken
            | CommitError::Taken(_)) => {
                tracing::warn!(%operation, why = %e, "the outcome of a change could not be learned");
                match self.health.halt.reason() {
                    Some(reason) => ChangeError::Halted { reason },
                    None => ChangeError::Unknown {
                        operation: operation.to_string(),
                    },
                }
            }
        })
    }
}

fn generation(running: &LogConfig) -> Generation {
    Generation::new(running.generation.unwrap_or(0))
}

/// The shards that the order does not know. A shard that was planned before and taken back already has its origin and key.
fn unknown(plan: &[ShardName], shards: &[Shard]) -> Vec<ShardName> {
    let known = |name: &&ShardName| shards.iter().any(|s| s.identity.name == name.as_str());
    plan.iter().filter(|name| !known(name)).cloned().collect()
}

/// Joins the caller's reason and the engine's note.
fn both(said: Option<String>, own: Option<String>) -> Option<String> {
    match (said, own) {
        (Some(said), Some(own)) => Some(format!("{said}; {own}")),
        (said, own) => said.or(own),
    }
}

fn reused(operation: Token) -> ChangeError {
    ChangeError::KeyReused {
        operation: operation.to_string(),
    }
}
