//! Changes on probation: confirms them, and takes them back when nobody does.
//!
//! What must never happen: a change that is both confirmed and taken back, a reversal without its intent. The engine's guarded
//! row prevents the first; the second, that a reversal is a change like any other.

use std::sync::Arc;
use std::time::Duration;

use engine::{Condition, Log, Probation, Request, Token, Trial};
use server_admin::{Caller, HostError};
use wire::{Operation, OperationState};

use super::EngineHost;
use super::audit::{CONFIRM, Intent};
use super::change::{Asked, digest, named, word};
use crate::rfc3339::{now, rfc3339};

/// Pause between looks for changes whose time is over.
const LOOK: Duration = Duration::from_millis(500);
/// Pause after a revert that failed: each try leaves an intent in the audit trail.
const RETRY: Duration = Duration::from_secs(10);

fn unavailable(error: store::StoreError) -> HostError {
    HostError::Unavailable(error.to_string())
}

impl EngineHost {
    /// The state of a change on probation.
    pub(super) async fn tried(
        &self,
        log: &Log,
        mut operation: Operation,
    ) -> Result<Operation, HostError> {
        let Ok(token) = operation.id.parse::<Token>() else {
            return Ok(operation);
        };
        match log.trial(token).await.map_err(unavailable)? {
            Some(Trial::Pending(probation)) => {
                operation.confirm_by = Some(rfc3339(probation.until));
                if operation.state == OperationState::Done {
                    operation.state = OperationState::Unconfirmed;
                }
            }
            Some(Trial::Reverted(by)) => {
                operation.state = OperationState::Reverted;
                operation.reverted_by = Some(by);
            }
            Some(Trial::Kept) | None => {}
        }
        Ok(operation)
    }

    /// Keeps a change that was made on probation.
    pub(super) async fn confirmed(&self, id: &str, caller: Caller) -> Result<Operation, HostError> {
        let unknown = || HostError::NotFound(format!("no operation {id}"));
        let token = id.parse::<Token>().map_err(|_| unknown())?;
        let (log, found) = self.decided_anywhere(id).await?.ok_or_else(unknown)?;
        let probation = match log.trial(token).await.map_err(unavailable)? {
            Some(Trial::Pending(probation)) => probation,
            Some(Trial::Kept) => return Ok(found),
            Some(Trial::Reverted(by)) => return Err(too_late(&by)),
            None => {
                let why = format!(
                    "operation {id} was not made on probation: there is nothing to confirm"
                );
                return Err(HostError::Conflict(why));
            }
        };
        let same = probation.connection.is_some() && probation.connection == caller.connection;
        if same && probation.replica == self.engine.replica_id() {
            let why = "confirm over a new connection: the one that made the change does not show that the server can still be reached";
            return Err(HostError::Conflict(why.to_owned()));
        }
        let intent = Intent {
            operation: id.to_owned(),
            log: log.name().to_owned(),
            action: CONFIRM.to_owned(),
            actor: caller.actor.clone(),
            request: store::record::digest(id.as_bytes()),
            reason: caller.reason.clone(),
            replica: self.engine.replica_id().to_owned(),
            time: now(),
        };
        let _under_way = self.audit.under_way(id);
        let index = self.audit.intent(intent).await?;
        let in_time = self.engine.now().await.map_err(unavailable)? < probation.until;
        let kept = if in_time {
            log.keep(token).await
        } else {
            Ok(false)
        };
        // Two confirmations at once both succeed: one of them moved the row.
        let kept = match kept {
            Ok(false) => log.trial(token).await.map(|t| t == Some(Trial::Kept)),
            known => known,
        };
        let outcome = match &kept {
            Ok(true) => Ok(found.generation),
            Ok(false) => Err("the time to confirm is over".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let ((), receipt) = tokio::join!(
            self.audit.outcome_of(id, log.name(), index, outcome),
            self.audit.receipt(index)
        );
        if !kept.map_err(unavailable)? {
            return Err(too_late("the server"));
        }
        tracing::info!(
            log = log.name(),
            operation = id,
            actor = caller.actor,
            "confirmed"
        );
        let (_, mut answer) = self.decided_anywhere(id).await?.ok_or_else(unknown)?;
        answer.audit_index = Some(index);
        answer.audit = receipt;
        Ok(answer)
    }

    /// Reverses changes whose probation is over, until the process ends.
    pub(crate) async fn watch_probations(self: Arc<Self>) {
        loop {
            let mut pause = LOOK;
            for log in self.engine.logs().into_iter().chain(self.engine.system()) {
                match self.expire(&log).await {
                    Ok(Some(next)) => pause = pause.min(next),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(log = log.name(), %error, "cannot take a change back yet");
                        pause = RETRY;
                    }
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Reverses the changes of one log that are due; returns the time until the next one is.
    async fn expire(&self, log: &Log) -> Result<Option<Duration>, HostError> {
        let mut next = None;
        // By a clock that is wrong, everything would be due.
        if self.engine.clock_fault().is_some() {
            return Ok(next);
        }
        for probation in log.probations().await.map_err(unavailable)? {
            let now = self.engine.now().await.map_err(unavailable)?;
            match probation.until.checked_sub(now) {
                None | Some(0) => self.revert(log, &probation).await?,
                Some(left) => {
                    let left = Duration::from_millis(left);
                    next = Some(next.map_or(left, |next: Duration| next.min(left)));
                }
            }
        }
        Ok(next)
    }

    async fn revert(&self, log: &Log, probation: &Probation) -> Result<(), HostError> {
        let me = self.engine.replica_id();
        let Probation {
            operation, base, ..
        } = *probation;
        log.refresh().await.map_err(unavailable)?;
        let decided = log.operation(&operation.to_string()).await;
        if decided.map_err(unavailable)?.is_none() {
            // While its base runs it may still be decided: then its row is needed.
            if log.generation() > base {
                log.forget_probation(probation).await.map_err(unavailable)?;
            }
            return Ok(());
        }
        // A frozen log takes no settings: its operator unfreezes it, then they go back.
        if !matches!(log.condition().0, Condition::Open | Condition::Closing) {
            return Ok(());
        }
        match &probation.reverting {
            None => {
                let mine = log.begin_revert(probation, me).await;
                if !mine.map_err(unavailable)? {
                    return Ok(());
                }
            }
            Some(other) if other != me => {
                let live = self.live(None).await?;
                if live.iter().any(|replica| replica.id == *other) {
                    return Ok(());
                }
            }
            Some(_) => {}
        }
        let made = self
            .by_itself(
                log,
                Request::Revert { operation, base },
                format!("revert/{operation}"),
            )
            .await?;
        log.end_revert(operation, &made.id)
            .await
            .map_err(unavailable)?;
        tracing::warn!(log = log.name(), %operation, by = made.id, "nobody confirmed the change: took it back");
        Ok(())
    }

    /// Makes a change of the server's own. However many replicas do, the key makes it one operation.
    pub(super) async fn by_itself(
        &self,
        log: &Log,
        request: Request,
        key: String,
    ) -> Result<Operation, HostError> {
        let caller = engine::Caller {
            actor: "auto".to_owned(),
            idempotency_key: Some(key),
            reason: None,
        };
        let asked = Asked {
            operation: named(&caller, log.name()),
            log: log.name(),
            action: word(&request),
            actor: "auto",
            request: digest(&request),
            reason: None,
        };
        self.recorded(asked, log.change(request, caller.clone()))
            .await
    }

    /// A decided operation and its log; deleted logs too.
    pub(super) async fn decided_anywhere(
        &self,
        id: &str,
    ) -> Result<Option<(Arc<Log>, Operation)>, HostError> {
        for log in self.engine.logs().into_iter().chain(self.engine.system()) {
            if let Some((_, found)) = self.decided(&log, Some(id)).await?.pop() {
                return Ok(Some((log, found)));
            }
        }
        Ok(None)
    }
}

fn too_late(by: &str) -> HostError {
    HostError::Conflict(format!(
        "too late: the change was not confirmed in time and is taken back by {by}; make it again"
    ))
}
