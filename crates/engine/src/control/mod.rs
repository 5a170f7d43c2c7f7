//! Changes to a running log: the typed steps from a request to a decision in the order. A preview runs the same steps and stops
//! before the last. From outside there is one way to all of them, [`audit::Audited`].
//!
//! What must never happen: a change is decided twice, or a slot names a shard whose key is not durable.

pub(crate) mod audit;
mod create;
pub(crate) mod fits;
mod freeze;
pub(crate) mod history;
pub(crate) mod import;
mod imported;
mod intake;
mod outcome;
mod preflight;
mod prepare;
mod probation;
mod reconfigure;
mod request;
pub(crate) mod rotation;

use order::mutant::{Mutant, left_out};
use order::slot::Control;
use order::state::Refusal;
use order::token::Token;
use tlog::Hash;

use crate::ledger::CommitError;
use crate::log::Log;

pub use self::import::{ImportedSoFar, OldEntry, OldShard};
use self::outcome::reused;
pub use self::outcome::{Applied, ChangeError, ChangeOutcome};
pub(crate) use self::preflight::{mixed, not_permitted, unusable_keys};
pub(crate) use self::prepare::prepare;
pub use self::probation::{Probation, Trial};
pub use self::request::{Author, Request};
pub use order::slot::Action;

impl Log {
    /// The effects that a request would have.
    pub async fn preview(&self, request: Request) -> Result<Applied, ChangeError> {
        intake::system(self.name(), &request)?;
        let caller = Author {
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
        caller: Author,
    ) -> Result<Applied, ChangeError> {
        self.execute(request, caller, false).await
    }

    /// Makes a change without an intent, for tests of the steps after the decision.
    #[cfg(feature = "testing")]
    pub async fn change_unaudited(
        &self,
        request: Request,
        caller: Author,
    ) -> Result<Applied, ChangeError> {
        self.change(request, caller).await
    }

    async fn execute(
        &self,
        request: Request,
        caller: Author,
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
        self.decide_intake(action, control, operation, digest, &caller, dry)
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
        let request = request.filter(|_| !left_out(Mutant::RepeatIsDecidedAgain));
        match request {
            None => Ok(None),
            Some(request) if request == digest || left_out(Mutant::RequestIsNotCompared) => {
                self.repeated(operation).await
            }
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

    /// The answer to a control that was not decided.
    async fn refused(&self, error: CommitError, operation: Token) -> Result<Applied, ChangeError> {
        Err(match error {
            CommitError::Refused(Refusal::Already(_)) => {
                let unknown = || ChangeError::Unknown {
                    operation: operation.to_string(),
                };
                // It is decided, so a failure to read it is no refusal.
                return self
                    .repeated(operation)
                    .await
                    .ok()
                    .flatten()
                    .ok_or_else(unknown);
            }
            CommitError::Refused(Refusal::KeyReused) => reused(operation),
            CommitError::Refused(Refusal::Frozen) | CommitError::Frozen => {
                ChangeError::Conflict(intake::frozen(&self.ledger.name))
            }
            CommitError::Refused(Refusal::NotFrozen) => {
                ChangeError::Conflict("the log is not frozen".into())
            }
            CommitError::Refused(Refusal::Deleted) => {
                ChangeError::Conflict(intake::deleted(&self.ledger.name))
            }
            CommitError::Refused(Refusal::NotDeleted) => {
                ChangeError::Conflict("the log is not deleted".into())
            }
            CommitError::Refused(Refusal::Shards(why)) => ChangeError::Conflict(why),
            CommitError::Refused(Refusal::Stale { .. }) => self.stale(Vec::new()),
            CommitError::Store(e) => match self.health.halt.reason() {
                Some(reason) => ChangeError::Halted { reason },
                None => e.into(),
            },
            // The order gives the other answers only to batches.
            e @ (CommitError::Unknown(_)
            | CommitError::AskAgain
            | CommitError::WrongShard
            | CommitError::Overtaken
            | CommitError::Taken(_)) => {
                tracing::warn!(%operation, why = %e, "the outcome of a change could not be learned");
                ChangeError::Unknown {
                    operation: operation.to_string(),
                }
            }
        })
    }
}
